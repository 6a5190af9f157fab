//! A guest that had a process of its own, at its end.

use serde::{Deserialize, Serialize};

use crate::lens::LensReadings;
use crate::machine::guest::GuestRun;
use crate::record::density::{CgroupUse, MemoryFigures};

/// One guest of many, at its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Guest {
    /// What it left, or how it was lost.
    pub result: Result<Ended, Lost>,
    /// When it came where.
    pub times: Times,
    /// Memory of its process while it waited at the barrier.
    pub memory: Option<MemoryFigures>,
    /// CPU time of its process, in user mode, ns.
    pub user_ns: u64,
    /// CPU time of its process in the host's kernel, the guest's own included, ns.
    pub system_ns: u64,
    /// What its cgroup counted, where it has a quota.
    pub cgroup: Option<CgroupUse>,
}

/// A guest that ended in one way or another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// What it left behind.
    pub run: GuestRun,
    /// What its hardware counters showed.
    pub lenses: LensReadings,
}

/// A guest without an end of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Lost {
    /// It was never run.
    #[error("{0}")]
    NotStarted(String),
    /// Its process died.
    #[error("{0}")]
    Died(String),
}

/// Times from the start of a guest's process, ns. What it never came to is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// The process's own code runs.
    pub entered_ns: Option<u64>,
    /// The guest is complete.
    pub created_ns: Option<u64>,
    /// Its kernel has loaded all servers: its first output.
    pub started_ns: Option<u64>,
    /// Its client has made the system call of the first mark.
    pub ready_ns: Option<u64>,
    /// When it passed its first mark, on the clock that all guests share (CLOCK_MONOTONIC).
    pub began_at_ns: Option<u64>,
    /// Until when it called, on the same clock: until all had measured.
    pub called_until_ns: Option<u64>,
}
