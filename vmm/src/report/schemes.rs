//! The schemes side by side: servers in spaces of their own, in small spaces, in the kernel, each called by the same large
//! 32-bit client.

use std::collections::BTreeSet;

use abi::address::{LARGE_SIZE, REGION_SIZE, SLOT_COUNT, SMALL_SIZE, SMALL_SLOT_SIZES};

use super::grid::{Column, KEEP};
use super::section::{Row, Section, column};
use super::{format, tlb};
use crate::case::Parameters;
use crate::case::parameter::{Gate, Transfer};
use crate::case::size::MemorySize;
use crate::case::workload::{Ending, Moves, Verdict};
use crate::lens::trace::Summary;
use crate::record::run::{CaseRecord, RunRecord};
use crate::system::placement::Placement;

/// Where the servers are, in the order of the columns.
const SCHEMES: [Placement; 3] = [Placement::Large, Placement::Small, Placement::Kernel];

/// Columns of sections that have programs for 32 bits: what the schemes differ in. Of wild reads, whatever the programs:
/// what came of them.
pub(super) fn count_columns(rows: &[Row<'_>]) -> Vec<Column> {
    if let Some(verdict) = rows.iter().find_map(|(case, _)| case.parameters.workload.verdict()) {
        return vec![column(rows, verdict.heading(), KEEP, false, |(case, _)| answer(case).to_owned())];
    }
    if !rows.iter().any(|(case, _)| case.parameters.has_32_bit()) {
        return Vec::new();
    }
    let counter = |name: &'static str| {
        move |(case, _): &Row<'_>| case.without_preemption(name).map_or(String::new(), format::count)
    };
    let migrates =
        rows.iter().any(|(case, _)| case.parameters.workload.nature().moves == Moves::EveryRoundTrip);
    let mut columns = vec![column(rows, "segment\nloads", KEEP, true, counter("segment_loads"))];
    if !migrates {
        columns.push(column(rows, "full\nflushes", 9, true, counter("tlb_full_flushes")));
    }
    columns.push(column(rows, "pages\ntouched", 1, true, |(case, _)| pages(case).unwrap_or_default()));
    columns
}

/// Instructions of kernel and stubs, and with the programs.
fn instructions(case: &CaseRecord) -> Option<String> {
    let counts = Summary::of_record(case)?.counts;
    Some(format!("{} of {}", format::grouped(counts.path_instructions), format::grouped(counts.instructions)))
}

fn pages(case: &CaseRecord) -> Option<String> {
    Some(format::grouped(Summary::of_record(case)?.counts.footprint.page_count()))
}

/// The scheme of a case that is one of the compared: a large client, all servers in one placement, nothing unusual.
fn scheme(case: &Parameters) -> Option<Placement> {
    let servers = [case.server, case.relay];
    let mut servers = servers.into_iter().flatten();
    let scheme = servers.next()?;
    let is_plain = case.client == Placement::Large
        && servers.all(|server| server == scheme)
        && case.other_client.is_none_or(|other| other == Placement::Large)
        && case.transfer == Transfer::Switch
        && case.gate == Some(Gate::Int)
        && !case.pcid
        && case.workload.verdict().is_none();
    (is_plain && SCHEMES.contains(&scheme)).then_some(scheme)
}

/// Cases that differ in their scheme alone, one for each scheme where there is one.
struct Group<'a> {
    name: String,
    cases: [Option<&'a CaseRecord>; SCHEMES.len()],
}

