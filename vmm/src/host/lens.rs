//! What each way of counting can do on this host.

use serde::Serialize;

use crate::host::cores::{self, CoreKind};
use crate::host::fact::Fact;
use crate::host::kvm::{KvmFacts, KvmVendor};
use crate::host::timing::Timing;
use crate::lens::pmu::{HYBRID_REMEDY, no_pmu_on};

/// One way of counting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lens {
    /// `tsc`, `kernel`, `pmu`, `perf`, `kvm` or `trace`.
    pub name: &'static str,
    /// Whether it can be used.
    pub availability: Availability,
    /// What it counts here, or why it does not.
    pub reason: String,
    /// What the user can do about it.
    pub remedy: Option<String>,
}

/// Whether a lens can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// Fully.
    Available,
    /// With a restriction that the reason names.
    Limited,
    /// Not at all.
    Unavailable,
}

const HARDWARE_REMEDY: &str = "run on a machine with VMX or SVM, on bare metal or with nested virtualization";

pub(crate) fn all(kinds: &[CoreKind], kvm: &KvmFacts, timing: &Timing, perf: &Fact<String>) -> Vec<Lens> {
    if let Some(reason) = kvm.usable.reason() {
        let unavailable = |name| lens(name, Availability::Unavailable, "no guest can be run", Some(reason));
        return ["tsc", "kernel", "pmu", "perf", "kvm", "trace"].map(unavailable).to_vec();
    }
    vec![tsc(timing), kernel(), pmu(kinds, kvm), host_perf(kinds, perf), statistics(kvm), trace(kvm)]
}

fn lens(name: &'static str, availability: Availability, reason: &str, remedy: Option<&str>) -> Lens {
    Lens { name, availability, reason: reason.to_owned(), remedy: remedy.map(str::to_owned) }
}

fn tsc(timing: &Timing) -> Lens {
    let reasons = timing.reasons().join("; ");
    if timing.is_time() {
        let what = "ticks are time: ring 0 runs natively";
        let what = if reasons.is_empty() { what.to_owned() } else { format!("{what}; in doubt: {reasons}") };
        lens("tsc", Availability::Available, &what, None)
    } else {
        lens("tsc", Availability::Limited, &format!("ticks are not times: {reasons}"), Some(HARDWARE_REMEDY))
    }
}

fn kernel() -> Lens {
    lens("kernel", Availability::Available, "the guest kernel's own counters are exact everywhere", None)
}

fn pmu(kinds: &[CoreKind], kvm: &KvmFacts) -> Lens {
    if !kinds.is_empty() {
        let reason = no_pmu_on(kinds);
        return lens("pmu", Availability::Unavailable, &reason, Some(HYBRID_REMEDY));
    }
    let features = kvm.guest_features.known().cloned().unwrap_or_default();
    if features.pmu_version > 0 && kvm.capability("PMU_CAPABILITY") > 0 {
        let reason =
            format!("version {} with {} general counters", features.pmu_version, features.pmu_counters);
        return lens("pmu", Availability::Available, &reason, None);
    }
    let (reason, remedy) = match kvm.enable_pmu.known() {
        Some(false) => (
            "KVM's module parameter enable_pmu is N: it is switched off, or this host has no counters itself",
            "reload kvm with enable_pmu=Y; where this host is a virtual machine, its hypervisor must give it a PMU",
        ),
        _ => (
            "KVM offers guests no performance counters here",
            "use Linux 5.18 or newer on a host whose own PMU is visible (ls /sys/bus/event_source/devices/cpu*)",
        ),
    };
    lens("pmu", Availability::Unavailable, reason, Some(remedy))
}

fn host_perf(kinds: &[CoreKind], perf: &Fact<String>) -> Lens {
    match perf {
        Fact::Known(event) if !kinds.is_empty() => {
            let reason =
                format!("{event} can be opened for guests, on one kind of core: {}", cores::names(kinds));
            lens("perf", Availability::Limited, &reason, Some(cores::PIN_REMEDY))
        }
        Fact::Known(event) => {
            lens("perf", Availability::Available, &format!("{event} can be opened for guests"), None)
        }
        Fact::Absent { absent } => {
            let remedy = if absent.contains("permitted") || absent.contains("perf_event_paranoid") {
                "sudo sysctl kernel.perf_event_paranoid=1, or give the process CAP_PERFMON"
            } else {
                "run on bare metal, or let the hypervisor of this host give it a PMU"
            };
            lens("perf", Availability::Unavailable, absent, Some(remedy))
        }
    }
}

fn statistics(kvm: &KvmFacts) -> Lens {
    if kvm.capability("BINARY_STATS_FD") > 0 {
        lens("kvm", Availability::Available, "KVM's binary statistics of every vCPU", None)
    } else {
        let remedy = Some("use Linux 5.14 or newer");
        lens("kvm", Availability::Unavailable, "this KVM has no binary statistics", remedy)
    }
}

fn trace(kvm: &KvmFacts) -> Lens {
    if kvm.capability("SET_GUEST_DEBUG") == 0 {
        let reason = "KVM cannot single-step guests here";
        return lens("trace", Availability::Unavailable, reason, Some(HARDWARE_REMEDY));
    }
    if kvm.vendor == KvmVendor::Pvm {
        let reason = "single steps in ring 0 only: this KVM loses the step on the way to ring 3";
        return lens("trace", Availability::Limited, reason, Some(HARDWARE_REMEDY));
    }
    lens("trace", Availability::Available, "KVM single-steps guests", None)
}
