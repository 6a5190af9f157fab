//! One thing as several lenses have counted it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// What page-table loads are called.
pub const PAGE_TABLE_LOADS: &str = "page-table loads";

/// One thing as several lenses have counted it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgreementRecord {
    /// What was counted, between the marks of all launches.
    #[serde(deserialize_with = "by_its_name_now")]
    pub what: String,
    /// By lens; `rule` is what the placement says. A trace of a few round trips is extrapolated to all of them.
    pub counts: BTreeMap<String, u64>,
    /// How many round trips these are of: 1 for a clock that is read in each; 0 in records that do not tell.
    #[serde(default)]
    pub round_trips: u64,
    /// The same per round trip, without what the marks themselves take, where that is another number than a quotient.
    pub per_round_trip: f64,
    /// How far apart two of them may be, and why.
    pub slack: u64,
    /// Why there is any slack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack_reason: Option<String>,
    /// Whether they are no farther apart.
    pub agrees: bool,
}

/// Earlier records call page-table loads CR3 loads.
fn by_its_name_now<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(String::deserialize(deserializer)?.replace("CR3 loads", PAGE_TABLE_LOADS))
}

impl AgreementRecord {
    pub(crate) fn new(
        what: &str,
        counts: &[(&str, u64)],
        round_trips: u64,
        per_round_trip: f64,
    ) -> AgreementRecord {
        let counts = counts.iter().map(|(lens, count)| ((*lens).to_owned(), *count)).collect();
        AgreementRecord {
            what: what.to_owned(),
            counts,
            round_trips,
            per_round_trip,
            slack: 0,
            slack_reason: None,
            agrees: false,
        }
        .judged()
    }

    pub(crate) fn with_slack(mut self, slack: u64, reason: &str) -> AgreementRecord {
        (self.slack, self.slack_reason) = (slack, Some(reason.to_owned()));
        self.judged()
    }

    fn judged(mut self) -> AgreementRecord {
        let (least, most) = (self.counts.values().min(), self.counts.values().max());
        self.agrees = least.zip(most).is_none_or(|(least, most)| most - least <= self.slack);
        self
    }
}
