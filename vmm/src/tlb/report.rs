//! What a model counted, for tables and JSON.

use std::fmt;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, LineStyle, Table};
use serde::{Deserialize, Serialize};

use crate::tlb::counts::{Counts, SideCounts};
use crate::tlb::geometry::{Model, Tags};
use crate::tlb::what_if::WhatIf;

/// What one model counted on one trace. These are a model's figures, never a processor's: [`TlbReport::source`] says so
/// in every file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlbReport {
    /// Always `model`.
    pub source: Source,
    /// Name of the model.
    pub model: String,
    /// What it tags entries with.
    pub tags: Tags,
    /// It has global pages.
    pub global_pages: bool,
    /// Its arrays with figures that no source was found for.
    pub unverified_arrays: Vec<String>,
    /// What was changed.
    pub what_if: WhatIf,
    /// The first round trip. `None`: the trace has fewer than two marks.
    pub first: Option<Counts>,
    /// The median of each count by itself over the round trips after the first. `None`: there are none.
    pub steady: Option<Counts>,
    /// Each round trip; none in the records of experiments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub round_trips: Vec<Counts>,
}

/// A part of the counts.
type Side = fn(&Counts) -> SideCounts;

/// Where figures are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A model of a processor.
    Model,
}

impl TlbReport {
    /// Of a model that counted these round trips.
    pub(crate) fn new(model: &Model, round_trips: Vec<Counts>) -> TlbReport {
        TlbReport {
            source: Source::Model,
            model: model.name.clone(),
            tags: model.tags,
            global_pages: model.global_pages,
            unverified_arrays: model.unverified(),
            what_if: WhatIf::AsRecorded,
            first: round_trips.first().copied(),
            steady: round_trips.get(1..).and_then(Counts::median),
            round_trips,
        }
    }

    /// A table of the steady state by side and privilege, with the first round trip in brackets.
    pub fn table(&self) -> Table {
        let header =
            ["per round trip", "accesses", "L1 misses", "L2 misses", "walks", "references", "refills"];
        let mut table = new_table(&header);
        let rows: [(&str, Side); 5] = [
            ("user instruction", |counts| counts.user.instruction),
            ("user data", |counts| counts.user.data),
            ("kernel instruction", |counts| counts.kernel.instruction),
            ("kernel data", |counts| counts.kernel.data),
            ("all", Counts::total),
        ];
        for (label, side) in rows {
            let cell = |field: fn(&SideCounts) -> u64| self.cell(|counts: &Counts| field(&side(counts)));
            table.add_row([
                label.to_owned(),
                cell(|side| side.accesses),
                cell(|side| side.first_level_misses),
                cell(|side| side.second_level_misses),
                cell(|side| side.walks),
                cell(|side| side.walk_references),
                cell(|side| side.flush_refills),
            ]);
        }
        table
    }

    /// The steady count and, where it differs, the first in brackets; a dash where there is none.
    fn cell(&self, count: impl Fn(&Counts) -> u64) -> String {
        match (self.steady.as_ref().map(&count), self.first.as_ref().map(&count)) {
            (Some(steady), Some(first)) if steady != first => format!("{steady} ({first})"),
            (Some(steady), _) => steady.to_string(),
            (None, Some(first)) => format!("- ({first})"),
            (None, None) => "-".to_owned(),
        }
    }
}

impl fmt::Display for TlbReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{} (modelled, {}), {} round trips: median of those after the first (first)",
            self.model,
            self.what_if.label(),
            self.round_trips.len(),
        )?;
        writeln!(formatter, "{}", self.table())?;
        write!(
            formatter,
            "page-table loads {}, flushes {}, pages invalidated {}, entries dropped {}",
            self.cell(|counts| counts.page_table_loads),
            self.cell(|counts| counts.flushes),
            self.cell(|counts| counts.page_invalidations),
            self.cell(|counts| counts.entries_dropped),
        )?;
        if !self.unverified_arrays.is_empty() {
            write!(formatter, "\nsizes without a checked source: {}", self.unverified_arrays.join(", "))?;
        }
        Ok(())
    }
}

/// One row for each report: the same trace on several models, or several traces or what-ifs on one.
pub fn comparison<'a>(reports: impl IntoIterator<Item = (&'a str, &'a TlbReport)>) -> Table {
    let header = [
        "case",
        "model",
        "what if",
        "ITLB misses",
        "DTLB misses",
        "L2 misses",
        "walks",
        "references",
        "refills",
        "dropped",
    ];
    let mut table = new_table(&header);
    for (case, report) in reports {
        let mark = if report.unverified_arrays.is_empty() { "" } else { " *" };
        table.add_row([
            case.to_owned(),
            format!("{}{mark}", report.model),
            report.what_if.label().to_owned(),
            report.cell(|counts| counts.instruction().first_level_misses),
            report.cell(|counts| counts.data().first_level_misses),
            report.cell(|counts| counts.total().second_level_misses),
            report.cell(|counts| counts.total().walks),
            report.cell(|counts| counts.total().walk_references),
            report.cell(|counts| counts.total().flush_refills),
            report.cell(|counts| counts.entries_dropped),
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(2) {
        column.set_cell_alignment(CellAlignment::Left);
    }
    table
}

/// Words to the left, figures to the right.
fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none())).set_header(header.to_vec());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
