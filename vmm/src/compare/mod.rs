//! Two runs side by side: which counts of which cases are not the same, and where the difference comes from.
//!
//! Counts that do not depend on the machine are compared first. Any difference is a finding: the guests are not the same, or one of
//! the runs is wrong. Times are compared where both are those of one machine ([`times`]).

pub mod condition;
pub mod count;
pub mod junit;
pub mod matrix;
pub mod peers;
pub mod present;
pub mod present_times;
pub mod programs;
pub mod reference;
pub mod times;
mod times_between;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::compare::count::{Count, Counted};
use crate::compare::times::Times;
use crate::lens::trace::Summary;
use crate::record::run::{CaseRecord, RunRecord};
use crate::workload::recording;

/// What two runs have in common, and where they differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The first run, against which the second is held.
    pub first: Side,
    /// The second one.
    pub second: Side,
    /// Cases of which at least one count was compared.
    pub cases: usize,
    /// Cases of which each count was compared, by its name.
    pub compared: BTreeMap<&'static str, usize>,
    /// Those that are not the same, in the order of the cases and of [`count::ALL`].
    pub differences: Vec<Difference>,
    /// Cases, or counts of cases, that could not be compared, and why.
    pub not_compared: Vec<NotCompared>,
    /// Times.
    pub times: Times,
}

/// What is told of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Name of the experiment.
    pub experiment: String,
    /// When it began, RFC 3339 in UTC.
    pub started_utc: String,
    /// Its host, in one line.
    pub host: String,
    /// SHA-256 of its guest.
    pub guest_sha256: String,
}

/// A count that is not the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Name of the case.
    pub case: String,
    /// Name of the count ([`Count::name`]).
    pub count: &'static str,
    /// Per round trip, in the first run.
    pub first: f64,
    /// In the second one.
    pub second: f64,
    /// The parts that differ, of a count of instructions that was traced in both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// A part of a round trip that takes another number of instructions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What kind of part it is.
    pub kind: PartKind,
    /// Name of the phase or the function.
    pub name: String,
    /// How many more the second run takes.
    pub change: i64,
}

/// Kinds of parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// A phase of the round trip.
    Phase,
    /// A function of a program.
    Function,
}

/// Something that could not be compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotCompared {
    /// The case, or one of its counts.
    pub what: String,
    /// Why.
    pub reason: String,
    /// Counts that the first run has of the case and the second one should have, by their names ([`Count::name`]).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<&'static str>,
}

impl Difference {
    /// That of a count of a case, without its parts; `None` where both runs count the same.
    fn between(count: &'static Count, case: &CaseRecord, first: f64, second: f64) -> Option<Difference> {
        let case = case.name.clone();
        (first != second).then(|| Difference { case, count: count.name, first, second, parts: Vec::new() })
    }

    /// How much more the second run counts.
    pub fn change(&self) -> f64 {
        self.second - self.first
    }
}

impl Side {
    fn of(run: &RunRecord) -> Side {
        Side {
            experiment: run.experiment.name.clone(),
            started_utc: run.started_utc.clone(),
            host: run.host.summary.clone(),
            guest_sha256: run.guest.sha256.clone(),
        }
    }
}

/// Compares the second run with the first one, case by case.
pub fn compare(first: &RunRecord, second: &RunRecord) -> Comparison {
    let mut comparison = Comparison {
        first: Side::of(first),
        second: Side::of(second),
        cases: 0,
        compared: BTreeMap::new(),
        differences: Vec::new(),
        not_compared: Vec::new(),
        times: Times::between(first, second),
    };
    let of_second: BTreeMap<&str, &CaseRecord> =
        second.cases.iter().map(|case| (case.name.as_str(), case)).collect();
    for case in &first.cases {
        match of_second.get(case.name.as_str()) {
            Some(other) => comparison.add(case, other),
            None => comparison.miss(case, "only the first run has this case"),
        }
    }
    let of_first: BTreeSet<&str> = first.cases.iter().map(|case| case.name.as_str()).collect();
    for case in second.cases.iter().filter(|case| !of_first.contains(case.name.as_str())) {
        comparison.pass_over(&case.name, "only the second run has this case", Vec::new());
    }
    comparison
}

impl Comparison {
    /// Counts compared, over all cases.
    pub fn counts(&self) -> usize {
        self.compared.values().sum()
    }

