//! What a guest's run is asked to count, and what came of it: a count, or the reason why there is none.

use serde::Serialize;

use crate::lens::perf::PerfResult;
use crate::lens::pmu::{PmuRequest, PmuResult};

/// Which hardware counters a run uses. The default is none: what is not asked for disturbs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LensRequest {
    /// The lens `pmu`: counters that the guest reads.
    pub pmu: PmuRequest,
    /// The lens `perf`: counters that the host reads.
    pub perf: bool,
}

/// What they showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LensReadings {
    /// The lens `pmu`.
    pub pmu: Reading<PmuResult>,
    /// The lens `perf`.
    pub perf: Reading<PerfResult>,
}

/// A count, or why there is none. Never a zero that means "unknown".
#[derive(Clone, Debug, PartialEq, Serialize)]
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

impl<T> Default for Reading<T> {
    fn default() -> Reading<T> {
        Reading::absent("not asked for")
    }
}
