//! What a case that replays a recording says of its requests.

use serde::{Deserialize, Serialize};

use super::run::CaseRecord;
use crate::statistics::rounded;

/// Requests of a real program, and what they cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplayedRecord {
    /// Requests of one round trip.
    pub requests: u64,
    /// Page tables that a request loads, mean over a round trip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_table_loads_per_request: Option<f64>,
    /// Page-table loads that the servers in the kernel save, as a share of those with none there; absent where no such case was
    /// measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_table_loads_saved: Option<f64>,
}

impl ReplayedRecord {
    /// That of a case which is not measured yet.
    pub fn new(requests: u64) -> ReplayedRecord {
        ReplayedRecord { requests, page_table_loads_per_request: None, page_table_loads_saved: None }
    }

    /// Fills in what counters say; `with_none` is the page-table loads of the same case with no server in the kernel.
    pub(super) fn relate(&mut self, loads: Option<f64>, with_none: Option<f64>) {
        let requests = Some(self.requests).filter(|requests| *requests > 0);
        self.page_table_loads_per_request =
            loads.zip(requests).map(|(loads, requests)| rounded(loads / requests as f64, 4));
        let with_none = with_none.filter(|loads| *loads > 0.0);
        self.page_table_loads_saved =
            loads.zip(with_none).map(|(loads, with_none)| rounded(1.0 - loads / with_none, 4));
    }
}

/// Page-table loads of a round trip of a case that came out as it should.
pub(super) fn loads(case: &CaseRecord) -> Option<f64> {
    case.without_preemption("page_table_loads").filter(|_| case.outcome.is_success())
}
