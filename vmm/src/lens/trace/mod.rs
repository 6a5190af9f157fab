//! The `trace` lens: every instruction between the two marks of a case, counted exactly.
//!
//! The VMM steps the guest through its instructions (`recorder`) and records each ([`recording`]). A recording is
//! divided into [`round_trip`]s, each instruction gets its [`phase`], and what is counted ([`counts`], [`kind`],
//! [`footprint`]) is the same on every host. A recording with a [`gap`] counts nothing. [`agree`] compares with the
//! kernel's own counters, [`events`] feeds the TLB models, [`present`] and [`listing`] are for people.

pub mod agree;
pub mod boot;
pub mod clock;
pub mod counts;
pub mod decode;
pub mod events;
pub mod footprint;
pub mod gap;
pub mod kind;
pub mod listing;
pub mod path_length;
pub mod phase;
pub mod place;
pub mod present;
pub mod recording;
pub mod repeat;
pub mod round_trip;
pub mod system_calls;
pub mod timeline;

mod access;
mod by_hand;
mod effect;
mod implicit;
mod lens;
mod recorder;

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::lens::trace::counts::{Counted, Counts};
use crate::lens::trace::gap::Gap;
use crate::lens::trace::phase::Phase;
use crate::lens::trace::place::Map;
use crate::lens::trace::recorder::Recorder;
use crate::lens::trace::recording::{Recording, Step};
use crate::lens::trace::repeat::Repeated;
use crate::lens::trace::system_calls::SystemCall;
use crate::machine::guest::{GuestConfig, GuestRun, Outcome};
use crate::machine::{MachineError, StopFlag, run_observed};

pub use lens::{TraceAbsent, TraceLens, Traced};

/// The lens's name.
pub const NAME: &str = "trace";

/// Why there is no trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The guest could not be run at all.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// What another CPU did for a round trip is not in the trace.
    #[error("{0} messages went from the first CPU to others; a trace follows the first one only")]
    OtherCpu(u64),
    /// The case itself failed.
    #[error("the traced guest did not finish its case")]
    Outcome(Box<Outcome>),
    /// An exception leads from a server to the kernel without an instruction that could be followed.
    #[error("servers of this case fault between the marks ({first}), and no trace can follow a fault")]
    Faults {
        /// What happened first.
        first: String,
    },
    /// The trace is not what was executed.
    #[error(transparent)]
    Gap(#[from] Gap),
    /// There is nothing to count.
    #[error(
        "the trace holds no complete round trip: the client must make at least two, and the same number of calls in each"
    )]
    NoRoundTrip,
    /// Two lenses counted the same thing and do not agree.
    #[error("the lenses do not agree: {0}")]
    Disagreement(#[from] agree::Disagreement),
}

/// What a trace counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Complete round trips.
    pub round_trips: u64,
    /// The shortest of them, the first if several are.
    pub counts: Counts,
    /// Instructions of the longest.
    pub instructions_max: u64,
    /// Round trips that differ from [`Summary::counts`] in what they execute. In steady state there are none.
    pub varying: u64,
    /// Round trips that execute the same and touch another number of lines or pages, as where a client's samples lie on one
    /// cache line or on two. No count of instructions depends on it.
    #[serde(default)]
    pub varying_footprint: u64,
    /// Instructions of the SYSCALL detour in that round trip, which are in no other count.
    pub detour_instructions: u64,
    /// Instructions of that round trip by ring, phase, and program and function, as in [`Trace::folded`]; empty in records of old.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stacks: BTreeMap<String, u64>,
    /// The client's system calls in that round trip, in order.
    #[serde(default)]
    pub system_calls: Vec<SystemCall>,
    /// Ticks of a clock that advances by one for every instruction, between the client's readings around its calls;
    /// absent where the client reads no clock, or round trips differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ticks: Option<u64>,
    /// String instructions with a repeat prefix among these that were repeated at least once; absent as the ticks are, and in
    /// records of old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_repeats: Option<u64>,
    /// Everything between the marks, incomplete round trips included, without the detour.
    pub between_marks: Counts,
    /// Instructions of the SYSCALL detour between the marks.
    pub detour_between_marks: u64,
}

impl Summary {
    /// What a guest that makes so many round trips between its marks must count, if `field` counts instructions of one:
    /// those of its round trips, and what this one had besides its own. `None` where round trips differ.
    pub fn predict(&self, round_trips: u64, field: impl Fn(&Counts, u64) -> u64) -> Option<u64> {
        let one = field(&self.counts, self.detour_instructions);
        let all = field(&self.between_marks, self.detour_between_marks);
        // The last round trip ends with the second mark, so it is not complete, but all the same a round trip.
        let besides = all.checked_sub(one.checked_mul(self.round_trips + 1)?)?;
        (self.varying == 0).then_some(())?;
        one.checked_mul(round_trips)?.checked_add(besides)
    }

    /// Instructions of one round trip by program and function; empty in records of old.
    pub fn functions(&self) -> BTreeMap<String, u64> {
        let mut functions = BTreeMap::new();
        for (stack, count) in &self.stacks {
            let function = stack.rsplit(';').next().unwrap_or(stack);
            *functions.entry(function.to_owned()).or_insert(0) += count;
        }
        functions
    }
}

