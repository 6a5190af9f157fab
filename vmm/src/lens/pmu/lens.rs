//! What the guest's counters can do on a host, and what they say of a case.

use serde_json::Value;

use crate::case::Parameters;
use crate::host::HostFacts;
use crate::lens::measure::Watch;
use crate::lens::pmu::watch::PmuWatch;
use crate::lens::pmu::{Event, HYBRID_REMEDY, NAME, PmuRequest, PmuResult, Privilege, no_pmu_on};
use crate::lens::reading::record_of_readings;
use crate::lens::{Ability, Count, Lens, Seen, What, understood};
use crate::machine::error::MachineError;
use crate::record::run::LensRecord;

/// The guest's performance counters.
pub struct Pmu;

/// Instructions that a counter of the guest may count differently in each launch: programming, starting and stopping it.
const SLACK_PER_LAUNCH: u64 = 512;

impl Lens for Pmu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn ability(&self, host: &HostFacts) -> Ability {
        let (kinds, kvm) = (&host.cpu.core_kinds, &host.kvm);
        if !kinds.is_empty() {
            return Ability::unavailable(NAME, no_pmu_on(kinds), Some(HYBRID_REMEDY));
        }
        let features = kvm.guest_features.known().cloned().unwrap_or_default();
        if features.pmu_version > 0 && kvm.capability("PMU_CAPABILITY") > 0 {
            let (version, counters) = (features.pmu_version, features.pmu_counters);
            return Ability::available(NAME, format!("version {version} with {counters} general counters"));
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
        Ability::unavailable(NAME, reason, Some(remedy))
    }

    /// The guest's own counters are those of one CPU, so they say nothing where several measure. They are read at the two marks only;
    /// where a host has none, nothing is touched.
    fn request(&self, case: &Parameters) -> Option<Value> {
        (case.measuring_threads() == 1).then(|| PmuRequest::Host(Privilege::All).to_value())
    }

    fn watch(&self, request: &Value) -> Result<Box<dyn Watch>, MachineError> {
        Ok(Box::new(PmuWatch::new(understood(request)?)))
    }

    fn record(&self, seen: &Seen<'_>) -> LensRecord {
        record_of_readings(NAME, seen)
    }

    fn count(&self, what: What, seen: &Seen<'_>) -> Count {
        let What::Instructions(privilege) = what else { return Count::None };
        let Some(results) = seen.counted::<PmuResult>(NAME) else { return Count::None };
        if results.first().is_none_or(|result| result.privilege != privilege) {
            return Count::None;
        }
        let instructions =
            |result: &PmuResult| result.counter(Event::Instructions).map(|counter| counter.total);
        let total: Option<u64> = results.iter().map(instructions).sum();
        let slack = SLACK_PER_LAUNCH * seen.launches + seen.exits;
        let reason = "512 for programming the counters, and one for each exit of the guest";
        total.map_or(Count::None, |total| Count::Counted {
            total,
            per_round_trip: None,
            slack: Some((slack, reason)),
        })
    }

    fn what_to_check(&self) -> &'static str {
        "the counters' self-tests in the record, nmi_watchdog, and who else uses the counters of the host"
    }
}
