//! One section of a report: the cases of one kind, and the columns that tell them apart.

use super::grid::{Column, KEEP};
use super::many_threads;
use super::{crowd, format, lenses, schemes, tlb, traced};
use crate::case::parameter::{Flush, Gate};
use crate::case::size::MemorySize;
use crate::machine::guest::HugePages;
use crate::record::channel::ChannelRecord;
use crate::record::run::{CaseRecord, CountRecord, OtherCallsRecord, RunRecord};
use crate::workload::Workload;

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
    cases.sort_by_key(|case| {
        let parameters = &case.parameters;
        (
            parameters.serving,
            parameters.client_pages,
            parameters.server_pages,
            parameters.partners,
            parameters.servers,
            parameters.words,
            parameters.vcpus,
            parameters.huge_pages,
            parameters.guests,
            parameters.pcid,
        )
    });
    cases
}

fn section(run: &RunRecord, name: &str, cases: &[&CaseRecord]) -> Section {
    let rows: Vec<Row<'_>> = cases.iter().flat_map(|case| rows_of(case)).collect();
    let workload = cases[0].parameters.workload;
    let mut heading = format!("{name}: {}", workload.describe());
    let mut columns = Vec::new();
    for column in setting_columns(&rows) {
        match constant(&column) {
            Some("") => {}
            Some("1") if column.heading == "vCPUs" => {}
            Some(value) => heading.push_str(&format!(" · {} {value}", column.heading.replace('\n', " "))),
            None => columns.push(column),
        }
    }
    columns.push(column(&rows, format::placements_heading(workload), KEEP, false, |(case, _)| {
        format::placements(&case.parameters)
    }));
    columns.push(column(&rows, "outcome", KEEP, false, |(case, _)| match case.outcome.is_success() {
        true => String::new(),
        false => "failed".to_owned(),
    }));
    if rows.iter().any(|(case, _)| case.ticks.len() > 1) {
        columns.push(column(&rows, "timed part", KEEP, false, |(case, channel)| {
            let is_32_bit = case.parameters.has_32_bit();
            channel.map_or(String::new(), |(name, _)| format::channel(name, is_32_bit).to_owned())
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
    // The one sample of a wild read says nothing about times.
    if case.ticks.is_empty() || case.parameters.workload == Workload::Reach {
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

fn setting_columns(rows: &[Row<'_>]) -> [Column; 20] {
    let pages = |case: &CaseRecord| match (case.parameters.client_pages, case.parameters.server_pages) {
        (Some(client), Some(server)) if client == server => format::grouped(u64::from(client)),
        (Some(client), Some(server)) => {
            format!("{}+{}", format::grouped(u64::from(client)), format::grouped(u64::from(server)))
        }
        (None, Some(server)) => format::grouped(u64::from(server)),
        _ => String::new(),
    };
    let number = |value: Option<u32>| value.map_or(String::new(), |value| value.to_string());
    // The smallest slot and INT are the usual ones.
    let chooses_slot = rows.iter().any(|(case, _)| case.parameters.chosen_slot().is_some());
    let slot = |case: &CaseRecord| case.parameters.slot_bytes.filter(|_| chooses_slot);
    let is_other = |gate: Option<Gate>| gate.is_some_and(|gate| gate != Gate::Int);
    let chooses_gate = rows.iter().any(|(case, _)| is_other(case.parameters.gate));
    let gate = |case: &CaseRecord| case.parameters.gate.filter(|_| chooses_gate);
    [
        column(rows, "servers", KEEP, true, |(case, _)| number(case.parameters.servers)),
        column(rows, "servers\nmoved", KEEP, true, |(case, _)| number(case.parameters.moved)),
        column(rows, "partners", KEEP, true, |(case, _)| number(case.parameters.partners)),
        column(rows, "migration", KEEP, false, |(case, _)| {
            case.parameters.migration.map_or(String::new(), |migration| migration.name().replace('_', " "))
        }),
        column(rows, "flush", KEEP, false, |(case, _)| match case.parameters.flush {
            Flush::Threshold => String::new(),
            flush => flush.name().replace('_', " "),
        }),
        column(rows, "fault", KEEP, false, |(case, _)| {
            case.parameters.fault.map_or(String::new(), |fault| fault.name().replace('_', " "))
        }),
        column(rows, "faults before\ndemotion", KEEP, true, |(case, _)| number(case.parameters.demote_after)),
        column(rows, "messages before\npromotion", KEEP, true, |(case, _)| {
            number(case.parameters.promote_after)
        }),
        column(rows, "serving", KEEP, false, |(case, _)| {
            case.parameters.serving.map_or(String::new(), |serving| serving.name().replace('_', " "))
        }),
        column(rows, "shape", KEEP, false, |(case, _)| {
            case.parameters.shape.map_or(String::new(), |shape| shape.name().to_owned())
        }),
        column(rows, "handlers", KEEP, true, |(case, _)| match case.parameters.handlers() {
            0 => String::new(),
            handlers => format::grouped(handlers),
        }),
        column(rows, "pages", KEEP, true, |(case, _)| pages(case)),
        column(rows, "words", KEEP, true, |(case, _)| {
            case.parameters.words.map_or(String::new(), |w| w.to_string())
        }),
        column(rows, "server reads", KEEP, false, |(case, _)| {
            case.parameters.target.map_or(String::new(), |target| format!("{} memory", target.owner()))
        }),
        column(rows, "slot", KEEP, true, |(case, _)| {
            slot(case).map_or(String::new(), |bytes| MemorySize { bytes }.to_string())
        }),
        column(rows, "gate", KEEP, false, |(case, _)| {
            gate(case).map_or(String::new(), |gate| gate.name().to_uppercase())
        }),
        column(rows, "vCPUs", KEEP, true, |(case, _)| {
            let mark = if case.is_overcommitted { "°" } else { "" };
            format!("{}{mark}", case.parameters.vcpus)
        }),
        column(rows, "guests", KEEP, true, |(case, _)| number(case.parameters.guests)),
        column(rows, "huge pages", KEEP, false, |(case, _)| match case.parameters.huge_pages {
            HugePages::No => String::new(),
            kind => kind.name().to_owned(),
        }),
        column(rows, "pcid", KEEP, false, |(case, _)| {
            if case.parameters.pcid { "on" } else { "off" }.to_owned()
        }),
    ]
}

fn count_columns(rows: &[Row<'_>]) -> [Column; 13] {
    let count = |case: &CaseRecord, name: &str| case.without_preemption(name).map(format::count);
    // The counters span whole round trips, so they stand in the row of the first channel only.
    let is_whole = |row: &Row<'_>| {
        row.1.is_none_or(|(name, _)| row.0.parameters.workload.channels().first() == Some(&name.as_str()))
    };
    let moving = |name: &'static str| {
        move |row: &Row<'_>| match row.0.parameters.workload {
            workload if workload.migrates() && is_whole(row) => count(row.0, name).unwrap_or_default(),
            _ => String::new(),
        }
    };
    let faulting = |name: &'static str| {
        move |row: &Row<'_>| match row.0.parameters.workload {
            Workload::Faults if is_whole(row) => total(row.0, name),
            _ => String::new(),
        }
    };
    let others = |field: fn(&OtherCallsRecord) -> CountRecord| {
        move |row: &Row<'_>| {
            let is_reach = row.0.parameters.workload == Workload::Reach;
            let calls = row.0.other_calls.as_ref().filter(|_| is_whole(row) && !is_reach);
            calls.and_then(|calls| field(calls).per_round_trip).map_or(String::new(), format::count)
        }
    };
    let counter = |name: &'static str| {
        move |row: &Row<'_>| {
            if is_whole(row) { count(row.0, name).unwrap_or_default() } else { String::new() }
        }
    };
    [
        column(rows, "page-table\nloads", KEEP, true, |row @ (case, _)| {
            if !is_whole(row) {
                return String::new();
            }
            let loads = count(case, "page_table_loads").unwrap_or_default();
            if case.expected.agrees == Some(false) { format!("{loads} (!)") } else { loads }
        }),
        column(rows, "pages\nremapped", 9, true, moving("pages_remapped")),
        column(rows, "INVLPGs", 9, true, moving("invlpg")),
        column(rows, "full\nflushes", 9, true, moving("tlb_full_flushes")),
        column(rows, "calls served\nduring moves", 9, true, others(|calls| calls.answered_meanwhile)),
        column(rows, "calls\nfailed", 9, true, others(|calls| calls.failed)),
        column(rows, "faults\n(total)", 9, true, faulting("faults")),
        column(rows, "restarts\n(total)", 9, true, faulting("restarts")),
        column(rows, "demotions\n(total)", 9, true, faulting("demotions\n(total)")),
        column(rows, "frames\ntaken", 9, true, |row| match row.0.parameters.workload {
            Workload::Slots if is_whole(row) => count(row.0, "frames_taken").unwrap_or_default(),
            _ => String::new(),
        }),
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
    ]
}

/// A count over all round trips.
fn total(case: &CaseRecord, name: &str) -> String {
    case.counters.get(name).map_or(String::new(), |count| format::grouped(count.total))
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
        column(rows, &format!("worst{mark}\n{unit}"), KEEP, true, |row| match row.0.parameters.workload {
            workload if workload.migrates() => ticks(row, |channel| channel.summary.max),
            _ => String::new(),
        }),
        column(rows, "median\nns", 2, true, |row| {
            // Nanoseconds of what is no time would only invite comparison.
            let is_time = row.0.timing.is_time() && !run.host.tsc_counts_instructions;
            let text = of_channel(row, |channel| channel.median_ns.map(|ns| format!("{ns:.1}")));
            if is_time { text } else { String::new() }
        }),
        column(rows, "clock\noverhead", 3, true, |(case, channel)| {
            let is_the_pair = channel.is_some_and(|(name, _)| name == "empty_pair");
            let median = case
                .empty_pair_median_ticks
                .filter(|_| case.parameters.workload != Workload::Reach && !is_the_pair);
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
