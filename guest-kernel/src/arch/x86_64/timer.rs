//! The local APIC's timer (one interrupt at the end of a time slice, none when nobody shares), and interrupts to other CPUs.

use core::sync::atomic::{AtomicU64, Ordering};

use abi::boot::BootInfo;
use abi::report::feature;
use x86_64::registers::model_specific::Msr;

use super::local_apic::{self, Register};
use super::machine::time_stamp_counter;

/// Vector of the timer's interrupt.
pub const TIMER_VECTOR: u64 = 32;
/// Vector of the local APIC's spurious interrupt.
const SPURIOUS_VECTOR: u32 = 33;
/// Vector of the interrupt that other CPUs send: this one is wanted for something.
pub const ATTENTION_VECTOR: u64 = 34;

const IA32_TSC_DEADLINE: Msr = Msr::new(0x6e0);

/// Length of a time slice in cycles of the time-stamp counter; 0 when the timer counts by itself.
static SLICE_TSC_CYCLES: AtomicU64 = AtomicU64::new(0);
/// Length of a time slice in ticks of the local APIC's timer.
static SLICE_APIC_TICKS: AtomicU64 = AtomicU64::new(0);

/// Switches this CPU's local APIC on, with its timer idle: a time slice takes so many microseconds. Returns its
/// identifier.
///
/// # Safety
/// The interrupt gates must be loaded, and `features` be what CPUID announces.
pub unsafe fn start(boot: &BootInfo, slice_microseconds: u64, features: u64) -> u32 {
    const SOFTWARE_ENABLE: u32 = 1 << 8;
    const TSC_DEADLINE_MODE: u32 = 2 << 17;
    const DIVIDE_BY_1: u32 = 0b1011;
    let in_slice = |ticks_per_second: u64| ticks_per_second * slice_microseconds / 1_000_000;
    let by_deadline = features & feature::TSC_DEADLINE != 0 && boot.tsc_hz != 0;
    // SAFETY: the caller's promise; the vectors have gates.
    unsafe {
        let id = local_apic::switch_on(features & feature::X2APIC != 0);
        local_apic::SPURIOUS_VECTOR.write(SOFTWARE_ENABLE | SPURIOUS_VECTOR);
        if by_deadline {
            local_apic::TIMER_VECTOR.write(TSC_DEADLINE_MODE | TIMER_VECTOR as u32);
            SLICE_TSC_CYCLES.store(in_slice(boot.tsc_hz), Ordering::Relaxed);
        } else {
            local_apic::TIMER_DIVIDE.write(DIVIDE_BY_1);
            local_apic::TIMER_VECTOR.write(TIMER_VECTOR as u32);
            SLICE_APIC_TICKS.store(in_slice(boot.apic_timer_hz), Ordering::Relaxed);
        }
        id
    }
}

/// One interrupt at the end of a time slice from now.
pub fn arm_timer() {
    let slice = SLICE_TSC_CYCLES.load(Ordering::Relaxed);
    // SAFETY: `start` has set the timer up in this mode, and its vector has a gate.
    unsafe {
        if slice != 0 {
            { IA32_TSC_DEADLINE }.write(time_stamp_counter() + slice);
        } else {
            count_down(SLICE_APIC_TICKS.load(Ordering::Relaxed));
        }
    }
}

/// No interrupt, after all. One may have been requested already ([`timer_is_pending`]).
pub fn stop_timer() {
    // SAFETY: as in `arm_timer`; 0 stops the timer in either mode.
    unsafe {
        if SLICE_TSC_CYCLES.load(Ordering::Relaxed) != 0 {
            { IA32_TSC_DEADLINE }.write(0);
        } else {
            count_down(0);
        }
    }
}

/// Has the timer count down from `ticks`, or not at all: the register has 32 bits. Never inlined: processors of today have deadlines.
///
/// # Safety
/// As [`Register::write`].
#[cold]
#[inline(never)]
unsafe fn count_down(ticks: u64) {
    const COUNT: Register = local_apic::TIMER_INITIAL_COUNT;
    // SAFETY: the caller's promise.
    unsafe { COUNT.write(u32::try_from(ticks).unwrap_or(u32::MAX)) };
}

/// Whether the timer's interrupt has been requested, and not been taken yet.
pub fn timer_is_pending() -> bool {
    // SAFETY: reading a register of the local APIC changes nothing.
    unsafe { local_apic::INTERRUPT_REQUEST.read() & 1 << (TIMER_VECTOR % 32) != 0 }
}

/// Interrupts another CPU, by the identifier of its local APIC, to have it look what it is wanted for. It sees what was stored
/// before.
pub fn interrupt_cpu(apic_id: u32) {
    // SAFETY: the vector has a gate on every CPU that is up.
    unsafe { local_apic::interrupt(apic_id, ATTENTION_VECTOR as u8) };
}

/// Tells the local APIC that the interrupt has been taken.
pub fn end_of_interrupt() {
    // SAFETY: in an interrupt handler this is always allowed.
    unsafe { local_apic::END_OF_INTERRUPT.write(0) };
}
