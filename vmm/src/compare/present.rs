//! A comparison for people: as text for a terminal, and as Markdown.

use std::fmt::Write;

use crate::compare::present_times;
use crate::compare::{Comparison, Difference, PartKind, Side};
use crate::printable::line;
use crate::report::format::count as short;
use crate::report::grid::{self, Column, KEEP};

/// Differences shown of each kind of part.
const PARTS_SHOWN: usize = 3;

/// The comparison as text for so many columns.
pub fn text(comparison: &Comparison, width: usize) -> String {
    let mut text = head(comparison);
    if !comparison.differences.is_empty() {
        let _ = writeln!(text, "\n{}", grid::text(&columns(comparison), width));
    }
    text.push_str(&tail(comparison));
    let mut times = present_times::columns(&comparison.times);
    grid::fit(&mut times, width);
    text.push_str(&present_times::section(&comparison.times, &grid::text(&times, width)));
    text
}

/// The same as Markdown.
pub fn markdown(comparison: &Comparison) -> String {
    let mut text = head(comparison);
    if !comparison.differences.is_empty() {
        let _ = writeln!(text, "\n{}", grid::markdown(&columns(comparison)));
    }
    text.push_str(&tail(comparison));
    let times = present_times::columns(&comparison.times);
    text.push_str(&present_times::section(&comparison.times, &grid::markdown(&times)));
    text
}

fn head(comparison: &Comparison) -> String {
    side("first ", &comparison.first) + &side("second", &comparison.second)
}

/// What is told of a run, in a line.
pub(super) fn side(name: &str, side: &Side) -> String {
    let guest: String = side.guest_sha256.chars().take(12).collect();
    format!(
        "{name}: {} · {} · guest {guest} · {}\n",
        line(&side.experiment),
        line(&side.started_utc),
        line(&side.host)
    )
}

/// What is shown: not a second count of a case whose change is that of the count before it, as all three counts of instructions have
/// where only the kernel's entry got longer.
fn shown(comparison: &Comparison) -> impl Iterator<Item = &Difference> {
    let all = &comparison.differences;
    all.iter().enumerate().filter_map(move |(index, difference)| {
        let before = index.checked_sub(1).and_then(|index| all.get(index));
        let is_said = before.is_some_and(|before| {
            before.case == difference.case
                && before.change() == difference.change()
                && before.parts == difference.parts
                && !difference.parts.is_empty()
        });
        (!is_said).then_some(difference)
    })
}

fn columns(comparison: &Comparison) -> Vec<Column> {
    let column = |heading: &str, is_number, cell: &dyn Fn(&Difference) -> String| Column {
        heading: heading.to_owned(),
        cells: shown(comparison).map(cell).collect(),
        is_number,
        rank: KEEP,
    };
    vec![
        column("case", false, &|difference| line(&difference.case).into_owned()),
        column("count per\nround trip", false, &|difference| difference.count.replace('_', " ")),
        column("first", true, &|difference| short(difference.first)),
        column("second", true, &|difference| short(difference.second)),
        column("change", true, &|difference| signed(difference.change())),
        column("by function", false, &|difference| parts(difference, PartKind::Function)),
        column("by phase", false, &|difference| parts(difference, PartKind::Phase)),
    ]
}

pub(super) fn signed(change: f64) -> String {
    if change > 0.0 { format!("+{}", short(change)) } else { format!("−{}", short(-change)) }
}

/// The largest changes of the parts of one kind, with how many more there are.
fn parts(difference: &Difference, kind: PartKind) -> String {
    let of_kind: Vec<_> = difference.parts.iter().filter(|part| part.kind == kind).collect();
    let shown = of_kind.iter().take(PARTS_SHOWN);
    // Of a function's path the end, which is enough to find it.
    let name = |name: &str| line(name.rsplit("::").next().unwrap_or(name)).into_owned();
    let mut cells: Vec<String> =
        shown.map(|part| format!("{} {}", signed(part.change as f64), name(&part.name))).collect();
    if of_kind.len() > PARTS_SHOWN {
        cells.push(format!("{} more", of_kind.len() - PARTS_SHOWN));
    }
    cells.join(", ")
}

/// What is said of the counts.
pub(super) fn sentence(comparison: &Comparison) -> String {
    let (counts, cases) = (comparison.counts(), comparison.cases);
    match comparison.differences.len() {
        0 => format!("All {counts} counts of {cases} cases are the same."),
        differences => format!("{differences} of {counts} counts of {cases} cases are not the same."),
    }
}

fn tail(comparison: &Comparison) -> String {
    let mut text = format!("\n{}\n", sentence(comparison));
    if comparison.first.guest_sha256 == comparison.second.guest_sha256 && !comparison.differences.is_empty() {
        text.push_str(
            "Both runs are of the same guest, so one of them is wrong, or was interrupted by something.\n",
        );
    }
    let absent = &comparison.not_compared;
    if let Some(first) = absent.first() {
        let more = if absent.len() > 1 { format!(", and {} more", absent.len() - 1) } else { String::new() };
        let _ = writeln!(text, "Not compared: {} ({}){more}.", line(&first.what), line(&first.reason));
    }
    text
}
