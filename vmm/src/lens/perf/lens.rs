//! What the host's counters of a guest can do on a host, and what they say of a case.

use serde_json::Value;

use crate::case::Parameters;
use crate::host::cores::{PIN_REMEDY, names};
use crate::host::{Fact, HostFacts};
use crate::lens::measure::Watch;
use crate::lens::perf::{NAME, PerfWatch};
use crate::lens::reading::record_of_readings;
use crate::lens::{Ability, Count, Lens, Seen, What};
use crate::machine::error::MachineError;
use crate::record::run::LensRecord;

/// The host's performance counters.
pub struct Perf;

impl Lens for Perf {
    fn name(&self) -> &'static str {
        NAME
    }

    fn ability(&self, host: &HostFacts) -> Ability {
        let kinds = &host.cpu.core_kinds;
        match &host.perf_hardware_counter {
            Fact::Known(event) if !kinds.is_empty() => {
                let kinds = names(kinds);
                let reason = format!("{event} can be opened for guests, on one kind of core: {kinds}");
                Ability::limited(NAME, reason, PIN_REMEDY)
            }
            Fact::Known(event) => Ability::available(NAME, format!("{event} can be opened for guests")),
            Fact::Absent { absent } => {
                let remedy = if absent.contains("permitted") || absent.contains("perf_event_paranoid") {
                    "sudo sysctl kernel.perf_event_paranoid=1, or give the process CAP_PERFMON"
                } else {
                    "run on bare metal, or let the hypervisor of this host give it a PMU"
                };
                Ability::unavailable(NAME, absent, Some(remedy))
            }
        }
    }

    /// Always: its counters are read at the two marks only, and where a host has none nothing is touched.
    fn request(&self, _case: &Parameters) -> Option<Value> {
        Some(Value::Null)
    }

    fn watch(&self, _request: &Value) -> Result<Box<dyn Watch>, MachineError> {
        Ok(Box::new(PerfWatch::default()))
    }

    fn record(&self, seen: &Seen<'_>) -> LensRecord {
        record_of_readings(NAME, seen)
    }

    /// It counts all that a guest executes on any core, which nothing else does.
    fn count(&self, _what: What, _seen: &Seen<'_>) -> Count {
        Count::None
    }

    fn what_to_check(&self) -> &'static str {
        "who else uses the counters of the host"
    }
}
