//! Columns of cases in which many threads measure at the same time, or many handlers wait.

use super::format;
use super::grid::{Column, KEEP};
use super::section::{Row, column, own_columns};
use crate::record::run::CaseRecord;

fn is_crowd(case: &CaseRecord) -> bool {
    case.parameters.workload.nature().is_crowd
}

/// Exact counts between CPUs, and what there is of everything.
pub(super) fn count_columns(rows: &[Row<'_>]) -> Vec<Column> {
    let count = |name: &'static str| {
        move |(case, _): &Row<'_>| match is_crowd(case) {
            true => case.without_preemption(name).map_or(String::new(), format::count),
            false => String::new(),
        }
    };
    let mut columns = vec![
        column(rows, "cross-CPU\nIPCs", 10, true, count("ipc_remote")),
        column(rows, "IPIs", 11, true, count("ipis")),
        column(rows, "shootdowns", 5, true, count("shootdowns")),
    ];
    columns.extend(own_columns(rows, true));
    columns.push(column(rows, "memory\nMiB", KEEP, true, |(case, _)| match is_crowd(case) {
        true => format!("{:.1}", case.guest_memory_bytes as f64 / f64::from(1 << 20)),
        false => String::new(),
    }));
    columns
}

/// How long it took until all servers ran, and what all threads did together.
pub(super) fn time_columns(rows: &[Row<'_>]) -> [Column; 2] {
    [
        column(rows, "kernel\nboot, ms", KEEP, true, |(case, _)| {
            let mut boots: Vec<u64> = case.launches.iter().filter_map(|launch| launch.boot_ns).collect();
            boots.sort_unstable();
            match boots.get(boots.len() / 2) {
                Some(ns) if is_crowd(case) => format!("{:.1}", *ns as f64 / 1e6),
                _ => String::new(),
            }
        }),
        column(rows, "round\ntrips/s", KEEP, true, |(case, _)| {
            let measures_together = case.parameters.workload.nature().measures_on_all_cpus;
            let rate = case.round_trips_per_second.filter(|_| measures_together);
            rate.map_or(String::new(), |rate| format::grouped(rate as u64))
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reduce::tests::run_record;
    use crate::workload::{HandlerCall, HandlerFault};

    #[test]
    fn only_crowds_have_these_columns() {
        let mut run = run_record();
        let mut case = run.cases.remove(1);
        let cells = |case: &CaseRecord| -> Vec<String> {
            let rows: [Row<'_>; 1] = [(case, case.ticks.iter().next())];
            let columns = count_columns(&rows).into_iter().chain(time_columns(&rows));
            columns.map(|column| column.cells[0].clone()).collect()
        };
        assert!(cells(&case).iter().all(String::is_empty));
        case.parameters.workload = &HandlerCall;
        case.round_trips_per_second = Some(1234.5);
        assert_eq!(cells(&case), ["0", "0", "0", "2.0", "0.0", "1,234"]);
        case.parameters.workload = &HandlerFault;
        case.ticks.clear();
        assert_eq!(cells(&case), ["0", "0", "0", "0", "0", "2.0", "0.0", ""]);
    }
}
