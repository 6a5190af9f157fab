//! The kernel's binary: its entry point and its panic handler. Everything else is in the library.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use abi::boot::BootInfo;

/// The VMM starts every CPU here, with the state that [`abi::boot`] describes.
///
/// # Safety
/// Only for the VMM.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub unsafe extern "sysv64" fn kernel_entry_point(boot: &'static BootInfo, cpu: u32) -> ! {
    // SAFETY: the caller's promise.
    unsafe { kernel::arch::x86_64::entry::boot::boot(boot, cpu) }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    kernel::arch::x86_64::entry::last_words::panic(info)
}
