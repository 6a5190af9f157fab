//! What preemption has added to counts, said below the tables.

use super::format;
use crate::record::run::{CaseRecord, RunRecord};

/// What preemption has added, where there was any.
pub fn note(run: &RunRecord) -> Option<String> {
    let total = |name: &str| {
        let of_case = |case: &CaseRecord| case.counters.get(name).map_or(0, |count| count.total);
        run.cases.iter().map(of_case).fold(0, u64::saturating_add)
    };
    let preempted =
        |case: &&CaseRecord| case.counters.get("preemptions").is_some_and(|count| count.total > 0);
    let cases = run.cases.iter().filter(preempted).count();
    (cases > 0).then(|| {
        format!(
            "Time slices ended {} turns, which added {} thread switches and {} page-table loads. They are in no count per \
             round trip. ({cases} of {} cases)",
            format::grouped(total("preemptions")),
            format::grouped(total("context_switches_by_preemption")),
            format::grouped(total("page_table_loads_by_preemption")),
            run.cases.len()
        )
    })
}
