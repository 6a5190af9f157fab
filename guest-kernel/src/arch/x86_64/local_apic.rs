//! Registers of the local APIC: behind MSRs in x2APIC mode, in memory without it (Intel SDM vol. 3, tables 11-1 and 12-6).

use core::arch::asm;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::address::{LOCAL_APIC, PHYSICAL_MAP_BASE};
use x86_64::registers::model_specific::Msr;

/// Where the registers lie in memory; 0 in x2APIC mode.
static IN_MEMORY: AtomicU64 = AtomicU64::new(0);

const IA32_APIC_BASE: Msr = Msr::new(0x1b);

/// A register, by its offset in memory divided by 16, which is its offset among the MSRs.
#[derive(Clone, Copy)]
pub struct Register(u32);

/// This CPU's identifier.
const ID: Register = Register(0x02);
/// Takes the end of an interrupt.
pub const END_OF_INTERRUPT: Register = Register(0x0b);
/// Vector of spurious interrupts, and the switch that turns the local APIC on.
pub const SPURIOUS_VECTOR: Register = Register(0x0f);
/// Interrupts 32 to 63 that are requested and not yet taken.
pub const INTERRUPT_REQUEST: Register = Register(0x21);
/// Vector and mode of the timer.
pub const TIMER_VECTOR: Register = Register(0x32);
/// What the timer counts down from.
pub const TIMER_INITIAL_COUNT: Register = Register(0x38);
/// What the timer's clock is divided by.
pub const TIMER_DIVIDE: Register = Register(0x3e);
/// Vector of an interrupt for another CPU; writing it sends the interrupt.
const INTERRUPT_COMMAND: Register = Register(0x30);
/// Its destination, where that is a register of its own.
const INTERRUPT_DESTINATION: Register = Register(0x31);

impl Register {
    /// The MSR in x2APIC mode.
    const fn msr(self) -> Msr {
        Msr::new(0x800 + self.0)
    }

    fn in_memory(self, base: u64) -> *mut u32 {
        ptr::with_exposed_provenance_mut(base as usize + 16 * self.0 as usize)
    }

    /// Never inlined, so that callers are as long as with MSRs alone.
    ///
    /// # Safety
    /// As [`Register::read`], where the registers lie from `base` on.
    #[cold]
    #[inline(never)]
    unsafe fn read_memory(self, base: u64) -> u32 {
        // SAFETY: the caller's promise; the VMM has mapped the registers.
        unsafe { self.in_memory(base).read_volatile() }
    }

    /// As [`Register::read_memory`].
    ///
    /// # Safety
    /// As [`Register::write`], where the registers lie from `base` on.
    #[cold]
    #[inline(never)]
    unsafe fn write_memory(self, base: u64, value: u32) {
        // SAFETY: the caller's promise; the VMM has mapped the registers.
        unsafe { self.in_memory(base).write_volatile(value) }
    }

    /// What the register holds.
    ///
    /// # Safety
    /// Only behind [`switch_on`].
    pub unsafe fn read(self) -> u32 {
        match IN_MEMORY.load(Ordering::Relaxed) {
            // SAFETY: the caller's promise: this is the mode that the local APIC is in.
            0 => unsafe { self.msr().read() as u32 },
            // SAFETY: likewise.
            base => unsafe { self.read_memory(base) },
        }
    }

    /// # Safety
    /// Only behind [`switch_on`], and what the value has the local APIC do must be wanted.
    pub unsafe fn write(self, value: u32) {
        match IN_MEMORY.load(Ordering::Relaxed) {
            // SAFETY: the caller's promise: this is the mode that the local APIC is in.
            0 => unsafe { self.msr().write(value.into()) },
            // SAFETY: likewise.
            base => unsafe { self.write_memory(base, value) },
        }
    }
}

/// Switches this CPU's local APIC on, in x2APIC mode if it has that. Returns its identifier.
///
/// # Safety
/// CPUID must announce x2APIC where `has_x2apic` says so; elsewhere the registers must be mapped, as [`abi::boot`] has it.
pub unsafe fn switch_on(has_x2apic: bool) -> u32 {
    const ENABLE: u64 = 1 << 11;
    const X2APIC: u64 = 1 << 10;
    let mode = if has_x2apic { ENABLE | X2APIC } else { ENABLE };
    let in_memory = if has_x2apic { 0 } else { PHYSICAL_MAP_BASE + LOCAL_APIC };
    // All CPUs store the same.
    IN_MEMORY.store(in_memory, Ordering::Relaxed);
    // SAFETY: every x86-64 CPU has the register; the caller has the mode.
    let id = unsafe {
        let mut base = IA32_APIC_BASE;
        let value = base.read();
        base.write(value | mode);
        ID.read()
    };
    // In memory it is the upper byte.
    if has_x2apic { id } else { id >> 24 }
}

/// Sends the interrupt `vector` to another CPU, by the identifier of its local APIC.
///
/// What was stored before, the other CPU sees when it takes the interrupt. WRMSR to an x2APIC register does not wait for stores
/// before it: MFENCE does, and LFENCE has WRMSR wait for MFENCE (Intel SDM vol. 3, 12.12.3).
///
/// # Safety
/// Only behind [`switch_on`], with a vector that has a gate on every CPU that is up.
pub unsafe fn interrupt(apic_id: u32, vector: u8) {
    if IN_MEMORY.load(Ordering::Relaxed) != 0 {
        // SAFETY: the caller's promise.
        return unsafe { interrupt_by_memory(apic_id, vector) };
    }
    let destination = u64::from(apic_id) << 32;
    // SAFETY: SSE2, which has both, is part of x86-64. The command is one register in this mode.
    unsafe {
        asm!("mfence", "lfence", options(nostack, preserves_flags));
        { INTERRUPT_COMMAND.msr() }.write(destination | u64::from(vector));
    }
}

/// The same, where the registers lie in memory.
///
/// # Safety
/// As [`interrupt`].
#[cold]
#[inline(never)]
unsafe fn interrupt_by_memory(apic_id: u32, vector: u8) {
    const IS_UNDER_WAY: u32 = 1 << 12;
    // SAFETY: the caller's promise. Stores to memory that is not cached come behind all others before them.
    unsafe {
        while INTERRUPT_COMMAND.read() & IS_UNDER_WAY != 0 {
            core::hint::spin_loop();
        }
        INTERRUPT_DESTINATION.write(apic_id << 24);
        INTERRUPT_COMMAND.write(vector.into());
    }
}
