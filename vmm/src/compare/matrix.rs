//! More than two runs side by side: each against the first.

use std::fmt::Write;

use serde::Serialize;

use crate::compare::present::{sentence, side, signed};
use crate::compare::present_times::{percent, sentences};
use crate::compare::times::Verdict;
use crate::compare::{Comparison, Side, compare};
use crate::printable::{grouped, line};
use crate::record::run::RunRecord;
use crate::report::format::count as short;
use crate::report::grid::{self, Column, KEEP};

/// Several runs, each held against the first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Matrix {
    /// The runs.
    pub runs: Vec<Side>,
    /// What differs in any of them, in the order of the first run's cases.
    pub rows: Vec<Row>,
    /// The first run with each of the others.
    pub comparisons: Vec<Comparison>,
}

/// A count, or the time of a channel, of a case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Name of the case.
    pub case: String,
    /// Name of the count, or of the channel.
    pub what: String,
    /// Of each run, the first included.
    pub cells: Vec<Cell>,
}

/// What a run has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// A count per round trip, as in the first run.
    Same(f64),
    /// Another one.
    Count(f64),
    /// A time that is not known to be another than that of the first run; ticks.
    Ticks(f64),
    /// The time of a run that is slower or faster, by that of the first.
    Ratio(f64),
    /// It was not compared.
    Absent,
}

/// Holds each of the other runs against the first.
pub fn matrix(first: &RunRecord, others: &[RunRecord]) -> Matrix {
    let comparisons: Vec<Comparison> = others.iter().map(|other| compare(first, other)).collect();
    let mut rows = Vec::new();
    for case in &first.cases {
        rows.extend(counts(&case.name, &comparisons));
        rows.extend(case.ticks.keys().filter_map(|channel| times(&case.name, channel, &comparisons)));
    }
    let seconds = comparisons.iter().map(|comparison| comparison.second.clone());
    Matrix { runs: std::iter::once(Side::of(first)).chain(seconds).collect(), rows, comparisons }
}

/// The counts of a case that differ in any run.
fn counts(case: &str, comparisons: &[Comparison]) -> Vec<Row> {
    let names = super::count::ALL.iter().map(|count| count.name);
    let row = |name: &'static str| {
        let of = |comparison: &'_ Comparison| {
            let mut differences = comparison.differences.iter();
            differences.find(|one| one.case == case && one.count == name).map(|one| (one.first, one.second))
        };
        let (first, _) = comparisons.iter().find_map(of)?;
        let cell = |comparison: &Comparison| match of(comparison) {
            Some((_, second)) => Cell::Count(second),
            None if comparison.lacking(case, name).is_some() => Cell::Absent,
            None => Cell::Same(first),
        };
        let cells = std::iter::once(Cell::Same(first)).chain(comparisons.iter().map(cell)).collect();
        Some(Row { case: case.to_owned(), what: name.to_owned(), cells })
    };
    names.filter_map(row).collect()
}

/// A channel of a case, if it is slower or faster in any run.
fn times(case: &str, channel: &str, comparisons: &[Comparison]) -> Option<Row> {
    let of = |comparison: &'_ Comparison| {
        let mut rows = comparison.times.rows.iter();
        rows.find(|row| row.case == case && row.channel == channel).cloned()
    };
    let found: Vec<_> = comparisons.iter().map(of).collect();
    let is_finding = found.iter().flatten().any(|row| row.verdict != Verdict::NoDifferenceFound);
    let first = found.iter().flatten().next().filter(|_| is_finding)?.first;
    let cell = |row: &Option<super::times::Row>| match row {
        Some(row) if row.verdict == Verdict::NoDifferenceFound => Cell::Ticks(row.second),
        Some(row) => Cell::Ratio(row.ratio),
        None => Cell::Absent,
    };
    let cells = std::iter::once(Cell::Ticks(first)).chain(found.iter().map(cell)).collect();
    Some(Row { case: case.to_owned(), what: format!("{channel} ticks"), cells })
}

/// The matrix as text for so many columns.
pub fn text(matrix: &Matrix, width: usize) -> String {
    shown(matrix, |columns| grid::text(columns, width))
}

/// The same as Markdown.
pub fn markdown(matrix: &Matrix) -> String {
    shown(matrix, grid::markdown)
}

fn shown(matrix: &Matrix, table: impl Fn(&[Column]) -> String) -> String {
    let mut text = String::new();
    for (number, run) in (1..).zip(&matrix.runs) {
        text.push_str(&side(&format!("run {number}"), run));
    }
    if !matrix.rows.is_empty() {
        let _ = writeln!(text, "\n{}", table(&columns(matrix)));
    }
    text.push_str("\n= as in run 1, ≈ no difference found, – not compared\n");
    for (number, comparison) in (2..).zip(&matrix.comparisons) {
        let _ = writeln!(text, "run {number}: {}", sentence(comparison));
        text.push_str(&sentences(&comparison.times));
    }
    text
}

fn columns(matrix: &Matrix) -> Vec<Column> {
    let column = |heading: String, is_number, cells| Column { heading, cells, is_number, rank: KEEP };
    let texts = |cell: &dyn Fn(&Row) -> String| matrix.rows.iter().map(cell).collect::<Vec<_>>();
    let mut columns = vec![
        column("case".to_owned(), false, texts(&|row| line(&row.case).into_owned())),
        column("per round trip".to_owned(), false, texts(&|row| line(&row.what).replace('_', " "))),
    ];
    columns.extend(
        (0..matrix.runs.len())
            .map(|run| column(format!("run {}", run + 1), true, texts(&|row| row.text(run)))),
    );
    columns
}

impl Row {
    /// What is shown of a run: of the first what it has, of the others what is another.
    fn text(&self, run: usize) -> String {
        match (self.cells[run], self.cells[0]) {
            (Cell::Same(count), _) if run == 0 => short(count),
            (Cell::Same(_), _) => "=".to_owned(),
            (Cell::Count(count), Cell::Same(first)) => {
                format!("{} ({})", short(count), signed(count - first))
            }
            (Cell::Count(count), _) => short(count),
            (Cell::Ticks(ticks), _) if run == 0 => grouped(ticks.round() as u64),
            (Cell::Ticks(_), _) => "≈".to_owned(),
            (Cell::Ratio(ratio), _) => percent(ratio),
            (Cell::Absent, _) => "–".to_owned(),
        }
    }
}

#[cfg(test)]
#[path = "matrix_tests.rs"]
mod tests;
