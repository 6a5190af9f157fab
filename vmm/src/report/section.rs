//! One section of a report: the cases of one kind, and the columns that tell them apart.

use super::grid::{Column, KEEP};
use super::many_threads;
use super::{crowd, format, lenses, schemes, tlb, traced};
use crate::case::key::Key;
use crate::case::keys;
use crate::case::workload::{CountColumn, Does, Figure, Moves};
use crate::record::channel::ChannelRecord;
use crate::record::replayed::ReplayedRecord;
use crate::record::run::{CaseRecord, CountRecord, OtherCallsRecord, RunRecord};
use crate::workload;

/// Cases that stand together in one table.
#[derive(Clone, Debug)]
pub struct Section {
    /// First part of the names of its cases.
    pub name: String,
    /// What is measured, and what all its cases have in common.
    pub heading: String,
    /// The table.
    pub columns: Vec<Column>,
}

/// One line of a table: a channel of a case, or a case that has none.
pub(super) type Row<'a> = (&'a CaseRecord, Option<(&'a String, &'a ChannelRecord)>);

/// The sections of a run, in the order in which its cases were run, and the lenses side by side.
pub fn sections(run: &RunRecord) -> Vec<Section> {
    let mut names: Vec<&str> = Vec::new();
    for case in &run.cases {
        if !names.contains(&prefix(case)) {
            names.push(prefix(case));
        }
    }
    names
        .into_iter()
        .flat_map(|name| {
            let cases = cases_of(run, name);
            std::iter::once(section(run, name, &cases)).chain(crowd::section(name, &cases))
        })
        .chain(tlb::section(run))
        .chain(schemes::section(run))
        .chain(lenses::sections(run))
        .collect()
}

fn prefix(case: &CaseRecord) -> &str {
    case.name.split('/').next().unwrap_or(&case.name)
}

/// The cases of one name. Placements of one setting stand together; within a setting the order of the run remains.
fn cases_of<'a>(run: &'a RunRecord, name: &str) -> Vec<&'a CaseRecord> {
    let mut cases: Vec<&CaseRecord> = run.cases.iter().filter(|case| prefix(case) == name).collect();
    let sorting = workload::sorting();
    cases.sort_by_key(|case| sorting.iter().map(|key| key.get(&case.parameters)).collect::<Vec<_>>());
    cases
}

fn section(run: &RunRecord, name: &str, cases: &[&CaseRecord]) -> Section {
    let rows: Vec<Row<'_>> = cases.iter().flat_map(|case| rows_of(case)).collect();
    let workload = cases[0].parameters.workload;
    let mut heading = format!("{name}: {}", workload.sentence());
    let mut columns = Vec::new();
    for (usual, column) in setting_columns(&rows) {
        match constant(&column) {
            Some("") => {}
            Some(value) if value == usual => {}
            Some(value) => heading.push_str(&format!(" · {} {value}", column.heading.replace('\n', " "))),
            None => columns.push(column),
        }
    }
    columns
        .push(column(&rows, workload.way(), KEEP, false, |(case, _)| format::placements(&case.parameters)));
    columns.push(column(&rows, "host", KEEP, false, |(case, _)| case.host.clone().unwrap_or_default()));
    columns.push(column(&rows, "outcome", KEEP, false, |(case, _)| match case.outcome.is_success() {
        true => String::new(),
        false => "failed".to_owned(),
    }));
    if rows.iter().any(|(case, _)| case.ticks.len() > 1) {
        columns.push(column(&rows, "timed part", KEEP, false, |(case, channel)| {
            let is_32_bit = case.parameters.has_32_bit();
            let known = channel.and_then(|(name, _)| channel_of(case, name));
            known.map_or(String::new(), |name| case.parameters.workload.label(name, is_32_bit).to_owned())
        }));
    }
    columns.extend(count_columns(&rows));
    columns.extend(many_threads::count_columns(&rows));
    columns.extend(schemes::count_columns(&rows));
    columns.extend(traced::columns(&rows));
    columns.extend(basis_columns(&rows));
    columns.extend(time_columns(run, &rows));
    columns.extend(many_threads::time_columns(&rows));
    Section { name: name.to_owned(), heading, columns: columns.into_iter().filter(has_content).collect() }
}

fn rows_of(case: &CaseRecord) -> Vec<Row<'_>> {
    if case.ticks.is_empty() || case.parameters.workload.nature().does == Does::EndsSomehow {
        return vec![(case, None)];
    }
    case.ticks.iter().map(|channel| (case, Some(channel))).collect()
}

