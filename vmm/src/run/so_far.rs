//! How far a run is: the order of its launches, what is kept of those that have ended, and how it goes on after a stop.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::record::channel::Channels;
use crate::record::resume::Stopped;
use crate::reduce::case::channels;
use crate::reduce::launch::Reduced;
use crate::run::until::Until;
use crate::statistics::few_launches::BOOTSTRAP_LAUNCHES_MIN;

/// What the journal keeps of one launch for the next ones of its case: of the last one nothing, as the record has it all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept<'a> {
    /// Its guests.
    pub(super) launches: Cow<'a, [Reduced]>,
    /// What all traces of the run have taken until then.
    pub(super) traces_took: Duration,
    /// The case has no other launch.
    pub(super) is_last: bool,
}

/// All that a run has before its next launch.
#[derive(Debug, Default)]
pub struct Before {
    /// By case.
    pub(super) measured: Vec<SoFar>,
    /// The first of [`turns`] that is not over.
    pub(super) turn: usize,
    /// What all traces have taken.
    pub(super) traces_took: Duration,
}

impl Before {
    /// Before the first launch.
    pub(super) fn nothing(cases: &[Case]) -> Before {
        Before { measured: cases.iter().map(|_| SoFar::default()).collect(), ..Before::default() }
    }

    /// What a run of these cases had when it was stopped. An error if it was no run of them.
    pub(super) fn of(
        stopped: &mut Stopped<Kept<'static>>,
        cases: &[Case],
        until: Option<&Until>,
    ) -> Result<Before, String> {
        let mut before = Before::nothing(cases);
        let mut launches = std::mem::take(&mut stopped.launches).into_iter();
        for (case, then) in cases.iter().zip(&stopped.record.cases) {
            if case.name != then.name || case.parameters != then.parameters {
                return Err(format!(
                    "the case {} was {} then, or had other parameters",
                    case.name, then.name
                ));
            }
        }
        for (planned, _) in turns(cases, until) {
            let so_far = &mut before.measured[planned];
            if !so_far.has_ended {
                let Some((index, kept)) = launches.next() else { break };
                if index != planned {
                    return Err(format!(
                        "a launch of case {index} has ended where one of case {planned} was planned"
                    ));
                }
                before.traces_took = kept.traces_took;
                so_far.launches.extend(kept.launches.into_owned());
                if kept.is_last {
                    so_far.end();
                }
            }
            before.turn += 1;
        }
        if launches.next().is_some() {
            return Err("more launches have ended than were planned".to_owned());
        }
        Ok(before)
    }
}

/// The launches of a case that have ended.
#[derive(Debug, Default)]
pub(super) struct SoFar {
    pub(super) launches: Vec<Reduced>,
    /// The figures of the first launches, and of how many.
    figures: (Channels, usize),
    /// There comes no other.
    pub(super) has_ended: bool,
}

impl SoFar {
    /// The figures of the case; of all launches when there comes no other.
    pub(super) fn channels(&mut self, case: &Case, is_last: bool) -> Channels {
        if is_last || is_due(self.figures.1, self.launches.len()) {
            self.figures = (channels(case, &self.launches), self.launches.len());
        }
        self.figures.0.clone()
    }

    /// Whether the figures, of all launches, are what somebody waits for.
    pub(super) fn is_enough(&self, until: Option<&Until>, launches: u32) -> bool {
        self.figures.1 == self.launches.len()
            && until.is_some_and(|until| until.is_met(launches as usize, &self.figures.0))
    }

    /// Keeps nothing: all that it was made of is on the disk.
    pub(super) fn end(&mut self) {
        *self = SoFar { has_ended: true, ..SoFar::default() };
    }
}

/// Launches that a case may have.
pub(super) fn most(case: &Case, until: Option<&Until>) -> u32 {
    until.map_or(0, |until| until.launches_max).max(case.parameters.launches)
}

/// Whether figures that are over so many launches are made anew for more. Each time they look at all that is kept; so from some
/// number on they wait until there is an eighth more, and all times together cost what a few of the last ones do.
pub(super) fn is_due(over: usize, launches: usize) -> bool {
    launches <= BOOTSTRAP_LAUNCHES_MIN || launches >= over + over.div_ceil(8)
}

/// Case and number of every launch that there may be, in the order in which they take turns: A B C, C B A, A B C, ….
pub(super) fn turns(cases: &[Case], until: Option<&Until>) -> Vec<(usize, u32)> {
    let rounds = cases.iter().map(|case| most(case, until)).max().unwrap_or(0);
    let mut turns = Vec::new();
    for number in 0..rounds {
        let mut round: Vec<(usize, u32)> = (0..cases.len())
            .filter(|index| number < most(&cases[*index], until))
            .map(|index| (index, number))
            .collect();
        if number % 2 == 1 {
            round.reverse();
        }
        turns.extend(round);
    }
    turns
}