fn groups(run: &RunRecord) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for case in &run.cases {
        let Some(scheme) = scheme(&case.parameters) else { continue };
        let setting = Parameters { slot_bytes: None, ..case.parameters.clone() }.setting();
        let setting = setting.trim_end_matches("pcid=off").trim_end_matches('/').replace('/', " ");
        let prefix = case.name.split('/').next().unwrap_or_default();
        let name = format!("{prefix} {setting}").trim_end().to_owned();
        let index = match groups.iter().position(|group| group.name == name) {
            Some(index) => index,
            None => {
                groups.push(Group { name, cases: [None; SCHEMES.len()] });
                groups.len() - 1
            }
        };
        let place = SCHEMES.iter().position(|known| *known == scheme);
        if let Some(place) = place {
            // Of several slot sizes the first one stands for all.
            groups[index].cases[place].get_or_insert(case);
        }
    }
    groups.retain(|group| group.cases.iter().flatten().count() > 1);
    // The same cases under another name say nothing new.
    let mut seen: Vec<String> = Vec::new();
    groups.retain(|group| {
        let cases = || group.cases.iter().flatten();
        let known = cases().all(|case| seen.contains(&what(case)));
        seen.extend(cases().map(|case| what(case)));
        !known
    });
    groups
}

/// What a case measures, whatever its name.
fn what(case: &CaseRecord) -> String {
    let parameters = &case.parameters;
    format!("{} {} {}", parameters.workload, parameters.placements(), parameters.setting())
}

/// `None` where a run does not compare schemes.
pub(super) fn section(run: &RunRecord) -> Option<Section> {
    let groups = groups(run);
    if groups.is_empty() {
        return None;
    }
    let mut rows: Vec<TableRow> = Vec::new();
    for group in &groups {
        let mut row = |what: &str, basis: Basis, cell: &dyn Fn(&CaseRecord) -> Option<String>| {
            let cells = group.cases.map(|case| case.and_then(cell).unwrap_or_default());
            if cells.iter().any(|cell| !cell.is_empty()) {
                let [user, small, kernel] = cells;
                let round_trips = basis_of(group.cases.into_iter().flatten().filter_map(basis));
                rows.push([format!("{}: {what}", group.name), user, small, kernel, round_trips]);
            }
        };
        let counter =
            |name: &'static str| move |case: &CaseRecord| Some(format::count(case.without_preemption(name)?));
        row("page-table loads", counted, &counter("page_table_loads"));
        row("full flushes", counted, &counter("tlb_full_flushes"));
        row("segment loads", counted, &counter("segment_loads"));
        row("instructions", traced, &instructions);
        row("pages", traced, &pages);
        // A case without a trace has no models; the others have the same ones.
        let models =
            group.cases.iter().flatten().map(|case| &case.tlb_models).max_by_key(|models| models.len());
        for name in models.into_iter().flatten().map(|report| &report.model) {
            let misses =
                |case: &CaseRecord| tlb::misses(case.tlb_models.iter().find(|report| report.model == *name)?);
            row(&format!("misses/walks, {name}"), traced, &misses);
        }
    }
    rows.extend(limits(run));
    let heading = "schemes side by side, for the same large 32-bit client: servers in spaces of their own, in small \
                   spaces, in the kernel. Instructions: those of kernel and stubs, of all with the programs";
    Some(Section { name: "schemes".to_owned(), heading: heading.to_owned(), columns: columns(&rows) })
}

/// What is compared, one cell for each scheme, and the round trips that it rests on.
type TableRow = [String; 2 + SCHEMES.len()];

/// Round trips that a figure of a case rests on.
type Basis = fn(&CaseRecord) -> Option<u64>;

fn counted(case: &CaseRecord) -> Option<u64> {
    Some(case.round_trips)
}

fn traced(case: &CaseRecord) -> Option<u64> {
    Some(Summary::of_record(case)?.round_trips)
}

/// One number where all cases have the same, else each.
fn basis_of(round_trips: impl Iterator<Item = u64>) -> String {
    let mut numbers: Vec<u64> = round_trips.collect();
    numbers.dedup();
    numbers.into_iter().map(format::grouped).collect::<Vec<_>>().join(", ")
}

fn columns(rows: &[TableRow]) -> Vec<Column> {
    let headings = ["per round trip", "own space", "small space", "kernel", "round trips"];
    let column = |(index, heading): (usize, &str)| Column {
        heading: heading.to_owned(),
        cells: rows.iter().map(|row| row[index].clone()).collect(),
        is_number: index > 0,
        rank: KEEP,
    };
    headings.into_iter().enumerate().map(column).collect()
}

