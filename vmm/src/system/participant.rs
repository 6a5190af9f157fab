//! A program of a guest: where it runs, whom it may call, what it is told.

use std::sync::Arc;

use abi::plan::trust;
use abi::workload::Arguments;

use super::placement::Placement;

/// All programs of a case run at one priority, so that only messages decide who runs.
pub const PRIORITY: u32 = 10;

/// The group of a program that none was chosen for: whoever runs in the kernel is critical and trusted; the others are
/// trusted, but need not be critical.
pub fn usual_group(placement: Placement) -> u32 {
    if placement.is_in_kernel() { trust::CRITICAL_TRUSTED } else { trust::NONCRITICAL_TRUSTED }
}

/// The threads of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// Their number. Thread n starts on CPU `first_cpu + n % cpu_count`.
    pub count: u32,
    /// The first CPU that they are spread over.
    pub first_cpu: u32,
    /// Number of these CPUs.
    pub cpu_count: u32,
    /// Their priority.
    pub priority: u32,
    /// Pages of each one's stack; 0 for as many as there is room for.
    pub stack_pages: u32,
    /// Each has an endpoint of its own.
    pub own_endpoints: bool,
    /// The rights are dealt out to the CPUs in equal parts.
    pub rights_per_cpu: bool,
}

impl Threads {
    /// One thread on a CPU.
    pub const fn one_on(cpu: u32) -> Threads {
        Threads {
            count: 1,
            first_cpu: cpu,
            cpu_count: 1,
            priority: PRIORITY,
            stack_pages: 0,
            own_endpoints: false,
            rights_per_cpu: false,
        }
    }

    /// A thread on each of so many CPUs.
    pub const fn on_each(cpus: u32) -> Threads {
        Threads { count: cpus, cpu_count: cpus, ..Threads::one_on(0) }
    }
}

/// Whom a right leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Index of the participant.
    pub participant: usize,
    /// Number of its thread, if its threads have endpoints of their own.
    pub thread: u32,
}

impl From<usize> for Target {
    fn from(participant: usize) -> Target {
        Target { participant, thread: 0 }
    }
}

/// One program of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Program to start.
    pub program: String,
    /// Where.
    pub placement: Placement,
    /// Its trust group, 1 to 4.
    pub trust_group: u32,
    /// User programs with the same number share a space.
    pub space: u32,
    /// Whom it may call, in the order of its handles.
    pub may_call: Vec<Target>,
    /// Pages of its working set.
    pub pages: u32,
    /// Where it runs while it is measured, if it migrates.
    pub moves_to: Option<Placement>,
    /// It keeps its addresses wherever it migrates, for which it needs a home.
    pub has_home: bool,
    /// Its threads.
    pub threads: Threads,
    /// Faults in the kernel after which it is moved out and loses its trust; 0: none.
    pub demote_after: u32,
    /// Messages after which it moves into the kernel by itself; 0: never.
    pub promote_after: u32,
    /// What it is told.
    pub arguments: Arguments,
    /// Bytes that its image has at [`abi::replay::OFFSET`]. All participants of a program have the same.
    pub table: Option<Arc<[u8]>>,
}

impl Participant {
    /// A program with one thread, which calls nobody and is told nothing.
    pub fn new(program: &str, placement: Placement, space: u32) -> Participant {
        Participant {
            program: program.to_owned(),
            placement,
            trust_group: usual_group(placement),
            space,
            may_call: Vec::new(),
            pages: 0,
            moves_to: None,
            has_home: false,
            threads: Threads::one_on(0),
            demote_after: 0,
            promote_after: 0,
            arguments: Arguments::default(),
            table: None,
        }
    }
}
