//! Lenses: independent ways of counting what one case costs, which must agree where they overlap.
//!
//! Each is a type that implements [`Lens`]; [`ALL`] lists them, and nothing else does. A new one is a file or a folder here and a
//! line there: `inkbed doctor`, records and the comparison ([`agree`]) follow. Those that look at a guest while it runs are
//! called by the machine ([`measure`]).

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

use crate::host::HostFacts;
use crate::record::run::LensRecord;

pub use availability::{Ability, Availability, abilities};
pub use measure::Measured;
pub use reading::{LensReadings, LensRequest, LensValues, Reading};
pub use seen::{Count, Seen, What};

/// One independent way of counting.
pub trait Lens: Sync {
    /// As records, tables and `inkbed doctor` have it.
    fn name(&self) -> &'static str;

    /// What it can do on a host that can run guests.
    fn ability(&self, host: &HostFacts) -> Ability;

    /// What a case's record says of it.
    fn record(&self, seen: &Seen<'_>) -> LensRecord;

    /// How often it has counted something that others may count as well.
    fn count(&self, what: What, seen: &Seen<'_>) -> Count;

    /// What to look at first when it is the one that differs from all others.
    fn what_to_check(&self) -> &'static str;
}

/// All of them, in the order in which `inkbed doctor` names them.
pub const ALL: [&dyn Lens; 6] =
    [&tsc::Tsc, &kernel::Kernel, &pmu::Pmu, &perf::Perf, &kvm::Kvm, &trace::TraceLens];

/// The record of one that took part, and has no counters of its own.
fn took_part(hz: Option<u64>) -> LensRecord {
    LensRecord { available: true, reason: None, hz, readings: Vec::new() }
}

/// The record of one that did not.
fn took_no_part(reason: String) -> LensRecord {
    LensRecord { available: false, reason: Some(reason), hz: None, readings: Vec::new() }
}
