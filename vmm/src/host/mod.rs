//! What this host is: facts.
//!
//! [`HostFacts::probe`] collects facts; none is required, and each one that cannot be had says why. [`Timing`] decides
//! whether ticks from here are hardware timing. What follows for each way of counting is said above (`lens`, `doctor`).

mod check;
pub(crate) mod cores;
mod cpu;
mod fact;
mod kvm;
pub(crate) mod perf;
mod ring0;
mod segments;
mod system;
mod timing;
mod tuning;

#[cfg(test)]
mod tests;

use serde::Serialize;

pub use check::{Check, Status};
pub use cores::CoreKind;
pub use cpu::CpuFacts;
pub use fact::Fact;
pub use kvm::{GuestFeatures, KvmFacts, KvmVendor};
pub use ring0::Ring0Facts;
pub use segments::SegmentFacts;
pub use system::SystemFacts;
pub use timing::Timing;
pub use tuning::{IdleState, TuningFacts};

/// Everything that is known about this host.
#[derive(Clone, Debug, Serialize)]
pub struct HostFacts {
    /// The processor.
    pub cpu: CpuFacts,
    /// The operating system.
    pub system: SystemFacts,
    /// KVM and what guests may have.
    pub kvm: KvmFacts,
    /// How it is set up where that moves times.
    pub tuning: TuningFacts,
    /// How privilege level 0 of a guest runs, measured.
    pub ring0: Fact<Ring0Facts>,
    /// Whether segments have bases and limits in compatibility mode; absent unless somebody has asked a guest.
    pub segments: Fact<SegmentFacts>,
    /// Whether a hardware counter can be opened for a guest: its name.
    pub perf_hardware_counter: Fact<String>,
    /// Whether ticks from here are hardware timing.
    pub timing: Timing,
}

impl HostFacts {
    /// Asks the host everything. Never fails: what cannot be had is absent with the reason. Takes some milliseconds,
    /// where KVM emulates ring 0 some dozens of them.
    pub fn probe() -> HostFacts {
        let cpu = CpuFacts::probe();
        let system = SystemFacts::probe();
        let ring0 = Fact::from(ring0::measure());
        let kvm = KvmFacts::probe(&cpu, &ring0);
        let perf_hardware_counter = perf::probe(&system);
        let tuning = TuningFacts::read(&tuning::Sys);
        let timing = Timing::decide(&cpu, &kvm, &tuning, &ring0);
        HostFacts {
            cpu,
            system,
            kvm,
            tuning,
            ring0,
            segments: Fact::absent("not asked: nothing that runs needs it"),
            perf_hardware_counter,
            timing,
        }
    }
}
