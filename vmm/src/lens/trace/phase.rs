//! The phases of a round trip: which part of the way each instruction belongs to.
//!
//! Server code tells by its region. In the kernel, one **visit** (from the first kernel instruction after server code to the
//! last before it) is divided by the functions it passes through: the assembly of the entry stubs before the first function
//! behind them, the fast path, from there on the switch, and the assembly of the entry stubs behind the last function.

use serde::{Deserialize, Serialize};

use crate::lens::trace::place::{Map, Place};
use crate::lens::trace::recording::{Recording, Step};
use crate::tlb::stream::AccessKind;

/// A part of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The client's own loop, its clock reads and checks included.
    Client,
    /// The client's stubs.
    ClientStub,
    /// From SYSCALL to the kernel's entry where KVM emulates ring 0 and SYSCALL arrives as a page fault. Not part of any
    /// count: no processor does that.
    Detour,
    /// From the kernel's first instruction to the first function behind its entry stubs.
    Entry,
    /// The checks and the commit of the fast path, with the functions that it calls.
    FastPath,
    /// From the store that makes another thread the running one to the end of the fast path: page table and counters.
    Switch,
    /// The kernel's part of a call in the transfer mode `direct`.
    Direct,
    /// Everything in the kernel that is none of the others.
    SlowPath,
    /// From the last function behind the kernel's entry stubs to its last instruction.
    Exit,
    /// The programs of all other servers.
    Server,
    /// Their stubs.
    ServerStub,
}

impl Phase {
    /// All phases, in the order of a round trip.
    pub const ALL: [Phase; 11] = [
        Phase::Client,
        Phase::ClientStub,
        Phase::Detour,
        Phase::Entry,
        Phase::FastPath,
        Phase::Switch,
        Phase::Direct,
        Phase::SlowPath,
        Phase::Exit,
        Phase::ServerStub,
        Phase::Server,
    ];

    /// The phase in words.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Client => "client",
            Phase::ClientStub => "client stub",
            Phase::Detour => "SYSCALL detour",
            Phase::Entry => "kernel entry",
            Phase::FastPath => "fast path",
            Phase::Switch => "switch",
            Phase::Direct => "direct call",
            Phase::SlowPath => "slow path",
            Phase::Exit => "kernel exit",
            Phase::Server => "server",
            Phase::ServerStub => "server stub",
        }
    }

    /// Kernel and stubs: what an IPC costs whatever client and server do with it.
    pub const fn is_path(self) -> bool {
        !matches!(self, Phase::Client | Phase::Server | Phase::Detour)
    }

    /// The kernel's own code.
    pub const fn is_kernel(self) -> bool {
        use Phase::{Direct, Entry, Exit, FastPath, SlowPath, Switch};
        matches!(self, Entry | FastPath | Switch | Direct | SlowPath | Exit)
    }
}

/// What a function of the kernel is to a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Detour,
    Assembly,
    Direct,
    Fast,
    Other,
}

/// What the names of labels within the kernel's entry stubs, and in the code before and behind them for 32-bit programs, begin with.
const ENTRY_LABELS: [&str; 2] = ["inkbed_entry_", "inkbed_compatibility_"];

impl Part {
    /// By the function's name, without generic arguments and hash.
    fn of(function: &str) -> Part {
        if function.ends_with("traps::page_fault_stub") {
            Part::Detour
        } else if ENTRY_LABELS.iter().any(|label| function.starts_with(label))
            || function.contains("::entry::system_call::") && !function.ends_with("::handle")
            // The gates of 32-bit programs, and the trampoline behind them.
            || function.contains("::compatibility::")
        {
            Part::Assembly
        } else if function.contains("::direct::") {
            Part::Direct
        } else if function.contains("ipc::fast::") {
            Part::Fast
        } else {
            Part::Other
        }
    }
}

/// One phase for each step of the recording.
pub fn phases(recording: &Recording, map: &Map) -> Vec<Phase> {
    let current = map.current_thread_word(recording);
    let mut phases = Vec::with_capacity(recording.steps.len());
    let mut visit = Vec::new();
    for step in &recording.steps {
        let place = map.place(recording, step);
        let server_phase = match place {
            Place::Kernel => {
                let part = map.function(place, step).map_or(Part::Other, |(name, _)| Part::of(name));
                visit.push((part, current.is_some_and(|address| writes_to(step, address))));
                continue;
            }
            Place::Stub { server, .. } if Some(server) == map.driver() => Phase::ClientStub,
            Place::Stub { .. } => Phase::ServerStub,
            Place::Program { server } if Some(server) == map.driver() => Phase::Client,
            Place::Program { .. } => Phase::Server,
        };
        phases.extend(divide(&visit));
        visit.clear();
        phases.push(server_phase);
    }
    phases.extend(divide(&visit));
    phases
}

/// Whether the instruction writes to this address.
pub fn writes_to(step: &Step, address: u64) -> bool {
    step.accesses.iter().any(|memory| {
        let access = &memory.access;
        access.kind == AccessKind::Write
            && access.address <= address
            && address - access.address < memory.size_bytes
    })
}

