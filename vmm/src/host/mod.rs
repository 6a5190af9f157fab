//! What this host is and what can be measured on it: the library behind `inkbed doctor`.
//!
//! [`HostFacts::probe`] collects facts; none is required, and each one that cannot be had says why. [`Timing`] decides
//! whether ticks from here are hardware timing, [`Lens`] what each way of counting can do, and [`Check`] sums it
//! up with the remedy for each thing missing.

mod checks;
pub(crate) mod cores;
mod cpu;
mod fact;
mod kvm;
mod lens;
pub(crate) mod perf;
mod ring0;
mod segments;
mod system;
mod timing;
mod tuning;

#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::guest_image::GuestImage;

pub use checks::{Check, Status};
pub use cores::CoreKind;
pub use cpu::CpuFacts;
pub use fact::Fact;
pub use kvm::{GuestFeatures, KvmFacts, KvmVendor};
pub use lens::{Availability, Lens};
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
    /// Whether segments have bases and limits in compatibility mode; absent unless [`HostFacts::with_segments`] asked.
    pub segments: Fact<SegmentFacts>,
    /// Whether a hardware counter can be opened for a guest: its name.
    pub perf_hardware_counter: Fact<String>,
    /// Whether ticks from here are hardware timing.
    pub timing: Timing,
    /// What each way of counting can do here.
    pub lenses: Vec<Lens>,
    /// All of it judged, for people.
    pub checks: Vec<Check>,
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
        let lenses = lens::all(&cpu.core_kinds, &kvm, &timing, &perf_hardware_counter);
        let mut facts = HostFacts {
            cpu,
            system,
            kvm,
            tuning,
            ring0,
            segments: Fact::absent("not asked: nothing that runs needs it"),
            perf_hardware_counter,
            timing,
            lenses,
            checks: Vec::new(),
        };
        facts.checks = checks::all(&facts);
        facts
    }

    /// The same, with what a guest of this kernel finds out about segments. Takes as long as booting it.
    pub fn with_segments(mut self, image: &GuestImage) -> HostFacts {
        self.segments = match self.kvm.usable.reason() {
            Some(_) => Fact::absent("no guest can be run"),
            None => segments::probe(image),
        };
        self.checks = checks::all(&self);
        self
    }
}
