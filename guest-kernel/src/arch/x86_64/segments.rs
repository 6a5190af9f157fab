//! Descriptors of the segments of 32-bit programs.

use abi::address::PAGE_SIZE;
use x86_64::structures::gdt::DescriptorFlags;

/// The descriptor of a segment of 32-bit programs, code or data, from `base` on with `size` bytes, a multiple of 4 KiB
/// (Intel SDM vol. 3, 3.4.5). It counts as accessed, so that the CPU never writes to it.
pub fn segment(base: u64, size: u64, code: bool) -> u64 {
    let flat = if code { DescriptorFlags::USER_CODE32 } else { DescriptorFlags::USER_DATA };
    let flags = flat.difference(DescriptorFlags::LIMIT_0_15 | DescriptorFlags::LIMIT_16_19);
    let last = size / PAGE_SIZE - 1;
    flags.bits() | last & 0xffff | (last >> 16 & 0xf) << 48 | (base & 0xff_ffff) << 16 | (base >> 24) << 56
}