pub(super) fn column(
    rows: &[Row<'_>],
    heading: &str,
    rank: u8,
    is_number: bool,
    cell: impl Fn(&Row<'_>) -> String,
) -> Column {
    Column { heading: heading.to_owned(), cells: rows.iter().map(cell).collect(), is_number, rank }
}

fn has_content(column: &Column) -> bool {
    column.cells.iter().any(|cell| !cell.is_empty())
}

/// The value of a column that says the same in every row.
fn constant(column: &Column) -> Option<&str> {
    let first = column.cells.first()?;
    column.cells.iter().all(|cell| cell == first).then_some(first)
}

/// Columns of what is set, each with the value that goes without saying.
fn setting_columns(rows: &[Row<'_>]) -> Vec<(&'static str, Column)> {
    let setting = |key: &'static Key| {
        let heading = key.column?;
        let tells = rows.iter().any(|(case, _)| (heading.tells)(&case.parameters));
        let cell = |(case, _): &Row<'_>| {
            let text = if tells { (heading.cell)(key, &case.parameters) } else { String::new() };
            let is_marked = key.name == keys::VCPUS.name && case.is_overcommitted;
            if is_marked { text + "°" } else { text }
        };
        Some((heading.usual, column(rows, heading.text, KEEP, heading.is_number, cell)))
    };
    let mut keys: Vec<&'static Key> = workload::keys().to_vec();
    keys.sort_by_key(|key| key.column.map(|heading| heading.order));
    keys.into_iter().filter_map(setting).collect()
}

/// Whether a row is the one of its case in which counts of whole round trips stand: that of the first channel.
pub(super) fn is_whole((case, channel): &Row<'_>) -> bool {
    channel.is_none_or(|(name, _)| case.parameters.workload.channels().first() == Some(&name.as_str()))
}

fn channel_of(case: &CaseRecord, name: &str) -> Option<&'static str> {
    case.parameters.workload.channels().iter().copied().find(|known| *known == name)
}

/// Columns of counts that only some workloads have.
pub(super) fn own_columns(rows: &[Row<'_>], is_late: bool) -> Vec<Column> {
    let mut own: Vec<CountColumn> = Vec::new();
    for (case, _) in rows {
        for column in case.parameters.workload.columns().iter().filter(|column| column.is_late == is_late) {
            if !own.iter().any(|known| known.heading == column.heading) {
                own.push(*column);
            }
        }
    }
    let cell = |row: &Row<'_>, heading: &str| {
        let column = row.0.parameters.workload.columns().iter().find(|column| column.heading == heading);
        column.filter(|_| is_whole(row)).map_or(String::new(), |column| figure(row.0, column.figure))
    };
    own.iter().map(|one| column(rows, one.heading, one.rank, true, |row| cell(row, one.heading))).collect()
}

fn figure(case: &CaseRecord, figure: Figure) -> String {
    let total = |name: &str| case.counters.get(name).map(|count| count.total);
    let others = |field: fn(&OtherCallsRecord) -> CountRecord| {
        let per_round_trip = case.other_calls.as_ref().and_then(|calls| field(calls).per_round_trip);
        per_round_trip.map_or(String::new(), format::count)
    };
    let replayed = |text: fn(&ReplayedRecord) -> Option<String>| {
        case.replayed.as_ref().and_then(text).unwrap_or_default()
    };
    match figure {
        Figure::PerRoundTrip(name) => case.without_preemption(name).map_or(String::new(), format::count),
        Figure::Total(name) => total(name).map_or(String::new(), format::grouped),
        Figure::PerLaunch(name) => {
            format::grouped(total(name).unwrap_or(0) / case.launches.len().max(1) as u64)
        }
        Figure::AnsweredMeanwhile => others(|calls| calls.answered_meanwhile),
        Figure::Failed => others(|calls| calls.failed),
        Figure::Requests => replayed(|of| Some(of.requests.to_string())),
        Figure::LoadsPerRequest => {
            replayed(|of| of.page_table_loads_per_request.map(|loads| format!("{loads:.2}")))
        }
        Figure::LoadsSaved => {
            replayed(|of| of.page_table_loads_saved.map(|share| format!("{:.1} %", share * 100.0)))
        }
    }
}

