//! The local APIC in x2APIC mode: its timer (one interrupt at the end of a time slice, none when nobody shares), and
//! interrupts to other CPUs.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::boot::BootInfo;
use abi::report::feature;
use x86_64::registers::model_specific::Msr;

use super::machine::time_stamp_counter;

/// Vector of the timer's interrupt.
pub const TIMER_VECTOR: u64 = 32;
/// Vector of the local APIC's spurious interrupt.
const SPURIOUS_VECTOR: u64 = 33;
/// Vector of the interrupt that other CPUs send: this one is wanted for something.
pub const ATTENTION_VECTOR: u64 = 34;

const IA32_APIC_BASE: Msr = Msr::new(0x1b);
const IA32_TSC_DEADLINE: Msr = Msr::new(0x6e0);
const X2APIC_ID: Msr = Msr::new(0x802);
const X2APIC_END_OF_INTERRUPT: Msr = Msr::new(0x80b);
const X2APIC_SPURIOUS_VECTOR: Msr = Msr::new(0x80f);
/// Interrupts 32 to 63 that are requested and not yet taken.
const X2APIC_INTERRUPT_REQUEST: Msr = Msr::new(0x821);
/// Interrupt command register: destination in the upper half, vector in the lower.
const X2APIC_INTERRUPT_COMMAND: Msr = Msr::new(0x830);
const X2APIC_TIMER_VECTOR: Msr = Msr::new(0x832);
const X2APIC_TIMER_INITIAL_COUNT: Msr = Msr::new(0x838);
const X2APIC_TIMER_DIVIDE: Msr = Msr::new(0x83e);

/// Length of a time slice in cycles of the time-stamp counter; 0 when the timer counts by itself.
static SLICE_TSC_CYCLES: AtomicU64 = AtomicU64::new(0);
/// Length of a time slice in ticks of the local APIC's timer.
static SLICE_APIC_TICKS: AtomicU64 = AtomicU64::new(0);

/// Switches this CPU's local APIC on, with its timer idle: a time slice takes so many microseconds. Returns its
/// identifier.
///
/// # Safety
/// CPUID must announce x2APIC, and the interrupt gates must be loaded.
pub unsafe fn start(boot: &BootInfo, slice_microseconds: u64, features: u64) -> u32 {
    const ENABLE_AND_X2APIC: u64 = 1 << 11 | 1 << 10;
    const SOFTWARE_ENABLE: u64 = 1 << 8;
    const TSC_DEADLINE_MODE: u64 = 2 << 17;
    const DIVIDE_BY_1: u64 = 0b1011;
    let in_slice = |ticks_per_second: u64| ticks_per_second * slice_microseconds / 1_000_000;
    let by_deadline = features & feature::TSC_DEADLINE != 0 && boot.tsc_hz != 0;
    // SAFETY: the caller has x2APIC, whose registers these are (Intel SDM vol. 3, table 12-6); the vectors have gates.
    unsafe {
        let mut base = IA32_APIC_BASE;
        let value = base.read();
        base.write(value | ENABLE_AND_X2APIC);
        { X2APIC_SPURIOUS_VECTOR }.write(SOFTWARE_ENABLE | SPURIOUS_VECTOR);
        if by_deadline {
            { X2APIC_TIMER_VECTOR }.write(TSC_DEADLINE_MODE | TIMER_VECTOR);
            SLICE_TSC_CYCLES.store(in_slice(boot.tsc_hz), Ordering::Relaxed);
        } else {
            { X2APIC_TIMER_DIVIDE }.write(DIVIDE_BY_1);
            { X2APIC_TIMER_VECTOR }.write(TIMER_VECTOR);
            SLICE_APIC_TICKS.store(in_slice(boot.apic_timer_hz), Ordering::Relaxed);
        }
        X2APIC_ID.read() as u32
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
            { X2APIC_TIMER_INITIAL_COUNT }.write(SLICE_APIC_TICKS.load(Ordering::Relaxed));
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
            { X2APIC_TIMER_INITIAL_COUNT }.write(0);
        }
    }
}

/// Whether the timer's interrupt has been requested, and not been taken yet.
pub fn timer_is_pending() -> bool {
    // SAFETY: reading a register of the local APIC changes nothing.
    unsafe { X2APIC_INTERRUPT_REQUEST.read() & 1 << (TIMER_VECTOR % 32) != 0 }
}

/// Interrupts another CPU, by the identifier of its local APIC, to have it look what it is wanted for.
///
/// What was stored before, the other CPU sees when it takes the interrupt. WRMSR to an x2APIC register does not wait for stores
/// before it: MFENCE does, and LFENCE has WRMSR wait for MFENCE (Intel SDM vol. 3, 12.12.3).
pub fn interrupt_cpu(apic_id: u32) {
    let destination = u64::from(apic_id) << 32;
    // SAFETY: SSE2, which has both, is part of x86-64.
    unsafe { asm!("mfence", "lfence", options(nostack, preserves_flags)) };
    // SAFETY: x2APIC mode is on, and the vector has a gate on every CPU that is up.
    unsafe { { X2APIC_INTERRUPT_COMMAND }.write(destination | ATTENTION_VECTOR) };
}

/// Tells the local APIC that the interrupt has been taken.
pub fn end_of_interrupt() {
    // SAFETY: in an interrupt handler this is always allowed.
    unsafe { { X2APIC_END_OF_INTERRUPT }.write(0) };
}
