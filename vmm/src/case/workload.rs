//! What a workload is: one thing that cases can measure, told in one place. Which there are is said in [`crate::workload`].

use std::fmt;

use abi::workload::Arguments;

use super::key::Key;
use super::parameters::Parameters;
use crate::system::System;
use crate::system::placement::Placement;

/// One thing that cases can measure.
pub trait Workload: Sync {
    /// As in experiment files.
    fn name(&self) -> &'static str;

    /// One line for people.
    fn sentence(&self) -> &'static str;

    /// What a round trip is, for people who write files. Markdown.
    fn round_trip(&self) -> &'static str;

    /// Names of the samples that each round trip leaves, in the order in which the client writes them.
    fn channels(&self) -> &'static [&'static str];

    /// What the samples are, where their names do not tell. Markdown.
    fn about_samples(&self) -> &'static str {
        ""
    }

    /// Its keys, in the order in which their lists multiply: the last one turns fastest.
    fn keys(&self) -> &'static [&'static Key];

    /// Its programs in the order of the message's way: what stands above the column of placements.
    fn way(&self) -> &'static str;

    /// What it is like.
    fn nature(&self) -> Nature {
        Nature::USUAL
    }

    /// The server's program, if the file names none.
    fn server_program(&self, _case: &Parameters) -> Option<&'static str> {
        None
    }

    /// Refuses what only the combination of keys makes impossible.
    fn check(&self, _case: &Parameters) -> Result<(), Refused> {
        Ok(())
    }

    /// Who takes part, with which rights and arguments, and which way a round trip goes.
    fn system(&self, case: &Parameters) -> System;

    /// What the client is told.
    fn arguments(&self, case: &Parameters) -> Arguments;

    /// Bits of [`abi::plan::flag`].
    fn plan_flags(&self, _case: &Parameters) -> u64 {
        0
    }

    /// Threads of the client that measure.
    fn measuring_threads(&self, case: &Parameters) -> u32 {
        if self.nature().measures_on_all_cpus { case.vcpus } else { 1 }
    }

    /// Whether threads that have measured go on calling until all have: only where all that a call does happens on the caller's
    /// CPU, or those calls would be in the counts of another.
    fn keeps_calling(&self, _case: &Parameters) -> bool {
        true
    }

    /// Fewest round trips before a trace, so that what is done only once has been done.
    fn settles_after(&self, _case: &Parameters) -> u64 {
        0
    }

    /// What many servers and threads need memory for.
    fn crowd(&self, _case: &Parameters) -> Crowd {
        Crowd::default()
    }

    /// Changes a case whose programs all have been put into spaces of their own to the one that it is compared with.
    fn compared_with(&self, _case: &mut Parameters) {}

    /// Requests that a round trip makes, where it replays what a program requested.
    fn requests(&self, _case: &Parameters) -> Option<u64> {
        None
    }

    /// Columns of counts beyond those of all workloads.
    fn columns(&self) -> &'static [CountColumn] {
        &[]
    }

    /// A channel in a narrow column.
    fn label(&self, channel: &'static str, _is_32_bit: bool) -> &'static str {
        channel
    }

    /// Why no trace is taken of its round trips; `None` where one can be.
    fn why_not_traced(&self) -> Option<&'static str> {
        self.nature().is_measured_once.then_some("it is measured once and not traced")
    }

    /// What its cases answer instead of how long something takes.
    fn verdict(&self) -> Option<&'static dyn Verdict> {
        None
    }
}

/// What a workload is like, where it is not as most are.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    /// A thread of the client measures on each CPU.
    pub measures_on_all_cpus: bool,
    /// Many threads measure, or many handlers wait: tables say what there is of everything.
    pub is_crowd: bool,
    /// A thread may wait by spinning, and lets others run when the timer ends its time slice. In all others threads only wait for
    /// each other's messages, and a timer interrupt would disturb what is measured.
    pub has_time_slices: bool,
    /// It can be measured only once in a guest.
    pub is_measured_once: bool,
    /// Its servers fault, each time with an entry in the report.
    pub faults: bool,
    /// Its programs can be those for 32 bits.
    pub exists_in_32_bits: bool,
    /// Whether its servers migrate.
    pub moves: Moves,
    /// Calls that are in no sample are counted, too.
    pub counts_other_calls: bool,
    /// Its times are compared with those of the same case with every program in a space of its own.
    pub is_compared: bool,
    /// What a round trip does.
    pub does: Does,
}

