//! What a guest's run is asked to count, and what came of it: a count, or the reason why there is none. Each lens has its own form
//! of both, which nobody else looks into.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::case::Parameters;
use crate::lens::{ALL, Seen, took_no_part, took_part};
use crate::record::run::LensRecord;

/// Lenses that look at a guest while it runs, each with what it is asked to count. The default is none: what is not asked for disturbs
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LensRequest(pub(super) BTreeMap<String, Value>);

impl LensRequest {
    /// What is asked for in every launch of a case.
    pub fn of(case: &Parameters) -> LensRequest {
        let asked = ALL.iter().filter_map(|lens| Some((lens.name().to_owned(), lens.request(case)?)));
        LensRequest(asked.collect())
    }

    /// One lens.
    pub fn only(lens: &str, request: Value) -> LensRequest {
        LensRequest(BTreeMap::from([(lens.to_owned(), request)]))
    }
}

/// What they showed, by lens, in the form in which results have it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LensReadings(pub(crate) BTreeMap<String, Reading<Value>>);

impl LensReadings {
    /// What this lens showed.
    pub fn of(&self, lens: &str) -> Reading<Value> {
        self.0.get(lens).cloned().unwrap_or_default()
    }

    /// The same in the lens's own form.
    pub fn read<T: DeserializeOwned>(&self, lens: &str) -> Reading<T> {
        match self.of(lens) {
            Reading::Counted(value) => match serde_json::from_value(value) {
                Ok(count) => Reading::Counted(count),
                Err(error) => Reading::absent(format!("the reading of {lens} has another form: {error}")),
            },
            Reading::Absent { reason, remedy } => Reading::Absent { reason, remedy },
        }
    }
}

/// The record of a lens that looks at guests while they run: it took part if it counted in every launch.
pub(super) fn record_of_readings(name: &str, seen: &Seen<'_>) -> LensRecord {
    let mut counted = Vec::new();
    for readings in &seen.readings {
        match readings.of(name) {
            Reading::Counted(count) => counted.push(count),
            // What the host cannot do at all is the better reason.
            Reading::Absent { reason, .. } => {
                return took_no_part(seen.host.absent_lenses.get(name).cloned().unwrap_or(reason));
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

    /// The same, taken out.
    pub fn into_counted(self) -> Option<T> {
        match self {
            Reading::Counted(count) => Some(count),
            Reading::Absent { .. } => None,
        }
    }
}

impl<T: Serialize> Reading<T> {
    /// As results have it.
    pub(super) fn to_value(&self) -> Reading<Value> {
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