/// The phases of one visit, whose instructions are told by part and by whether they make another thread the running one.
fn divide(visit: &[(Part, bool)]) -> Vec<Phase> {
    let is_body = |(part, _): &(Part, bool)| matches!(part, Part::Direct | Part::Fast | Part::Other);
    let first = visit.iter().position(is_body);
    let last = visit.iter().rposition(is_body);
    let is_called = called_by_fast_path(visit);
    let mut has_switched = false;
    let phase = |(index, (part, switches)): (usize, &(Part, bool))| match part {
        Part::Detour => Phase::Detour,
        Part::Direct => Phase::Direct,
        Part::Other if !is_called[index] => Phase::SlowPath,
        Part::Fast | Part::Other => {
            has_switched |= switches;
            if has_switched { Phase::Switch } else { Phase::FastPath }
        }
        Part::Assembly if first.is_none_or(|first| index < first) => Phase::Entry,
        Part::Assembly if last.is_some_and(|last| index > last) => Phase::Exit,
        Part::Assembly => Phase::SlowPath,
    };
    visit.iter().enumerate().map(phase).collect()
}

/// Which instructions are those of another function between two of the fast path's functions, without one of an entry stub. One pass:
/// a visit in which a CPU wakes hundreds of others has millions of instructions.
fn called_by_fast_path(visit: &[(Part, bool)]) -> Vec<bool> {
    let mut called = Vec::with_capacity(visit.len());
    let mut before = None;
    for run in visit.chunk_by(|(left, _), (right, _)| (*left == Part::Other) == (*right == Part::Other)) {
        let is_other = run[0].0 == Part::Other;
        let after = visit.get(called.len() + run.len()).map(|(part, _)| *part);
        let is_called = is_other && before == Some(Part::Fast) && after == Some(Part::Fast);
        called.extend(std::iter::repeat_n(is_called, run.len()));
        before = run.last().map(|(part, _)| *part);
    }
    called
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_told_by_name() {
        assert_eq!(Part::of("kernel::arch::x86_64::entry::traps::page_fault_stub"), Part::Detour);
        assert_eq!(Part::of("kernel::arch::x86_64::entry::system_call::kernel_call_entry"), Part::Assembly);
        assert_eq!(Part::of("inkbed_entry_call"), Part::Assembly);
        assert_eq!(Part::of("kernel::arch::x86_64::entry::compatibility::trampoline"), Part::Assembly);
        assert_eq!(Part::of("inkbed_compatibility_leave"), Part::Assembly);
        assert_eq!(Part::of("kernel::arch::x86_64::entry::system_call::handle"), Part::Other);
        assert_eq!(Part::of("kernel::arch::x86_64::entry::traps::trap_in_thread"), Part::Other);
        assert_eq!(Part::of("kernel::arch::x86_64::entry::direct::user_direct_call"), Part::Direct);
        assert_eq!(Part::of("kernel::ipc::fast::call"), Part::Fast);
        assert_eq!(Part::of("kernel::ipc::slow::call"), Part::Other);
    }

    /// With a search from each instruction this would take hours.
    #[test]
    fn a_visit_of_millions_of_instructions_is_divided_in_one_pass() {
        let mut visit = vec![(Part::Other, false); 2_000_000];
        (visit[0], visit[1_999_999]) = ((Part::Assembly, false), (Part::Assembly, false));
        let phases = divide(&visit);
        assert_eq!(phases[1_000_000], Phase::SlowPath);
        assert_eq!((phases[0], phases[1_999_999]), (Phase::Entry, Phase::Exit));
    }

    #[test]
    fn a_fast_visit_is_entry_fast_path_switch_exit() {
        let visit = [
            (Part::Detour, false),
            (Part::Assembly, false),
            (Part::Fast, false),
            (Part::Fast, true),
            (Part::Fast, false),
            (Part::Assembly, false),
        ];
        let expected =
            [Phase::Detour, Phase::Entry, Phase::FastPath, Phase::Switch, Phase::Switch, Phase::Exit];
        assert_eq!(divide(&visit), expected);
    }

    #[test]
    fn a_visit_that_leaves_the_fast_path_is_slow_from_there_on() {
        let visit = [Part::Assembly, Part::Fast, Part::Assembly, Part::Other, Part::Other, Part::Assembly]
            .map(|part| (part, false));
        let expected =
            [Phase::Entry, Phase::FastPath, Phase::SlowPath, Phase::SlowPath, Phase::SlowPath, Phase::Exit];
        assert_eq!(divide(&visit), expected);
        let helper = [Part::Fast, Part::Other, Part::Fast].map(|part| (part, part == Part::Other));
        assert_eq!(divide(&helper), [Phase::FastPath, Phase::Switch, Phase::Switch]);
        let direct = [Part::Assembly, Part::Direct].map(|part| (part, false));
        assert_eq!(divide(&direct), [Phase::Entry, Phase::Direct]);
        let direct = [Part::Direct, Part::Assembly].map(|part| (part, false));
        assert_eq!(divide(&direct), [Phase::Direct, Phase::Exit]);
        assert_eq!(divide(&[(Part::Assembly, false)]), [Phase::Entry]);
        assert_eq!(divide(&[]), []);
    }
}
