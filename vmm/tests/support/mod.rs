//! What tests that boot guests share.
#![allow(dead_code)] // Each test binary uses a part of it.

mod kvm;

pub(crate) use kvm::require_kvm;

use inkbed::machine::guest::{Console, Elf, GuestConfig, HugePages, Pin};
use std::time::Duration;

/// Physical address of a test kernel.
pub(crate) const KERNEL_PHYSICAL: u64 = 0x20_0000;

/// Virtual address of a test kernel's code, which is also its entry.
pub(crate) const KERNEL_CODE: u64 = abi::address::KERNEL_IMAGE_BASE + KERNEL_PHYSICAL;

/// Virtual address of a test kernel's page of data, which it may write.
pub(crate) const KERNEL_DATA: u64 = KERNEL_CODE + 0x10_0000;

/// The smallest ELF file that the VMM boots: one segment of code, one of zeroed data.
pub(crate) fn kernel_of(code: &[u8]) -> Elf {
    const HEADER_SIZE: u64 = 64;
    const SEGMENT_HEADER_SIZE: u64 = 56;
    let (read_execute, read_write, loadable) = (5u32, 6u32, 1u32);
    let code_offset = HEADER_SIZE + 2 * SEGMENT_HEADER_SIZE;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
    let word = |file: &mut Vec<u8>, value: u32| file.extend(value.to_le_bytes());
    let long = |file: &mut Vec<u8>, value: u64| file.extend(value.to_le_bytes());
    half(&mut file, 2); // e_type: executable
    half(&mut file, 62); // e_machine: x86-64
    word(&mut file, 1); // e_version
    long(&mut file, KERNEL_CODE); // e_entry
    long(&mut file, HEADER_SIZE); // e_phoff
    long(&mut file, 0); // e_shoff
    word(&mut file, 0); // e_flags
    for value in [HEADER_SIZE as u16, SEGMENT_HEADER_SIZE as u16, 2, 64, 0, 0] {
        half(&mut file, value); // e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx
    }
    let code_size = code.len() as u64;
    let segments = [
        (read_execute, code_offset, KERNEL_CODE, code_size, code_size),
        (read_write, 0, KERNEL_DATA, 0, 0x4000),
    ];
    for (flags, offset, address, file_size, memory_size) in segments {
        word(&mut file, loadable);
        word(&mut file, flags);
        let physical = address - abi::address::KERNEL_IMAGE_BASE;
        for value in [offset, address, physical, file_size, memory_size, 0x1000] {
            long(&mut file, value);
        }
    }
    file.extend(code);
    Elf { name: "test-kernel".to_owned(), bytes: file.into() }
}

/// A guest of one vCPU with nothing to run but `kernel`.
pub(crate) fn guest(kernel: Elf) -> GuestConfig {
    GuestConfig {
        kernel,
        modules: Vec::new(),
        servers: Vec::new(),
        rights: Vec::new(),
        plan_flags: 0,
        vcpus: 1,
        memory_bytes: 16 << 20,
        huge_pages: HugePages::No,
        withheld_features: 0,
        sample_capacity: 1024,
        pin: Pin::None,
        deadline: Some(Duration::from_secs(20)),
        console: Console::Capture,
        verbose: false,
    }
}
