//! How soon a server is back after a fault.

use crate::record::run::{CaseRecord, RunRecord};
use crate::report::html::bars::{Bar, Bars, Group, count};
use crate::report::html::figure::{Definition, Figure};
use crate::report::html::pick;
use crate::report::html::theme::Ink;
use crate::workload::{DEMOTE_AFTER, FAULT, Faults};

pub(super) const FIGURE: Definition = Definition {
    name: "faults",
    question: "How soon does a caller know, and how soon is the server back?",
    draw,
};

/// In the order in which they happen.
const PARTS: [(Ink, &str, &str); 3] = [
    (Ink::Switch, "until_error", "until the caller has its error"),
    (Ink::Path, "until_answer", "until the server has started again and answered"),
    (Ink::Program, "call", "the next call"),
];

fn draw(run: &RunRecord) -> Option<Figure> {
    let cases: Vec<&CaseRecord> = pick::cases(run, &Faults).collect();
    let has_ticks = cases.iter().any(|case| !case.ticks.is_empty());
    let mut groups: Vec<Group> = Vec::new();
    for case in &cases {
        let bar = if has_ticks { ticks(run, case) } else { counts(case) };
        let Some(bar) = bar else { continue };
        let fault = FAULT.text(&case.parameters).replace('_', " ");
        let heading = match case.parameters.number(&DEMOTE_AFTER) {
            Some(faults) => format!("{fault}, out of the kernel after {faults}"),
            None => fault,
        };
        match groups.iter_mut().find(|group| group.heading == heading) {
            Some(group) => group.bars.push(bar),
            None => groups.push(Group { heading, bars: vec![bar] }),
        }
    }
    let key = PARTS.iter().filter(|_| has_ticks).map(|(ink, _, name)| (*ink, (*name).to_owned())).collect();
    let unit = match has_ticks {
        true => format!("{}, medians", pick::tick_unit(run)),
        false => "page tables loaded from the fault to the second answer".to_owned(),
    };
    let claim = claim(&groups, has_ticks, pick::tick_unit(run))?;
    Some(Figure {
        claim,
        notes: Vec::new(),
        plot: Box::new(Bars {
            unit,
            groups,
            key,
            is_measured: has_ticks && !run.host.tsc_counts_instructions,
            ..Bars::default()
        }),
    })
}

fn ticks(run: &RunRecord, case: &CaseRecord) -> Option<Bar> {
    let parts: Vec<(Ink, f64)> =
        PARTS.iter().filter_map(|(ink, channel, _)| Some((*ink, pick::median(case, channel)?.0))).collect();
    let sum: f64 = parts.iter().map(|(_, value)| value).sum();
    let (label, ink) = pick::by_placement(case);
    (sum > 0.0).then(|| Bar { label, parts, text: pick::ticks_text(run, sum), remark: String::new(), ink })
}

fn counts(case: &CaseRecord) -> Option<Bar> {
    let (label, ink) = pick::by_placement(case);
    let frames = case.per_round_trip("frames_taken").map(|frames| format!("{} frames", count(frames)));
    Some(Bar::whole(label, ink, case.without_preemption("page_table_loads")?, frames.unwrap_or_default()))
}

fn claim(groups: &[Group], has_ticks: bool, unit: &str) -> Option<String> {
    let bars = &groups.first()?.bars;
    let of = |label: &str| bars.iter().find(|bar| bar.label == label);
    let (user, kernel) = (of("user → user")?, of("user → kernel")?);
    let fault = &groups.first()?.heading;
    Some(match has_ticks {
        true => format!(
            "After a {fault} a server in the kernel has answered again {} {unit} later, one in user space {}",
            kernel.text, user.text
        ),
        false => format!(
            "From a {fault} to the second answer a server in the kernel takes {}, one in user space {}",
            page_tables(&kernel.text),
            page_tables(&user.text)
        ),
    })
}

fn page_tables(count: &str) -> String {
    if count == "0" { "no page-table load".to_owned() } else { format!("{count} page-table loads") }
}
