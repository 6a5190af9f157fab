//! The flush threshold that a guest's kernel found, with its evidence.

use abi::flush::{FlushReport, POINT_PAGES, WORKING_SET_PAGES, source};
use serde::{Deserialize, Serialize};

/// Up to how many pages the kernel flushes page by page, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlushRecord {
    /// The threshold, pages; absent when the case asks for page by page always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_pages: Option<u32>,
    /// How the kernel came by it.
    pub reason: String,
    /// Whether it was measured on this CPU.
    pub measured: bool,
    /// What was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<FlushPoint>,
}

/// Ticks to forget so many pages and to touch them and a working set again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlushPoint {
    /// Pages to forget.
    pub pages: u32,
    /// By INVLPG, one by one.
    #[serde(alias = "by_page_cycles")]
    pub by_page_ticks: u32,
    /// By a full flush.
    #[serde(alias = "full_cycles")]
    pub full_ticks: u32,
}

impl FlushRecord {
    /// The record of a guest's report; `None` if its kernel did not come that far.
    pub fn new(report: &FlushReport) -> Option<FlushRecord> {
        let reason = match report.source {
            source::MEASURED => format!(
                "measured at boot: INVLPG page by page against a full flush, with the refill of {WORKING_SET_PAGES} pages"
            ),
            source::RING_0_EMULATED => {
                "Linux's default, because ring 0 is emulated here: the kernel's clock shows the \
                                        emulator's time"
                    .to_owned()
            }
            source::CLOCK_COUNTS_INSTRUCTIONS => {
                "Linux's default, because the clock counts instructions here, for which \
                                                  a TLB miss costs nothing"
                    .to_owned()
            }
            source::PLAN_FULL => "the case asks for full flushes".to_owned(),
            source::PLAN_BY_PAGE => "the case asks for flushes page by page".to_owned(),
            _ => return None,
        };
        let measured = report.source == source::MEASURED;
        let points = POINT_PAGES.iter().zip(report.by_page_cycles).zip(report.full_cycles);
        let points = points.filter(|_| measured).map(|((&pages, by_page_ticks), full_ticks)| FlushPoint {
            pages,
            by_page_ticks,
            full_ticks,
        });
        Some(FlushRecord {
            threshold_pages: (report.source != source::PLAN_BY_PAGE).then_some(report.threshold_pages),
            reason,
            measured,
            points: points.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_has_no_points_and_a_measurement_has_all() {
        let default =
            FlushReport { threshold_pages: 33, source: source::RING_0_EMULATED, ..FlushReport::default() };
        let record = FlushRecord::new(&default).unwrap();
        assert_eq!((record.threshold_pages, record.measured, record.points.len()), (Some(33), false, 0));
        let measured = FlushReport { source: source::MEASURED, ..default };
        assert_eq!(FlushRecord::new(&measured).unwrap().points.len(), POINT_PAGES.len());
        assert_eq!(FlushRecord::new(&FlushReport::default()), None);
    }
}
