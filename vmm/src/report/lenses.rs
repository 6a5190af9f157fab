//! The lenses side by side: what they agree on, and each case in which they do not.

use super::format;
use super::grid::{Column, KEEP};
use super::section::Section;
use crate::lens::trace::{self, Summary};
use crate::record::agreement::AgreementRecord;
use crate::record::run::{CaseRecord, RunRecord};

/// What several lenses count: for each comparison in how many cases they agree, then the cases in which they do not. Empty when
/// nothing was compared with a trace.
pub fn sections(run: &RunRecord) -> Vec<Section> {
    let is_traced = |case: &&CaseRecord| case.lenses.get(trace::NAME).is_some_and(|lens| lens.available);
    let cases: Vec<&CaseRecord> = run.cases.iter().filter(is_traced).collect();
    let comparisons = comparisons(&cases);
    if comparisons.is_empty() {
        return Vec::new();
    }
    let differing: Vec<&CaseRecord> =
        cases.iter().copied().filter(|case| case.disagreements().next().is_some()).collect();
    let mut sections = vec![summary(&cases, &comparisons)];
    if !differing.is_empty() {
        sections.push(disagreements(&differing));
    }
    sections
}

/// What is compared, and by which lenses, in the order in which it comes up.
fn comparisons(cases: &[&CaseRecord]) -> Vec<(String, String)> {
    let mut comparisons = Vec::new();
    for row in cases.iter().flat_map(|case| &case.agreements) {
        let comparison = (row.what.clone(), lenses_of(row));
        if !comparisons.contains(&comparison) {
            comparisons.push(comparison);
        }
    }
    comparisons
}

/// The rows of a comparison, of all cases that have it.
fn rows<'run>(
    cases: &[&'run CaseRecord],
    (what, lenses): &(String, String),
) -> impl Iterator<Item = &'run AgreementRecord> {
    cases
        .iter()
        .flat_map(|case| &case.agreements)
        .filter(move |row| row.what == *what && lenses_of(row) == *lenses)
}

fn summary(cases: &[&CaseRecord], comparisons: &[(String, String)]) -> Section {
    let column = |heading: &str, is_number, cell: &dyn Fn(&(String, String)) -> String| Column {
        heading: heading.to_owned(),
        cells: comparisons.iter().map(cell).collect(),
        is_number,
        rank: KEEP,
    };
    let count = |comparison: &_, agrees: bool| {
        format::grouped(rows(cases, comparison).filter(|row| row.agrees == agrees).count() as u64)
    };
    Section {
        name: "lenses".to_owned(),
        heading: "lenses side by side: what must be equal in every traced case".to_owned(),
        columns: vec![
            column("what is counted", false, &|(what, _)| what.clone()),
            column("counted by", false, &|(_, lenses)| lenses.clone()),
            column("cases\nthat agree", true, &|comparison| count(comparison, true)),
            column("cases\nthat differ", true, &|comparison| count(comparison, false)),
        ],
    }
}

/// A line for each of these cases, with everything that was compared in it.
fn disagreements(cases: &[&CaseRecord]) -> Section {
    let names = cases.iter().map(|case| case.name.clone()).collect();
    let mut columns = vec![Column { heading: "case".to_owned(), cells: names, is_number: false, rank: KEEP }];
    columns.push(Column {
        heading: "round trips\ncounted, traced".to_owned(),
        cells: cases.iter().map(|case| basis(case)).collect(),
        is_number: true,
        rank: KEEP,
    });
    columns.extend(comparisons(cases).into_iter().map(|(what, lenses)| {
        let is_it = |row: &&AgreementRecord| row.what == what && lenses_of(row) == lenses;
        let cells = cases.iter().map(|case| {
            let row = case.agreements.iter().find(is_it);
            row.map_or(String::new(), cell)
        });
        let heading = format!("{}\n{}", broken(&what), in_two_lines(&lenses));
        Column { cells: cells.collect(), heading, is_number: true, rank: KEEP }
    }));
    let heading = "cases in which the lenses differ, per round trip".to_owned();
    Section { name: "lenses that differ".to_owned(), heading, columns }
}

/// Round trips between the marks, and those of the trace.
fn basis(case: &CaseRecord) -> String {
    let traced = Summary::of_record(case).map_or(0, |summary| summary.round_trips);
    format!("{}, {}", format::grouped(case.round_trips), format::grouped(traced))
}

fn lenses_of(row: &AgreementRecord) -> String {
    row.counts.keys().map(String::as_str).collect::<Vec<_>>().join(" = ")
}

/// Long names on two lines.
fn broken(what: &str) -> String {
    what.replacen(" in ", "\nin ", 1).replacen(" from ", "\nfrom ", 1)
}

/// More than two lenses on two lines: cells would break before a long heading does.
fn in_two_lines(lenses: &str) -> String {
    match (lenses.matches(" = ").count(), lenses.rsplit_once(" = ")) {
        (2.., Some((first, last))) => format!("{first}\n= {last}"),
        _ => lenses.to_owned(),
    }
}

/// Equal counts are one number for a round trip; others stand side by side, each by the number of round trips.
fn cell(row: &AgreementRecord) -> String {
    if row.agrees {
        return format::count(row.per_round_trip);
    }
    let counts = row.counts.values().map(|count| match row.round_trips {
        // A record that does not tell how many.
        0 => format!("{} in all", format::grouped(*count)),
        round_trips => format::count(*count as f64 / round_trips as f64),
    });
    format!("(!) {}", counts.collect::<Vec<_>>().join(" ≠ "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lens::agree::tests::{agreements, counted, summary};
    use crate::record::run::LensRecord;
    use crate::reduce::tests::run_record;

    #[test]
    fn what_agrees_is_counted_and_cases_that_differ_show_their_counts() {
        let mut run = run_record();
        assert!(sections(&run).is_empty(), "nothing was traced");
        for (case, loads) in run.cases.iter_mut().skip(1).zip([20, 21]) {
            let traced = LensRecord { available: true, reason: None, hz: None, readings: Vec::new() };
            case.lenses.insert("trace".to_owned(), traced);
            let mut counted = counted(10);
            counted.loads = loads;
            case.agreements = agreements(&counted, &Ok(summary()));
        }
        let [all, differing] = &sections(&run)[..] else { panic!("one case differs") };
        let cells: Vec<&[String]> = all.columns.iter().map(|column| &column.cells[..]).collect();
        assert_eq!(cells[0], ["page-table loads", "thread switches"]);
        assert_eq!(cells[1], ["kernel = rule = trace", "kernel = trace"]);
        assert_eq!(
            (cells[2], cells[3]),
            (&["1".to_owned(), "2".to_owned()][..], &["1".to_owned(), "0".to_owned()][..])
        );

        let columns = &differing.columns;
        assert_eq!(columns[0].cells, [run.cases[2].name.clone()]);
        assert_eq!(columns[1].heading, "round trips\ncounted, traced");
        assert_eq!(columns[1].cells[0], "6, 0", "the record of the trace is empty here");
        assert_eq!(columns[2].heading, "page-table loads\nkernel = rule\n= trace");
        assert_eq!(columns[2].cells, ["(!) 2.1 ≠ 2 ≠ 2"]);
        assert_eq!(columns[3].cells, ["2"]);

        run.cases.remove(2);
        assert_eq!(sections(&run).len(), 1, "all agree");
    }
}