impl Nature {
    /// One client that calls servers again and again.
    pub const USUAL: Nature = Nature {
        measures_on_all_cpus: false,
        is_crowd: false,
        has_time_slices: false,
        is_measured_once: false,
        faults: false,
        exists_in_32_bits: true,
        moves: Moves::Never,
        counts_other_calls: false,
        is_compared: true,
        does: Does::Calls,
    };

    /// Whether round trips can go on behind the measured part: what can be done only once cannot, and faults would fill the report.
    pub const fn can_go_on(&self) -> bool {
        !self.is_measured_once && !self.faults
    }
}

/// When servers migrate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves {
    /// Never.
    Never,
    /// Before the first mark.
    Before,
    /// In every round trip.
    EveryRoundTrip,
}

/// What a round trip does, for whoever reads its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It reads the clock, and nothing else: what is in every sample of the others, too.
    ReadsClock,
    /// It enters the kernel.
    Calls,
    /// Something whose time says nothing.
    EndsSomehow,
}

/// Servers and threads beyond the few that every guest has room for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crowd {
    /// Servers.
    pub servers: u64,
    /// Threads of one server.
    pub threads: u64,
}

/// A combination of keys that cannot be run.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The keys to blame: the first one that the file gives is shown.
    pub keys: Vec<&'static Key>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl Refused {
    /// A refusal because of a key.
    pub fn at(key: &'static Key, message: impl Into<String>, fix: impl Into<String>) -> Refused {
        Refused { keys: vec![key], message: message.into(), fix: fix.into() }
    }

    /// Another key to blame, if the file does not give the first.
    #[must_use]
    pub fn or(mut self, key: &'static Key) -> Refused {
        self.keys.push(key);
        self
    }
}

/// A column of counts.
#[derive(Clone, Copy, Debug)]
pub struct CountColumn {
    /// What stands above it.
    pub heading: &'static str,
    /// Columns with the lowest rank are left out first where a table is too wide; 255 never.
    pub rank: u8,
    /// What it counts.
    pub figure: Figure,
    /// It stands behind the counts of crowds, not behind the page-table loads.
    pub is_late: bool,
}

impl CountColumn {
    /// A column behind the page-table loads.
    pub const fn early(heading: &'static str, figure: Figure) -> CountColumn {
        CountColumn { heading, rank: 9, figure, is_late: false }
    }

    /// A column behind the counts of crowds.
    pub const fn late(heading: &'static str, figure: Figure) -> CountColumn {
        CountColumn { heading, rank: u8::MAX, figure, is_late: true }
    }
}

/// A count of a case.
#[derive(Clone, Copy, Debug)]
pub enum Figure {
    /// This counter, for each round trip.
    PerRoundTrip(&'static str),
    /// This counter, for all round trips together.
    Total(&'static str),
    /// This counter, for each launch.
    PerLaunch(&'static str),
    /// Other calls that were answered meanwhile.
    AnsweredMeanwhile,
    /// Other calls that failed.
    Failed,
    /// Requests that a round trip replays.
    Requests,
    /// Page tables that one of them loads.
    LoadsPerRequest,
    /// The share of page-table loads that servers in the kernel save.
    LoadsSaved,
}

/// What cases answer instead of how long something takes.
pub trait Verdict: Sync {
    /// What stands above the column.
    fn heading(&self) -> &'static str;

    /// The answer of a case; empty where it failed.
    fn of(&self, case: &Parameters, ending: Ending) -> &'static str;

    /// What is asked, where placements stand side by side. Cases with the same order and text ask the same.
    fn question(&self, case: &Parameters) -> (usize, String);

    /// What stands for a case with this server that cannot be.
    fn impossible(&self, case: &Parameters, server: Placement) -> Option<&'static str>;
}

/// How the calls of a case ended.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that failed.
    pub failed: u64,
    /// The guest's CPU prevents supervisor mode from reading pages of user mode.
    pub has_smap: bool,
}

impl dyn Workload {
    /// Whether cases of it have this key.
    pub fn has(&self, key: &Key) -> bool {
        self.keys().iter().any(|known| known.name == key.name)
    }
}

impl PartialEq for dyn Workload {
    fn eq(&self, other: &dyn Workload) -> bool {
        self.name() == other.name()
    }
}

impl Eq for dyn Workload {}

impl fmt::Debug for dyn Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl fmt::Display for dyn Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
