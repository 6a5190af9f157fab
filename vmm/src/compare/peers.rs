//! Calls of a run beside those of other kernels. `peers.csv` has the figures with their sources, `docs/peers.md` how to read them.

use std::fmt::Write;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::case::keys;
use crate::compare::count::{self, Counted};
use crate::compare::why_not;
use crate::printable::{grouped, line};
use crate::record::run::{CaseRecord, RunRecord};
use crate::report::format::count as short;
use crate::report::grid::{self, Column, KEEP};

const FILE: &str = include_str!("peers.csv");

/// The channel of a whole call.
const ROUND_TRIP: &str = "round_trip";

/// One figure of another kernel, of one call and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Which kernel.
    pub kernel: String,
    /// Its version, or the day of the measurement.
    pub version: String,
    /// Which processors it was built for.
    pub architecture: String,
    /// Between what the call was, and on which processor if it is a time.
    pub case: String,
    /// Words of the message.
    pub words: u32,
    /// What the value is.
    pub figure: Figure,
    /// The value.
    pub value: u64,
    /// Who has it from where.
    pub origin: Origin,
    /// How it was counted or measured.
    pub how: String,
    /// Where to read it, or the source text that was counted.
    pub source: String,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Instructions of the whole round trip, the programs' loops included.
    Instructions,
    /// Page tables that it loads.
    PageTableLoads,
    /// Ticks of the time-stamp counter: a time, shown beside times only.
    Ticks,
}

/// Where a figure is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Counted for inkbed.
    Counted,
    /// Published by others.
    Published,
}

/// All of them.
pub static ALL: LazyLock<Vec<Peer>> = LazyLock::new(|| {
    // A test reads all of it, so nothing is left out.
    csv::Reader::from_reader(FILE.as_bytes()).into_deserialize().flatten().collect()
});

/// A run beside other kernels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Beside {
    /// Calls of the run.
    pub own: Vec<Own>,
    /// Figures of other kernels: times only if a call of the run has one.
    pub peers: Vec<&'static Peer>,
    /// Why times are not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_times: Option<String>,
}

/// A call of the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Own {
    /// Name of the case.
    pub case: String,
    /// Instructions of a whole round trip, where it was traced.
    pub instructions: Option<f64>,
    /// Page tables that it loads.
    pub page_table_loads: Option<f64>,
    /// Median ticks of a call, where they are time.
    pub ticks: Option<u64>,
}

/// Puts the calls of a run, of as many words as those of other kernels have, beside these.
pub fn beside(run: &RunRecord) -> Beside {
    let is_peer = |case: &&CaseRecord| {
        case.parameters.workload.name() == "call"
            && case
                .parameters
                .number(&keys::WORDS)
                .is_some_and(|words| ALL.iter().any(|peer| u64::from(peer.words) == words))
    };
    let cases: Vec<&CaseRecord> =
        run.cases.iter().filter(is_peer).filter(|case| why_not(case).is_none()).collect();
    let own: Vec<Own> = cases.iter().map(|case| own(case)).collect();
    let has_times = own.iter().any(|own| own.ticks.is_some());
    let no_time = || cases.iter().find_map(|case| case.timing.reasons().first()).cloned();
    let peers = ALL.iter().filter(|peer| peer.figure != Figure::Ticks || has_times).collect();
    let no_times =
        (!has_times).then(|| no_time().unwrap_or_else(|| "the run has no times of calls".to_owned()));
    Beside { own, peers, no_times }
}

fn own(case: &CaseRecord) -> Own {
    let counted = Counted::of(case);
    let count = |name| count::named(name).and_then(|count| (count.of)(&counted));
    let ticks = case.ticks.get(ROUND_TRIP).filter(|_| case.timing.is_time());
    Own {
        case: case.name.clone(),
        instructions: count("instructions"),
        page_table_loads: count("page_table_loads"),
        ticks: ticks.map(|channel| channel.summary.median),
    }
}

/// As text for so many columns.
pub fn text(beside: &Beside, width: usize) -> String {
    shown(beside, |columns| grid::text(columns, width))
}

/// The same as Markdown.
pub fn markdown(beside: &Beside) -> String {
    shown(beside, grid::markdown)
}

/// A row of the table: a call of the run, or of another kernel with all of its figures.
struct Row {
    system: String,
    call: String,
    words: String,
    figures: [Option<f64>; 3],
    origin: &'static str,
}

const FIGURES: [Figure; 3] = [Figure::Instructions, Figure::PageTableLoads, Figure::Ticks];

fn rows(beside: &Beside) -> Vec<Row> {
    let own = beside.own.iter().map(|own| Row {
        system: "this run".to_owned(),
        call: line(&own.case).into_owned(),
        words: String::new(),
        figures: [own.instructions, own.page_table_loads, own.ticks.map(|ticks| ticks as f64)],
        origin: "",
    });
    let mut rows: Vec<Row> = own.collect();
    for peer in &beside.peers {
        let (system, words) = (format!("{} {}", peer.kernel, peer.version), peer.words.to_string());
        let place = FIGURES.iter().position(|figure| *figure == peer.figure).unwrap_or_default();
        let known =
            rows.iter().rposition(|row| row.system == system && row.call == peer.case && row.words == words);
        let index = known.unwrap_or_else(|| {
            let origin = if peer.origin == Origin::Counted { "counted for inkbed" } else { "published" };
            rows.push(Row { system, call: peer.case.clone(), words, figures: [None; 3], origin });
            rows.len() - 1
        });
        rows[index].figures[place] = Some(peer.value as f64);
    }
    rows
}

fn shown(beside: &Beside, table: impl Fn(&[Column]) -> String) -> String {
    let rows = rows(beside);
    let column = |heading: &str, is_number, cell: &dyn Fn(&Row) -> String| Column {
        heading: heading.to_owned(),
        cells: rows.iter().map(cell).collect(),
        is_number,
        rank: KEEP,
    };
    let figure = |place: usize| {
        move |row: &Row| {
            row.figures[place].map_or("–".to_owned(), |value| match value.fract() == 0.0 {
                true => grouped(value as u64),
                false => short(value),
            })
        }
    };
    let mut columns = vec![
        column("system", false, &|row| row.system.clone()),
        column("call and answer", false, &|row| row.call.clone()),
        column("words", true, &|row| row.words.clone()),
        column("instructions", true, &figure(0)),
        column("page-table\nloads", true, &figure(1)),
    ];
    if beside.no_times.is_none() {
        columns.push(column("ticks", true, &figure(2)));
    }
    columns.push(column("figures", false, &|row| row.origin.to_owned()));
    let mut text = table(&columns) + "\n\n";
    if let Some(reason) = &beside.no_times {
        let _ = writeln!(
            text,
            "Times of other kernels are not shown, because this run has none: {}.",
            line(reason)
        );
    }
    if beside.own.iter().any(|own| own.instructions.is_none()) {
        text.push_str("Calls without instructions were not traced: run with --set trace_round_trips=4.\n");
    }
    let mut sources: Vec<String> = Vec::new();
    for peer in &beside.peers {
        let source = format!("- {} {}: {} ({})", peer.kernel, peer.version, peer.how, peer.source);
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    text.push_str(
        "Path lengths, not a ranking: each kernel does things that the others do not (docs/peers.md).\n",
    );
    for source in sources {
        let _ = writeln!(text, "{source}");
    }
    text
}

#[cfg(test)]
#[path = "peers_tests.rs"]
mod tests;