    /// That a count of a case, or the whole case, was not compared.
    fn lacking(&self, case: &str, count: &str) -> Option<&NotCompared> {
        let is_it = |one: &&NotCompared| {
            let rest = one.what.strip_prefix(case);
            rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix(": ") == Some(count))
        };
        self.not_compared.iter().find(is_it)
    }

    /// The same, where the second run should have the count.
    fn missing(&self, case: &str, count: &str) -> Option<&NotCompared> {
        self.lacking(case, count).filter(|one| one.missed.contains(&count))
    }

    fn pass_over(&mut self, what: &str, reason: &str, missed: Vec<&'static str>) {
        self.not_compared.push(NotCompared { what: what.to_owned(), reason: reason.to_owned(), missed });
    }

    /// The second run lacks a case of the first one, which it should have.
    fn miss(&mut self, first: &CaseRecord, reason: &str) {
        let counted = why_not(first).is_none().then(|| Counted::of(first));
        let has = |count: &&Count| counted.as_ref().is_some_and(|counted| (count.of)(counted).is_some());
        let missed = count::ALL.iter().filter(has).map(|count| count.name).collect();
        self.pass_over(&first.name, reason, missed);
    }

    fn add(&mut self, first: &CaseRecord, second: &CaseRecord) {
        if let Some(reason) = why_not(first) {
            return self.pass_over(&first.name, &format!("{reason} in the first run"), Vec::new());
        }
        if let Some(reason) = why_not(second) {
            return self.miss(first, &format!("{reason} in the second run"));
        }
        if recording(&first.parameters) != recording(&second.parameters) {
            return self.pass_over(&first.name, "the recordings are not the same", Vec::new());
        }
        let before = self.counts();
        let [first, second] = [first, second].map(Counted::of);
        for count in &count::ALL {
            self.add_count(count, &first, &second);
        }
        self.cases += usize::from(self.counts() > before);
    }

    fn add_count(&mut self, count: &'static Count, first: &Counted, second: &Counted) {
        let what = || format!("{}: {}", first.case.name, count.name);
        match ((count.of)(first), (count.of)(second)) {
            (None, None) => {}
            (None, Some(_)) => self.pass_over(&what(), "the first run did not count it", Vec::new()),
            (Some(_), None) => self.pass_over(&what(), "the second run did not count it", vec![count.name]),
            (Some(one), Some(other)) => {
                *self.compared.entry(count.name).or_default() += 1;
                let difference = Difference::between(count, second.case, one, other);
                self.differences.extend(difference.map(|difference| Difference {
                    parts: if count.is_traced { parts(first, second) } else { Vec::new() },
                    ..difference
                }));
            }
        }
    }
}

/// Why the counts of a case are not those of every run of it.
pub(crate) fn why_not(case: &CaseRecord) -> Option<&'static str> {
    if !case.succeeded() {
        Some("it failed")
    } else if case.parameters.vcpus > 1 || case.parameters.guests > Some(1) {
        Some("several CPUs or guests measure, so counts differ from run to run,")
    } else if case.parameters.workload.nature().has_time_slices {
        Some("its threads take turns by the timer, so counts depend on time,")
    } else {
        None
    }
}

/// Phases and functions of a traced round trip that take another number of instructions.
fn parts(first: &Counted, second: &Counted) -> Vec<Part> {
    let (Some(first), Some(second)) = (&first.trace, &second.trace) else { return Vec::new() };
    let phases = |summary: &Summary| -> BTreeMap<String, u64> {
        summary.counts.phases.iter().map(|(phase, count)| (phase.name().to_owned(), *count)).collect()
    };
    let of_phases = changes(PartKind::Phase, &phases(first), &phases(second));
    let of_functions = match first.stacks.is_empty() || second.stacks.is_empty() {
        true => Vec::new(),
        false => changes(PartKind::Function, &first.functions(), &second.functions()),
    };
    of_phases.into_iter().chain(of_functions).collect()
}

/// The parts with another count, the largest change first.
fn changes(kind: PartKind, first: &BTreeMap<String, u64>, second: &BTreeMap<String, u64>) -> Vec<Part> {
    let names: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let count = |of: &BTreeMap<String, u64>, name| of.get(name).copied().unwrap_or(0) as i64;
    let mut parts: Vec<Part> = names
        .into_iter()
        .map(|name| Part { kind, name: name.clone(), change: count(second, name) - count(first, name) })
        .filter(|part| part.change != 0)
        .collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.change.unsigned_abs()));
    parts
}

#[cfg(test)]
mod tests;
