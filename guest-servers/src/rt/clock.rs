//! The clock of the samples: the time-stamp counter, fenced, and whether the hypervisor took the CPU away meanwhile.

use core::arch::asm;

use abi::region::{CLOCK_OFFSET, CLOCK_SIZE};
use abi::report::SAMPLE_DISTURBED;

use crate::Start;

/// Reads the time-stamp counter after everything before has completed, and before anything behind begins. LFENCE, not
/// CPUID, which always leaves the guest; not RDTSCP, which not every host offers (AMD APM vol. 3 and Intel SDM vol. 2,
/// RDTSC and LFENCE). Written out, because the intrinsic for LFENCE becomes a call on a target without SSE.
#[inline(always)]
pub fn now() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: all three instructions are part of every x86-64 CPU.
    unsafe {
        asm!("lfence", "rdtsc", "lfence", out("eax") low, out("edx") high, options(nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// KVM's steal-time record. Where the host keeps none, something that never changes: a sample then takes the same
/// instructions, so that a trace, which runs without the record, counts what is measured.
#[derive(Clone, Copy)]
pub struct StealTime {
    version: *const u32,
}

/// What stands for the version where there is no record.
static NO_RECORD: u32 = 0;

impl StealTime {
    /// The record of this thread's CPU.
    pub fn new(start: &Start) -> StealTime {
        /// Offset of the field `version` in the record (Documentation/virt/kvm/x86/msr.rst).
        const VERSION_OFFSET: u64 = 8;
        let address = (start.base + CLOCK_OFFSET + start.cpu * CLOCK_SIZE + VERSION_OFFSET) as usize;
        let is_there = start.cpu < u64::from(start.info().steal_time_cpus);
        let version =
            if is_there { core::ptr::with_exposed_provenance(address) } else { &raw const NO_RECORD };
        StealTime { version }
    }

    /// A number that changes whenever the hypervisor has put this CPU on a host CPU anew.
    #[inline(always)]
    pub fn version(&self) -> u32 {
        // SAFETY: the static, or the record that the kernel has mapped for reading; the hypervisor writes it at any time.
        unsafe { self.version.read_volatile() }
    }
}

/// Measures `operation`: its duration in cycles, marked if the CPU was taken away meanwhile.
#[inline(always)]
pub fn sample<T>(steal_time: &StealTime, operation: impl FnOnce() -> T) -> (u64, T) {
    let version = steal_time.version();
    let begin = now();
    let result = operation();
    let end = now();
    (mark(steal_time, version, end.wrapping_sub(begin)), result)
}

/// Marks a sample if the CPU was taken away since `version` was read.
#[inline(always)]
pub fn mark(steal_time: &StealTime, version: u32, sample: u64) -> u64 {
    if steal_time.version() == version { sample } else { sample | SAMPLE_DISTURBED }
}
