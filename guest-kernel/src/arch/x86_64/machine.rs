//! Single instructions, and the ports of the machine model, as functions.

use core::arch::{asm, naked_asm};

use abi::port::{DOORBELL, EXIT, SERIAL};
use x86_64::instructions::interrupts;
use x86_64::instructions::port::{PortReadOnly, PortWriteOnly};

/// Loads CR3 with a value of a space.
#[inline]
pub fn load_page_table(value: u64) {
    // SAFETY: the value names a top-level table whose upper half is the kernel's, so that nothing the kernel uses
    // changes. Bit 63 is set only with PCIDs, and only if the TLB's entries for that PCID are true.
    unsafe { asm!("mov cr3, {}", in(reg) value, options(nostack, preserves_flags)) };
}

/// Copies `count` words.
///
/// # Safety
/// Both ranges must be valid, and be the same or not overlap.
#[inline]
pub unsafe fn copy_words(from: *const u64, to: *mut u64, count: usize) {
    // SAFETY: the caller's promise; the direction flag is clear in the kernel.
    unsafe {
        asm!(
            "rep movsq",
            inout("rcx") count => _,
            inout("rsi") from => _,
            inout("rdi") to => _,
            options(nostack, preserves_flags)
        );
    };
}

/// Reads the time-stamp counter, in cycles, after everything before it has completed.
pub fn time_stamp_counter() -> u64 {
    // SAFETY: SSE2, which has LFENCE, is part of x86-64; CR4.TSD is clear.
    unsafe {
        core::arch::x86_64::_mm_lfence();
        core::arch::x86_64::_rdtsc()
    }
}

/// Waits for an interrupt; returns after it was handled.
///
/// Interrupts are off before and after. One that comes between STI and HLT ends the wait, too: hardware holds it back
/// until HLT, and where an emulator does not, the handler goes on behind HLT ([`after_halt`]).
#[inline]
pub fn wait_for_interrupt() {
    halt_until_interrupt();
}

/// See [`wait_for_interrupt`].
#[unsafe(naked)]
extern "sysv64" fn halt_until_interrupt() {
    naked_asm!("sti", "hlt", "cli", "ret")
}

/// Where to go on after an interrupt of the kernel's own code at `rip`: behind HLT, if it has not been executed yet.
pub fn after_halt(rip: u64) -> u64 {
    const STI_SIZE: u64 = 1;
    const HLT_SIZE: u64 = 1;
    let halt = halt_until_interrupt as *const () as u64 + STI_SIZE;
    if rip == halt { rip + HLT_SIZE } else { rip }
}

/// Tells the VMM; one of [`abi::port::doorbell`].
pub fn ring_doorbell(value: u32) {
    // SAFETY: a port of the machine model; writing it changes nothing in the guest.
    unsafe { PortWriteOnly::new(DOORBELL).write(value) };
}

/// Asks the VMM; see [`abi::port::DOORBELL`].
pub fn read_doorbell() -> u32 {
    // SAFETY: a port of the machine model; reading it changes nothing in the guest.
    unsafe { PortReadOnly::new(DOORBELL).read() }
}

/// Ends the guest; one of [`abi::port::exit_code`].
pub fn exit(code: u32) -> ! {
    loop {
        // SAFETY: a port of the machine model; the VMM does not come back from it.
        unsafe { PortWriteOnly::new(EXIT).write(code) };
        interrupts::disable();
        x86_64::instructions::hlt();
    }
}

/// Prints on the serial console.
pub fn write_console(bytes: &[u8]) {
    let mut data = PortWriteOnly::new(SERIAL);
    for &byte in bytes {
        // SAFETY: the console's data register; the machine model's transmitter is always ready.
        unsafe { data.write(byte) };
    }
}