/// A traced case.
pub struct Trace {
    /// The run that was traced. Its times mean nothing.
    pub run: GuestRun,
    /// The instructions.
    pub recording: Recording,
    /// The phase of each instruction.
    pub phases: Vec<Phase>,
    /// The complete round trips, as ranges of the instructions.
    pub round_trips: Vec<Range<usize>>,
    /// Names of places.
    pub map: Map,
    /// The counts.
    pub summary: Summary,
}

/// Boots the guest and traces it between its marks. The lenses that can be compared agree, or it is an error.
pub fn trace(config: &GuestConfig, stop: &StopFlag) -> Result<Trace, TraceError> {
    let mut recorder = Recorder::new();
    let run = run_observed(config, stop, &mut recorder)?;
    // What made the trace impossible is told first: the guest may wait for what stepping has kept from it, or lack a server.
    let is_explained = recorder.has_given_up()
        && match run.outcome {
            Outcome::Deadlock | Outcome::Hang { .. } => true,
            Outcome::Finished { .. } => !run.faults.is_empty(),
            _ => false,
        };
    if run.outcome != (Outcome::Finished { status: 0 }) && !is_explained {
        return Err(TraceError::Outcome(Box::new(run.outcome)));
    }
    let sent_away = run.cpus.first().map_or(0, |cpu| cpu.counted().ipc_remote);
    if sent_away > 0 {
        return Err(TraceError::OtherCpu(sent_away));
    }
    let recording = match (recorder.finish(), run.faults.first()) {
        (Err(Gap::LostStep { .. } | Gap::NeverStopped { .. } | Gap::CannotFollow { .. }), Some(fault)) => {
            return Err(TraceError::Faults { first: fault.description.clone() });
        }
        (recording, _) => recording?,
    };
    let map = Map::new(config);
    let phases = phase::phases(&recording, &map);
    let round_trips = round_trip::round_trips(&recording, &map, of_first_cpu(&run));
    let mut summary = summarise(&recording, &phases, &round_trips, map.current_thread_word(&recording))
        .ok_or(TraceError::NoRoundTrip)?;
    let typical = typical(&phases, &round_trips, &summary);
    summary.system_calls = system_calls::system_calls(&recording, &phases, &map, typical.clone());
    agree::check(&summary.between_marks, &run)?;
    summary.stacks = listing::stacks(&recording, &phases, &map, typical);
    Ok(Trace { run, recording, phases, round_trips, map, summary })
}

/// Round trips that the thread on the first CPU says it made: where several measure, each makes as many.
fn of_first_cpu(run: &GuestRun) -> u64 {
    let threads = run.cpus.iter().filter(|cpu| cpu.part_ended_tsc != 0).count().max(1);
    run.round_trips / threads as u64
}

impl Trace {
    /// The round trip that [`Summary::counts`] counts, with the phase of each instruction.
    pub fn typical_round_trip(&self) -> impl Iterator<Item = (&Step, Phase)> {
        let range = typical(&self.phases, &self.round_trips, &self.summary);
        steps(&self.recording, &self.phases, range)
    }
}

/// The round trip that [`Summary::counts`] counts.
fn typical(phases: &[Phase], round_trips: &[Range<usize>], summary: &Summary) -> Range<usize> {
    let is_it = |range: &&Range<usize>| {
        let counted = phases[(*range).clone()].iter().filter(|phase| **phase != Phase::Detour);
        counted.count() as u64 == summary.counts.instructions
    };
    round_trips.iter().find(is_it).cloned().unwrap_or(0..0)
}

fn steps<'a>(
    recording: &'a Recording,
    phases: &'a [Phase],
    range: Range<usize>,
) -> impl Iterator<Item = (&'a Step, Phase)> {
    recording.steps[range.clone()].iter().zip(phases[range].iter().copied())
}

fn summarise(
    recording: &Recording,
    phases: &[Phase],
    round_trips: &[Range<usize>],
    current: Option<u64>,
) -> Option<Summary> {
    let count = |range: Range<usize>| counts::count(steps(recording, phases, range), current);
    let counted: Vec<Counted> = round_trips.iter().cloned().map(count).collect();
    let between_marks = count(0..recording.steps.len());
    let shortest = counted.iter().min_by_key(|counted| counted.counts.instructions)?.clone();
    Some(Summary {
        round_trips: counted.len() as u64,
        instructions_max: counted.iter().map(|counted| counted.counts.instructions).max()?,
        varying: counted.iter().filter(|counted| !counted.counts.executes_as(&shortest.counts)).count()
            as u64,
        varying_footprint: counted
            .iter()
            .filter(|counted| {
                counted.counts.executes_as(&shortest.counts) && counted.counts != shortest.counts
            })
            .count() as u64,
        counts: shortest.counts,
        detour_instructions: shortest.detour_instructions,
        stacks: BTreeMap::new(),
        system_calls: Vec::new(),
        clock_ticks: clock::between_readings(&recording.steps, phases, round_trips, Repeated::ticks),
        clock_repeats: clock::between_readings(&recording.steps, phases, round_trips, Repeated::ends),
        between_marks: between_marks.counts,
        detour_between_marks: between_marks.detour_instructions,
    })
}
