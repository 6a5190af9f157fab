//! Lenses: independent ways of counting what one case costs, which must agree where they overlap.
//!
//! Each is a type that implements `Lens`; `ALL` lists them, and nothing else does. A new one is a file or a folder here and a
//! line there: `inkbed doctor`, records and the comparison ([`agree`]) follow. Those that look at a guest while it runs are
//! called by the machine ([`measure`]). `docs/adding-a-lens.md` says how to add one.

pub mod agree;
mod availability;
pub mod kernel;
pub mod kvm;
pub mod measure;
pub mod perf;
pub mod pmu;
mod reading;
mod seen;
pub mod trace;
pub mod tsc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::case::Parameters;
use crate::host::HostFacts;
use crate::machine::error::MachineError;
use crate::record::run::LensRecord;

pub use availability::{Ability, Availability, abilities};
pub use measure::Measured;
pub(crate) use measure::Watch;
pub use reading::{LensReadings, LensRequest, Reading};
pub use seen::{Count, Seen, What};

/// One independent way of counting.
pub(crate) trait Lens: Sync {
    /// As records, tables and `inkbed doctor` have it.
    fn name(&self) -> &'static str;

    /// What it can do on a host that can run guests.
    fn ability(&self, host: &HostFacts) -> Ability;

    /// What it is to count in every launch of a case, in a form of its own. `None`: it does not look at guests while they run.
    fn request(&self, _case: &Parameters) -> Option<Value> {
        None
    }

    /// What looks at one guest as this request says.
    fn watch(&self, _request: &Value) -> Result<Box<dyn Watch>, MachineError> {
        Err(NOT_UNDERSTOOD)
    }

    /// What a case's record says of it.
    fn record(&self, seen: &Seen<'_>) -> LensRecord;

    /// How often it has counted something that others may count as well.
    fn count(&self, what: What, seen: &Seen<'_>) -> Count;

    /// What to look at first when it is the one that differs from all others.
    fn what_to_check(&self) -> &'static str;
}

/// All of them.
pub(crate) static ALL: &[&dyn Lens] = &[
    // In the order in which `inkbed doctor` names them.
    &tsc::Tsc,
    &kernel::Kernel,
    &pmu::Pmu,
    &perf::Perf,
    &kvm::Kvm,
    &trace::TraceLens,
];

/// A request comes from this build: a lens that does not know it has a fault.
const NOT_UNDERSTOOD: MachineError = MachineError::Internal("a lens does not know what it is asked for");

/// A request in its lens's form.
fn understood<T: DeserializeOwned>(request: &Value) -> Result<T, MachineError> {
    T::deserialize(request).map_err(|_| NOT_UNDERSTOOD)
}

/// The record of one that took part, and has no counters of its own.
fn took_part(hz: Option<u64>) -> LensRecord {
    LensRecord { available: true, reason: None, hz, readings: Vec::new() }
}

/// The record of one that did not.
fn took_no_part(reason: String) -> LensRecord {
    LensRecord { available: false, reason: Some(reason), hz: None, readings: Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_has_a_row_for_every_lens() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lenses.md");
        let page = fs::read_to_string(page).unwrap();
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let lenses = rows.map(|(name, _)| name).filter(|name| !name.starts_with("kvm_"));
        let known = ALL.iter().map(|lens| lens.name());
        assert_eq!(lenses.collect::<BTreeSet<_>>(), known.collect());
    }
}