/// What each scheme has room for, and what a server can reach that it should not.
fn limits(run: &RunRecord) -> Vec<TableRow> {
    let size = |bytes: u64| MemorySize { bytes }.to_string() + "iB";
    let [smallest, .., largest] = SMALL_SLOT_SIZES;
    let slots = |bytes: u64| format!("{} of {}", SMALL_SIZE / bytes, size(bytes));
    let row = |what: &str, user: String, small: String, kernel: String| {
        [what.to_owned(), user, small, kernel, String::new()]
    };
    let mut rows = vec![
        row("largest server", size(LARGE_SIZE), size(largest), size(REGION_SIZE)),
        row(
            "most servers at once",
            "as memory has room".to_owned(),
            format!("{}, {}", slots(smallest), slots(largest)),
            format!("{} of {}", format::grouped(SLOT_COUNT as u64), size(REGION_SIZE)),
        ),
    ];
    let limits = match checks_limits(run) {
        Some(false) => "segment limits, unchecked here",
        _ => "segment limits",
    };
    rows.push(row(
        "what keeps it in its place",
        "its page table".to_owned(),
        limits.to_owned(),
        "trust alone".to_owned(),
    ));
    let asked = |case: &'_ CaseRecord| -> Option<(&'static dyn Verdict, (usize, String))> {
        let verdict = case.parameters.workload.verdict()?;
        (case.parameters.client == Placement::Large).then(|| (verdict, verdict.question(&case.parameters)))
    };
    let questions: BTreeSet<(usize, String)> =
        run.cases.iter().filter_map(asked).map(|(_, asked)| asked).collect();
    for question in questions {
        let asking = || run.cases.iter().filter(|case| asked(case).is_some_and(|(_, one)| one == question));
        let Some((first, (verdict, _))) = asking().find_map(|case| Some((case, asked(case)?))) else {
            continue;
        };
        let [user, small, kernel] = SCHEMES.map(|scheme| {
            let case = asking().find(|case| case.parameters.server == Some(scheme));
            let impossible = || verdict.impossible(&first.parameters, scheme).unwrap_or_default();
            case.map_or_else(impossible, answer).to_owned()
        });
        let round_trips = basis_of(asking().map(|case| case.round_trips));
        rows.push([question.1, user, small, kernel, round_trips]);
    }
    rows
}

/// Whether the host checks the limits of segments, where it was asked.
fn checks_limits(run: &RunRecord) -> Option<bool> {
    run.host.facts.pointer("/segments/limits")?.as_bool()
}

/// What a case answers instead of how long something takes; empty where it failed.
fn answer(case: &CaseRecord) -> &'static str {
    let (Some(calls), Some(verdict)) = (case.other_calls, case.parameters.workload.verdict()) else {
        return "";
    };
    let ending = Ending {
        answered: calls.answered_meanwhile.total,
        failed: calls.failed.total,
        has_smap: case.features.iter().any(|feature| feature == "smap"),
    };
    verdict.of(&case.parameters, ending)
}

