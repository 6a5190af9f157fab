//! The report for people, as text or Markdown.

use super::notes::notes;
use super::section::{Section, sections};
use super::ticks::{Ticks, shown};
use super::{format, grid};
use crate::printable::line;
use crate::record::run::RunRecord;

/// Columns of `table.txt`, and of a terminal that does not tell its width.
pub const FILE_WIDTH: usize = 110;

/// The report as text no wider than `width`.
pub fn render(measured: &RunRecord, width: usize, ticks: Ticks) -> String {
    let run = &shown(measured, ticks);
    let mut blocks = vec![head(run, width)];
    let mut left_out = Vec::new();
    for section in sections(run) {
        blocks.push(section_text(section, width, &mut left_out));
    }
    let mut notes = notes(run, measured);
    left_out.sort();
    left_out.dedup();
    if !left_out.is_empty() {
        notes.push(format!(
            "Left out for lack of width: {}; results.csv has all columns.",
            left_out.join(", ")
        ));
    }
    let options = textwrap::Options::new(width).subsequent_indent("  ");
    let notes: Vec<String> = notes.iter().map(|note| textwrap::fill(&line(note), &options)).collect();
    blocks.push(notes.join("\n"));
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n\n") + "\n"
}

/// The report in Markdown.
pub fn render_markdown(measured: &RunRecord, ticks: Ticks) -> String {
    let run = &shown(measured, ticks);
    let mut blocks = vec![
        format!("## {}", line(&run.experiment.question)),
        format!("`{}` · {}", line(&run.experiment.name), line(&facts(run))),
    ];
    for section in sections(run) {
        blocks.push(format!("### {}", line(&section.heading)));
        blocks.push(grid::markdown(&section.columns));
    }
    let notes: Vec<String> =
        notes(run, measured).iter().map(|note| format!("- {}", line(note).replace('*', "\\*"))).collect();
    blocks.push(notes.join("\n"));
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n\n") + "\n"
}

fn head(run: &RunRecord, width: usize) -> String {
    let title = format!("{}: {}", run.experiment.name, run.experiment.question);
    format!("{}\n{}", textwrap::fill(&line(&title), width), textwrap::fill(&line(&facts(run)), width))
}

/// Where and what was measured, in one line.
fn facts(run: &RunRecord) -> String {
    let host = [run.host.name.as_str(), run.host.summary.as_str()];
    let host = host.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(", ");
    let guest = run.guest.sha256.get(..12).unwrap_or(&run.guest.sha256);
    let round_trips = run.cases.iter().map(|case| case.round_trips).fold(0, u64::saturating_add);
    format!(
        "{host} · guest {guest} · {} cases, {} round trips · {}",
        run.cases.len(),
        format::grouped(round_trips),
        run.started_utc,
    )
}

fn section_text(mut section: Section, width: usize, left_out: &mut Vec<String>) -> String {
    left_out.extend(grid::fit(&mut section.columns, width));
    format!("{}\n{}", textwrap::fill(&line(&section.heading), width), grid::text(&section.columns, width))
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
