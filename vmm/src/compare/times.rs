//! Times of two runs: which cases got slower or faster, by the launches of both.
//!
//! `docs/comparing.md` says how, and `calibration_tests.rs` holds how often it is wrong. Unlike counts, times are those of a machine:
//! whatever makes them those of another one is a reason not to compare them.

use serde::Serialize;

use crate::compare::times_between::{launch_figures, why_not};
use crate::record::run::{CaseRecord, RunRecord};
use crate::statistics::change::{self, Change, DEALS, LAUNCHES_MIN, LEVEL, clock_step};

/// Times of two runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Times {
    /// What was compared, in the order of the cases and of their channels.
    pub rows: Vec<Row>,
    /// Cases of the first run whose times were not, by the reason.
    pub refused: Vec<Refused>,
}

/// One channel of a case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Name of the case.
    pub case: String,
    /// Name of the channel.
    pub channel: String,
    /// Launches of the first run, and of the second.
    pub launches: [usize; 2],
    /// Geometric mean of the launches' medians in the first run, ticks.
    pub first: f64,
    /// In the second one.
    pub second: f64,
    /// The second by the first.
    pub ratio: f64,
    /// The ratio is above this: with 95 % the intervals of all rows hold at once.
    pub low: f64,
    /// And below this.
    pub high: f64,
    /// How probable it is that any row of all shows as clear a change as this one, where there is none.
    pub probability: f64,
    /// What is said of it.
    pub verdict: Verdict,
}

/// What is said of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The second run takes longer.
    Slower,
    /// It takes less.
    Faster,
    /// Neither was found. It is no proof that there is none.
    NoDifferenceFound,
}

/// Cases whose times were not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Why, as a sentence without its period.
    pub reason: String,
    /// Their names.
    pub cases: Vec<String>,
}

/// A channel that can be compared: both runs' launches, not yet reduced.
struct Pair<'a> {
    case: &'a str,
    channel: &'a str,
    cases: [&'a CaseRecord; 2],
}

impl Row {
    /// How much longer the second run takes at least, per cent.
    pub fn low_percent(&self) -> f64 {
        (self.low - 1.0) * 100.0
    }
}

impl Verdict {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Slower => "slower",
            Verdict::Faster => "faster",
            Verdict::NoDifferenceFound => "no difference found",
        }
    }
}

impl Times {
    /// Of the cases of the first run.
    pub fn between(first: &RunRecord, second: &RunRecord) -> Times {
        Times::by_deals(first, second, DEALS)
    }

    fn by_deals(first: &RunRecord, second: &RunRecord, deals: usize) -> Times {
        let mut times = Times::default();
        let mut pairs = Vec::new();
        // A case that failed in the first run has no time that anything could be held against.
        for case in first.cases.iter().filter(|case| case.succeeded() && !case.ticks.is_empty()) {
            let other = second.cases.iter().find(|other| other.name == case.name);
            let reason = match other {
                None => Some("only the first run has the case".to_owned()),
                Some(other) => why_not((first, case), (second, other)),
            };
            match (reason, other) {
                (None, Some(other)) => pairs.extend(case.ticks.keys().map(|channel| Pair {
                    case: &case.name,
                    channel,
                    cases: [case, other],
                })),
                (reason, _) => times.refuse(&case.name, reason.unwrap_or_default()),
            }
        }
        times.judge(&pairs, deals);
        times
    }

    /// How many rows have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }

    fn refuse(&mut self, case: &str, reason: String) {
        match self.refused.iter_mut().find(|refused| refused.reason == reason) {
            // Each of its channels is refused.
            Some(refused) if refused.cases.last().is_some_and(|last| last == case) => {}
            Some(refused) => refused.cases.push(case.to_owned()),
            None => self.refused.push(Refused { reason, cases: vec![case.to_owned()] }),
        }
    }

    fn judge(&mut self, pairs: &[Pair], deals: usize) {
        let medians = |pair: &Pair| {
            let launches = pair.cases.into_iter().flat_map(|case| &case.launches);
            launches.filter_map(|launch| launch.median_ticks.get(pair.channel).copied()).collect::<Vec<_>>()
        };
        let step = clock_step(pairs.iter().flat_map(medians)) as f64;
        let (mut compared, mut launches) = (Vec::new(), Vec::new());
        for pair in pairs {
            let figures = pair.cases.map(|case| launch_figures(case, pair.channel, step));
            let counts = figures.each_ref().map(|figures| figures.len());
            match change::Pair::of(&figures[0], &figures[1]) {
                Some(both) => {
                    compared.push((pair, counts));
                    launches.push(both);
                }
                None => self.refuse(pair.case, too_few(counts)),
            }
        }
        let changes = change::judge(&launches, deals);
        self.rows = compared
            .into_iter()
            .zip(changes)
            .map(|((pair, launches), change)| pair.row(launches, change))
            .collect();
    }
}

impl Pair<'_> {
    fn row(&self, launches: [usize; 2], change: Change) -> Row {
        let Change { first, second, ratio, low, high, probability } = change;
        let verdict = match probability <= LEVEL {
            false => Verdict::NoDifferenceFound,
            true if ratio > 1.0 => Verdict::Slower,
            true => Verdict::Faster,
        };
        let (case, channel) = (self.case.to_owned(), self.channel.to_owned());
        Row { case, channel, launches, first, second, ratio, low, high, probability, verdict }
    }
}

fn too_few([first, second]: [usize; 2]) -> String {
    format!(
        "times need {LAUNCHES_MIN} launches in each run, and the first has {first}, the second {second}: run both with \
         --set launches=6 or more"
    )
}

#[cfg(test)]
#[path = "calibration_tests.rs"]
mod calibration_tests;
#[cfg(test)]
#[path = "times_tests.rs"]
pub(crate) mod tests;