/// What must be known of small spaces where nothing checks limits.
pub(super) fn note(run: &RunRecord) -> Option<String> {
    let has_small = run.cases.iter().any(|case| case.parameters.has_small());
    (has_small && checks_limits(run) == Some(false)).then(|| {
        "UNPROTECTED: this host checks no segment limits (`inkbed doctor`). Counts of small spaces are \
         valid, but a program in a small space can read others here. A processor stops that."
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::run::{CountRecord, OtherCallsRecord};
    use crate::reduce::tests::run_record;
    use crate::workload::{Reach, Reached, TARGET};

    /// Calls of a large client to servers in all three places, and reads of what is not theirs.
    fn run() -> RunRecord {
        let mut run = run_record();
        let call = run.cases[1].clone();
        run.cases.clear();
        for server in SCHEMES {
            let mut case = call.clone();
            case.name = format!("call/large-{server}/words=0/pcid=off");
            (case.parameters.client, case.parameters.server) = (Placement::Large, Some(server));
            case.parameters.gate = Some(Gate::Int);
            case.parameters.slot_bytes = (server == Placement::Small).then_some(2 << 20);
            let mut same = case.clone();
            same.name = case.name.replace("call/", "again/");
            run.cases.extend([case, same]);
        }
        for (server, answered) in [(Placement::Large, 0), (Placement::Small, 1), (Placement::Kernel, 0)] {
            let mut case = run.cases[0].clone();
            case.name = format!("reach/large-{server}/target=client/pcid=off");
            case.parameters = Parameters { workload: &Reach, server: Some(server), ..case.parameters }
                .with(&TARGET, Reached::Client);
            let count = |total| CountRecord { total, per_round_trip: None };
            let calls = OtherCallsRecord { answered_meanwhile: count(answered), failed: count(1 - answered) };
            (case.other_calls, case.features) = (Some(calls), vec!["smap".to_owned()]);
            run.cases.push(case);
        }
        run.host.facts = json!({ "segments": { "bases": true, "limits": false } });
        run
    }

    /// The row that begins so.
    fn row(section: &Section, name: &str) -> Vec<String> {
        let index = section.columns[0].cells.iter().position(|cell| cell == name);
        let index = index.unwrap_or_else(|| panic!("no row `{name}` in {:?}", section.columns[0].cells));
        section.columns[1..].iter().map(|column| column.cells[index].clone()).collect()
    }

    #[test]
    fn the_schemes_stand_side_by_side() {
        let section = section(&run()).unwrap();
        assert_eq!(row(&section, "call words=0: page-table loads"), ["2", "2", "2", "6"]);
        assert_eq!(row(&section, "largest server"), ["2GiB", "64MiB", "4GiB", ""]);
        let most = row(&section, "most servers at once");
        assert_eq!(most[1..3], ["256 of 2MiB, 8 of 64MiB", "30,720 of 4GiB"]);
        assert_eq!(
            row(&section, "a wild read at its client's address gets it"),
            ["no", "yes", "no, by SMAP", "6"]
        );
        assert_eq!(row(&section, "what keeps it in its place")[1], "segment limits, unchecked here");
        let repeated = section.columns[0].cells.iter().any(|cell| cell.starts_with("again"));
        assert!(!repeated, "the same under another name");
    }

    #[test]
    fn only_runs_that_compare_schemes_have_the_section() {
        assert!(section(&run_record()).is_none() && note(&run_record()).is_none());
        let mut run = run();
        assert!(note(&run).is_some());
        run.host.facts = json!({ "segments": { "bases": true, "limits": true } });
        assert!(note(&run).is_none(), "a host that checks needs no excuse");
        run.cases.retain(|case| case.parameters.server == Some(Placement::Small));
        assert!(section(&run).is_none(), "one scheme alone");
    }

    #[test]
    fn sections_without_32_bit_programs_keep_their_columns() {
        let run = run_record();
        let rows: Vec<Row<'_>> = run.cases.iter().map(|case| (case, None)).collect();
        assert!(count_columns(&rows).is_empty());
    }

    #[test]
    fn wild_reads_of_64_bit_programs_have_an_answer_and_no_times() {
        let mut run = run();
        run.cases.retain(|case| case.parameters.workload.name() == "reach");
        for case in &mut run.cases {
            case.parameters.client = Placement::User;
            case.parameters.server = Some(Placement::Kernel);
            case.parameters.gate = None;
        }
        run.cases[0].features.clear();
        let sections = crate::report::section::sections(&run);
        let columns = &sections.iter().find(|section| section.name == "reach").unwrap().columns;
        let answers = columns.iter().find(|column| column.heading == "read\nsucceeds").unwrap();
        assert_eq!(answers.cells, ["no", "yes", "no, by SMAP"]);
        let times = ["median", "CI", "p99", "overhead"];
        let is_time = |column: &&Column| times.iter().any(|time| column.heading.contains(time));
        let times: Vec<&str> = columns.iter().filter(is_time).map(|column| column.heading.as_str()).collect();
        assert!(times.is_empty(), "{times:?}");
    }
}
