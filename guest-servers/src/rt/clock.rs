//! The clock of the samples: the time-stamp counter, fenced, and whether the host gave the CPU to somebody else meanwhile.

#![expect(unsafe_code, reason = "instructions of the processor")]

use core::arch::asm;

use abi::region::{CLOCK_OFFSET, CLOCK_SIZE};

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
    stolen_ns: *const u64,
}

/// What stands for the steal time where there is no record.
static NO_RECORD: u64 = 0;

impl StealTime {
    /// The record of this thread's CPU.
    pub fn new(start: &Start) -> StealTime {
        // The field `steal` is the first one of the record (Documentation/virt/kvm/x86/msr.rst).
        let address = (start.base + CLOCK_OFFSET + start.cpu * CLOCK_SIZE) as usize;
        let is_there = start.cpu < u64::from(start.info().steal_time_cpus);
        let stolen_ns =
            if is_there { core::ptr::with_exposed_provenance(address) } else { &raw const NO_RECORD };
        StealTime { stolen_ns }
    }

    /// How long this CPU has waited for a host CPU so far, ns. The `version` beside it says less: it changes whenever KVM
    /// takes the CPU up again, after a halt and after an interrupt of the host's, too.
    #[inline(always)]
    pub fn stolen_ns(&self) -> u64 {
        // SAFETY: the static, or the record that the kernel has mapped for reading; the hypervisor writes it, but never while
        // this CPU runs.
        unsafe { self.stolen_ns.read_volatile() }
    }
}

/// Measures `operation`: its duration in cycles, marked if the CPU was stolen meanwhile.
#[inline(always)]
pub fn sample<T>(steal_time: &StealTime, operation: impl FnOnce() -> T) -> (u64, T) {
    let stolen_ns = steal_time.stolen_ns();
    let begin = now();
    let result = operation();
    let end = now();
    (mark(steal_time, stolen_ns, end.wrapping_sub(begin)), result)
}

/// Marks a sample if it is disturbed: by what was stolen since the steal time was `before_ns`.
#[inline(always)]
pub fn mark(steal_time: &StealTime, before_ns: u64, sample: u64) -> u64 {
    abi::report::marked(sample, steal_time.stolen_ns().wrapping_sub(before_ns))
}
