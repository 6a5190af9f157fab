//! Whether the times of a case can be held against those of another run, and what its launches took.

use std::collections::BTreeMap;

use crate::case::Parameters;
use crate::host::Timing;
use crate::record::run::{CaseRecord, HostRecord, RunRecord};
use crate::run::resume::{Difference, what_hosts_differ_in};
use crate::statistics::change::Figure;
use crate::statistics::distribution::EXACT_SAMPLES_MAX;

/// Differences of two hosts that are named.
const NAMED: usize = 2;

/// Most characters that are shown of a fact.
const FACT_MAX: usize = 60;

/// In a histogram a figure is the middle of a bin that is at most so wide, as a share of it.
const BIN: f64 = 1.0 / 1024.0;

/// A case and the run that it is of.
type Of<'a> = (&'a RunRecord, &'a CaseRecord);

/// Why the times of a case in two runs are not compared. `None`: they are.
pub(super) fn why_not(first: Of, second: Of) -> Option<String> {
    if !second.1.succeeded() {
        return Some("the case failed in the second run".to_owned());
    }
    let hosts = what_hosts_differ_in(host_of(first), host_of(second));
    if !hosts.is_empty() {
        return Some(format!("times of different hosts say nothing about the guest: {}", in_words(&hosts)));
    }
    let invalid = |(_, case): Of| match &case.timing {
        Timing::Invalid { reasons } => Some(reasons.first().cloned().unwrap_or_default()),
        _ => None,
    };
    if let Some(reason) = invalid(first).or_else(|| invalid(second)) {
        return Some(format!("ticks are no time here: {}", without_figure(&reason)));
    }
    let pin = |(run, _): Of| run.experiment.overrides.get("pin").cloned();
    if pin(first) != pin(second) {
        let pins = [first, second].map(|of| pin(of).map_or("no CPU".to_owned(), |pin| format!("CPUs {pin}")));
        return Some(format!(
            "vCPU threads were pinned to {} in the first run, to {} in the second",
            pins[0], pins[1]
        ));
    }
    if what_takes_time(&first.1.parameters) != what_takes_time(&second.1.parameters) {
        return Some("the case measures something else in the second run, by its parameters".to_owned());
    }
    let lacks = first.1.ticks.keys().find(|channel| !second.1.ticks.contains_key(channel.as_str()));
    lacks.map(|_| "the second run lacks a channel of the case".to_owned())
}

/// The host that measured a case.
fn host_of<'a>((run, case): Of<'a>) -> &'a HostRecord {
    let sources = run.merged.iter().flat_map(|merged| &merged.sources);
    let own = case
        .host
        .as_ref()
        .and_then(|name| sources.map(|source| &source.host).find(|host| host.name == *name));
    own.unwrap_or(&run.host)
}

fn in_words(differences: &[Difference]) -> String {
    let short = |text: &str| match text.char_indices().nth(FACT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    };
    let one = |difference: &Difference| {
        format!(
            "{} is {} in the first run, {} in the second",
            difference.what,
            short(&difference.then),
            short(&difference.now)
        )
    };
    let named: Vec<String> = differences.iter().take(NAMED).map(one).collect();
    let more = match differences.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    named.join("; ") + &more
}

/// A reason in which a figure in brackets was measured, which is another in each run.
fn without_figure(reason: &str) -> &str {
    reason.split_once(" (").map_or(reason, |(reason, _)| reason)
}

/// What is set of a case that its times depend on: not how often it is measured, nor what is counted besides.
fn what_takes_time(case: &Parameters) -> Parameters {
    Parameters {
        deadline_seconds: 0,
        samples: 0,
        launches: 0,
        trace_round_trips: 0,
        tlb_models: Vec::new(),
        ..case.clone()
    }
}

/// What each launch took in a channel: its median, of several guests at once the geometric mean of theirs. `step`: of the clock.
pub(super) fn launch_figures(case: &CaseRecord, channel: &str, step: f64) -> Vec<Figure> {
    let mut launches: BTreeMap<u64, Vec<Figure>> = BTreeMap::new();
    for (number, launch) in (0..).zip(&case.launches) {
        let Some(median) = launch.median_ticks.get(channel) else { continue };
        let value = *median as f64;
        let is_binned = launch.round_trips > EXACT_SAMPLES_MAX as u64;
        let step = if is_binned { step.max(value * BIN) } else { step };
        let number = launch.process.as_ref().map_or(number, |process| u64::from(process.launch));
        launches.entry(number).or_default().push(Figure { value, step });
    }
    launches.into_values().map(|guests| mean(&guests)).collect()
}

fn mean(guests: &[Figure]) -> Figure {
    let count = guests.len() as f64;
    let logarithms: f64 = guests.iter().map(|guest| guest.value.max(1.0).ln()).sum();
    let step = guests.iter().map(|guest| guest.step).fold(0.0, f64::max);
    Figure { value: (logarithms / count).exp(), step }
}
