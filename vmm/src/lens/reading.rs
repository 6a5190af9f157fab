//! What a guest's run is asked to count, and what came of it: a count, or the reason why there is none.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::case::Parameters;
use crate::lens::perf::PerfResult;
use crate::lens::pmu::{PmuRequest, PmuResult, Privilege};
use crate::lens::{Seen, took_no_part, took_part};
use crate::record::run::LensRecord;

/// Which hardware counters a run uses. The default is none: what is not asked for disturbs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LensRequest {
    /// The lens `pmu`: counters that the guest reads.
    pub pmu: PmuRequest,
    /// The lens `perf`: counters that the host reads.
    pub perf: bool,
}

impl LensRequest {
    /// What is asked for in every launch of a case. Both are read at the two marks only; where a host has no such counters nothing is
    /// touched. The guest's own counters are those of one CPU, so they say nothing where several measure.
    pub fn of(case: &Parameters) -> LensRequest {
        let is_alone = case.measuring_threads() == 1;
        let pmu = if is_alone { PmuRequest::Host(Privilege::All) } else { PmuRequest::Off };
        LensRequest { pmu, perf: true }
    }
}

/// What they showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LensReadings {
    /// The lens `pmu`.
    pub pmu: Reading<PmuResult>,
    /// The lens `perf`.
    pub perf: Reading<PerfResult>,
}

/// The same in the form in which results have it, for readings that come from another process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LensValues {
    /// The lens `pmu`.
    pub pmu: Reading<Value>,
    /// The lens `perf`.
    pub perf: Reading<Value>,
}

impl From<&LensReadings> for LensValues {
    fn from(readings: &LensReadings) -> LensValues {
        LensValues { pmu: readings.pmu.to_value(), perf: readings.perf.to_value() }
    }
}

/// The record of a lens that reads hardware counters: it took part if it counted in every launch.
pub(super) fn counters_record(
    name: &str,
    seen: &Seen<'_>,
    reading: impl Fn(&LensValues) -> &Reading<Value>,
) -> LensRecord {
    let mut counted = Vec::new();
    for values in &seen.readings {
        match reading(values) {
            Reading::Counted(count) => counted.push(count.clone()),
            // What the host cannot do at all is the better reason.
            Reading::Absent { reason, .. } => {
                return took_no_part(seen.host.absent_lenses.get(name).unwrap_or(reason).clone());
            }
        }
    }
    if counted.is_empty() {
        return took_no_part("no guest of this case ended".to_owned());
    }
    LensRecord { readings: counted, ..took_part(None) }
}

/// A count, or why there is none. Never a zero that means "unknown".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading<T> {
    /// It was counted.
    Counted(T),
    /// It was not.
    Absent {
        /// Why.
        reason: String,
        /// What the user can do about it.
        remedy: Option<String>,
    },
}

impl<T> Reading<T> {
    /// No count, and nothing that could be done about it.
    pub fn absent(reason: impl Into<String>) -> Reading<T> {
        Reading::Absent { reason: reason.into(), remedy: None }
    }

    /// The count, where there is one.
    pub fn counted(&self) -> Option<&T> {
        match self {
            Reading::Counted(count) => Some(count),
            Reading::Absent { .. } => None,
        }
    }
}

impl<T: Serialize> Reading<T> {
    fn to_value(&self) -> Reading<Value> {
        match self {
            // Counts are plain data: they can always be written.
            Reading::Counted(count) => Reading::Counted(serde_json::to_value(count).unwrap_or_default()),
            Reading::Absent { reason, remedy } => {
                Reading::Absent { reason: reason.clone(), remedy: remedy.clone() }
            }
        }
    }
}

impl<T> Default for Reading<T> {
    fn default() -> Reading<T> {
        Reading::absent("not asked for")
    }
}
