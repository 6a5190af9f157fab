//! The lenses side by side: one line for each case whose round trips were traced.

use super::agreement::AgreementRecord;
use super::format;
use super::grid::{Column, KEEP};
use super::record::{CaseRecord, RunRecord};
use super::section::Section;

/// What a lens counted by itself stands in the trace's table; here stand counts that several have. `None` when no case was
/// traced.
pub fn section(run: &RunRecord) -> Option<Section> {
    let is_traced = |case: &&CaseRecord| case.lenses.get("trace").is_some_and(|lens| lens.available);
    let cases: Vec<&CaseRecord> = run.cases.iter().filter(is_traced).collect();
    let mut kinds: Vec<(&str, String)> = Vec::new();
    for row in cases.iter().flat_map(|case| &case.agreements) {
        let kind = (row.what.as_str(), lenses_of(row));
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let names = cases.iter().map(|case| case.name.clone()).collect();
    let mut columns = vec![Column { heading: "case".to_owned(), cells: names, is_number: false, rank: KEEP }];
    columns.push(Column {
        heading: "round trips\ncounted, traced".to_owned(),
        cells: cases.iter().map(|case| basis(case)).collect(),
        is_number: true,
        rank: KEEP,
    });
    columns.extend(kinds.into_iter().map(|(what, lenses)| {
        let is_it = |row: &&AgreementRecord| row.what == what && lenses_of(row) == lenses;
        let cells = cases.iter().map(|case| {
            let row = case.agreements.iter().find(is_it);
            row.map_or(String::new(), cell)
        });
        let heading = format!("{}\n{}", broken(what), in_two_lines(&lenses));
        Column { cells: cells.collect(), heading, is_number: true, rank: KEEP }
    }));
    let heading = "lenses side by side, per round trip: what must be equal".to_owned();
    (!cases.is_empty()).then(|| Section { name: "lenses".to_owned(), heading, columns })
}

/// Round trips between the marks, and those of the trace.
fn basis(case: &CaseRecord) -> String {
    let traced = case.traced().map_or(0, |summary| summary.round_trips);
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
    use super::super::agreement::agreements;
    use super::super::agreement::tests::{counted, summary};
    use super::super::record::LensRecord;
    use super::super::tests::run_record;
    use super::*;

    #[test]
    fn traced_cases_have_a_line_each_and_disagreements_show_their_counts() {
        let mut run = run_record();
        assert!(section(&run).is_none(), "nothing was traced");
        for (case, loads) in run.cases.iter_mut().skip(1).zip([20, 21]) {
            let traced = LensRecord { available: true, reason: None, hz: None, readings: Vec::new() };
            case.lenses.insert("trace".to_owned(), traced);
            let mut counted = counted(10);
            counted.loads = loads;
            case.agreements = agreements(&counted, &Ok(summary()));
        }
        let columns = section(&run).unwrap().columns;
        let headings: Vec<&str> = columns.iter().map(|column| column.heading.as_str()).collect();
        assert_eq!(
            headings,
            [
                "case",
                "round trips\ncounted, traced",
                "CR3 loads\nkernel = rule\n= trace",
                "thread switches\nkernel = trace"
            ]
        );
        assert_eq!(columns[1].cells[0], "6, 0", "the record of the trace is empty here");
        assert_eq!(columns[2].cells, ["2", "(!) 2.1 ≠ 2 ≠ 2"]);
        assert_eq!(columns[3].cells, ["2", "2"]);
    }
}