fn count_columns(rows: &[Row<'_>]) -> Vec<Column> {
    let count = |case: &CaseRecord, name: &str| case.without_preemption(name).map(format::count);
    let counter = |name: &'static str| {
        move |row: &Row<'_>| {
            if is_whole(row) { count(row.0, name).unwrap_or_default() } else { String::new() }
        }
    };
    let mut columns = vec![column(rows, "page-table\nloads", KEEP, true, |row @ (case, _)| {
        if !is_whole(row) {
            return String::new();
        }
        let loads = count(case, "page_table_loads").unwrap_or_default();
        if case.expected.agrees == Some(false) { format!("{loads} (!)") } else { loads }
    })];
    columns.extend(own_columns(rows, false));
    columns.extend([
        column(rows, "loads\nelided", 4, true, counter("page_table_loads_elided")),
        // The sum of the two before it, so it goes first.
        column(rows, "thread\nswitches", 1, true, counter("context_switches")),
        column(rows, "IPCs\nfast/slow", 5, true, |row @ (case, _)| {
            if !is_whole(row) {
                return String::new();
            }
            match (count(case, "ipc_fast"), count(case, "ipc_slow")) {
                _ if case.counters.get("ipc_direct").is_some_and(|direct| direct.total > 0) => {
                    format!("{} direct", count(case, "ipc_direct").unwrap_or_default())
                }
                (Some(fast), Some(slow)) => format!("{fast}/{slow}"),
                _ => String::new(),
            }
        }),
    ]);
    columns
}

/// What a row rests on: samples, and the guests that left them where there were several.
fn basis_columns(rows: &[Row<'_>]) -> [Column; 2] {
    let launches = |case: &CaseRecord| case.launches.iter().filter(|launch| launch.round_trips > 0).count();
    let has_several = rows.iter().any(|(case, _)| launches(case) > 1);
    [
        column(rows, "samples", KEEP, true, |(case, channel)| {
            format::grouped(channel.map_or(case.round_trips, |(_, channel)| channel.summary.count))
        }),
        column(rows, "launches", KEEP, true, |(case, _)| match has_several {
            true => launches(case).to_string(),
            false => String::new(),
        }),
    ]
}

fn time_columns(run: &RunRecord, rows: &[Row<'_>]) -> [Column; 9] {
    let unit = if run.host.tsc_counts_instructions { "instructions" } else { "ticks" };
    let all_doubtful = rows.iter().all(|(case, _)| !case.timing.is_time());
    let mark = if all_doubtful { "*" } else { "" };
    let ticks = |row: &Row<'_>, value: fn(&ChannelRecord) -> u64| {
        let own_mark = if row.0.timing.is_time() || all_doubtful { "" } else { "*" };
        row.1.map_or(String::new(), |(_, channel)| format!("{}{own_mark}", format::grouped(value(channel))))
    };
    let of_channel = |row: &Row<'_>, text: fn(&ChannelRecord) -> Option<String>| {
        row.1.and_then(|(_, channel)| text(channel)).unwrap_or_default()
    };
    [
        column(rows, &format!("median{mark}\n{unit}"), KEEP, true, |row| {
            ticks(row, |channel| channel.summary.median)
        }),
        column(rows, "95 %\nCI", 7, true, |row| {
            of_channel(row, |ChannelRecord { summary, .. }| {
                summary.interval.map(|interval| format::interval(interval, summary.median))
            })
        }),
        column(rows, &format!("undisturbed{mark}\nmedian (samples)"), 6, true, |row| {
            of_channel(row, |ChannelRecord { summary, undisturbed, .. }| {
                let some = undisturbed.filter(|undisturbed| undisturbed.count < summary.count)?;
                let median = some.median.map_or("none".to_owned(), format::grouped);
                Some(format!(
                    "{median} ({} of {})",
                    format::grouped(some.count),
                    format::grouped(summary.count)
                ))
            })
        }),
        column(rows, &format!("p99{mark}\n{unit}"), 6, true, |row| ticks(row, |channel| channel.summary.p99)),
        // What a caller has to be prepared for.
        column(rows, &format!("worst{mark}\n{unit}"), KEEP, true, |row| {
            match row.0.parameters.workload.nature().moves {
                Moves::EveryRoundTrip => ticks(row, |channel| channel.summary.max),
                Moves::Never | Moves::Before => String::new(),
            }
        }),
        column(rows, "median\nns", 2, true, |row| {
            // Nanoseconds of what is no time would only invite comparison.
            let is_time = row.0.timing.is_time() && !run.host.tsc_counts_instructions;
            let text = of_channel(row, |channel| channel.median_ns.map(|ns| format!("{ns:.1}")));
            if is_time { text } else { String::new() }
        }),
        column(rows, "clock\noverhead", 3, true, |(case, channel)| {
            let has_it = channel.is_none() || case.parameters.workload.nature().does == Does::Calls;
            let median = case
                .empty_pair_median_ticks
                .filter(|_| has_it && case.parameters.workload.verdict().is_none());
            median.map_or(String::new(), format::grouped)
        }),
        column(rows, &format!("vs{mark}\nall-user"), 8, true, |row| {
            of_channel(row, |channel| channel.ratio_to_all_user.map(|ratio| format!("×{ratio:.2}")))
        }),
        column(rows, "vs one\nguest", KEEP, true, |row| {
            of_channel(row, |channel| channel.ratio_to_lone_guest.map(|ratio| format!("×{ratio:.2}")))
        }),
    ]
}
