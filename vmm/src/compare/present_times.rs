//! Times of a comparison for people.

use std::fmt::Write;

use crate::compare::times::{Refused, Row, Times, Verdict};
use crate::printable::{grouped, line};
use crate::report::grid::{Column, KEEP};

/// Below the counts: what is said of times, with the table of them where there are any.
pub(super) fn section(times: &Times, table: &str) -> String {
    match times.rows.is_empty() {
        true => sentences(times),
        false => format!("\n{table}\n\n{}", sentences(times)),
    }
}

/// What is said of all rows, and of what was not compared.
pub(super) fn sentences(times: &Times) -> String {
    let mut text = String::new();
    let rows = times.rows.len();
    if rows > 0 {
        let [slower, faster] = [Verdict::Slower, Verdict::Faster].map(|verdict| times.count(verdict));
        let _ = writeln!(
            text,
            "Times: {slower} of {rows} are slower, {faster} faster; no difference was found in {}. All verdicts together are wrong with \
             at most 5 %.",
            rows - slower - faster
        );
    } else if times.refused.is_empty() {
        text.push_str("Times are not compared: the first run has none.\n");
    }
    for Refused { reason, cases } in &times.refused {
        let cases = match &cases[..] {
            [case] => line(case).into_owned(),
            _ => format!("{} cases", cases.len()),
        };
        let _ = writeln!(text, "Times are not compared in {cases}: {}.", line(reason));
    }
    text
}

pub(super) fn columns(times: &Times) -> Vec<Column> {
    let column = |heading: &str, is_number, rank, cell: &dyn Fn(&Row) -> String| Column {
        heading: heading.to_owned(),
        cells: times.rows.iter().map(cell).collect(),
        is_number,
        rank,
    };
    vec![
        column("case", false, KEEP, &|row| line(&row.case).into_owned()),
        column("channel", false, KEEP, &|row| line(&row.channel).replace('_', " ")),
        column("launches", true, 1, &|row| format!("{}, {}", row.launches[0], row.launches[1])),
        column("first,\nticks", true, 2, &|row| grouped(row.first.round() as u64)),
        column("second,\nticks", true, 2, &|row| grouped(row.second.round() as u64)),
        column("change", true, KEEP, &|row| percent(row.ratio)),
        column("all intervals hold\nwith 95 %", true, KEEP, &|row| {
            format!("{} to {}", percent(row.low), percent(row.high))
        }),
        column("verdict", false, KEEP, &|row| row.verdict.name().to_owned()),
    ]
}

/// How much longer a row takes, for a message.
pub fn slower(row: &Row) -> String {
    let [change, low, high] = [row.ratio, row.low, row.high].map(|ratio| (ratio - 1.0) * 100.0);
    format!("{} takes {change:.1} % longer, {low:.1} to {high:.1} %", line(&row.channel))
}

/// A ratio as a change: `+1.3 %`, of a very wide interval `×40`.
pub(super) fn percent(ratio: f64) -> String {
    const TIMES_MIN: f64 = 10.0;
    let change = (ratio - 1.0) * 100.0;
    // Two places below one percent, where differences of a run lie.
    let digits = if change.abs() < 9.95 { 2 } else { 0 };
    if !ratio.is_finite() || ratio >= TIMES_MIN * 1e6 {
        "∞".to_owned()
    } else if ratio >= TIMES_MIN {
        format!("×{ratio:.0}")
    } else if change < 0.0 {
        format!("−{:.digits$}%", -change)
    } else {
        format!("+{change:.digits$}%")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_shown_as_a_change() {
        let texts = [1.0, 1.0125, 0.991, 1.5, 0.01, 12.3, f64::INFINITY].map(percent);
        assert_eq!(texts, ["+0.00%", "+1.25%", "−0.90%", "+50%", "−99%", "×12", "∞"]);
    }
}
