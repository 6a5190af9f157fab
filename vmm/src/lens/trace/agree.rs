//! The trace against the kernel's own counters: what both count between the marks must be equal.

use abi::report::CpuReport;

use crate::lens::trace::counts::Counts;
use crate::machine::guest::GuestRun;

/// Two counts of one thing that are not equal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} between the marks: {traced} in the trace, {counted} by the kernel's counter")]
pub struct Disagreement {
    /// What was counted.
    pub what: &'static str,
    /// By the trace.
    pub traced: u64,
    /// By the kernel.
    pub counted: u64,
    /// Round trips between the marks.
    pub round_trips: u64,
}

/// Compares a trace between the marks with the kernel's counters of that run, those of the first CPU, which it followed.
pub fn check(traced: &Counts, run: &GuestRun) -> Result<(), Disagreement> {
    let counted = run.cpus.first().map(CpuReport::counted).unwrap_or_default();
    let pairs = [
        ("page-table loads", traced.kinds.page_table_loads, counted.page_table_loads),
        ("thread switches", traced.context_switches, counted.context_switches),
        ("invalidations of pages", traced.kinds.invalidations, counted.invlpg),
    ];
    match pairs.into_iter().find(|(_, traced, counted)| traced != counted) {
        Some((what, traced, counted)) => {
            Err(Disagreement { what, traced, counted, round_trips: run.round_trips })
        }
        None => Ok(()),
    }
}
