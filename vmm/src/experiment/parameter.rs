//! The words that experiment files, case names and results share.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::machine::guest::HugePages;

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// A user address space, ring 3.
    User,
    /// A slot of the kernel's half, ring 0.
    Kernel,
    /// Built for 32 bits: a slot of the region that all spaces share, ring 3, on segments that end with the slot. Liedtke's
    /// small space.
    Small,
    /// Built for 32 bits: an address space of its own, ring 3, on segments that end where the slots begin. Liedtke's large
    /// space.
    Large,
}

impl Placement {
    /// All of them.
    pub const ALL: [Placement; 4] = [Placement::User, Placement::Kernel, Placement::Small, Placement::Large];

    /// As in experiment files.
    pub const fn name(self) -> &'static str {
        match self {
            Placement::User => "user",
            Placement::Kernel => "kernel",
            Placement::Small => "small",
            Placement::Large => "large",
        }
    }

    /// Whether the program is built for 32 bits and runs in compatibility mode.
    pub const fn is_32_bit(self) -> bool {
        matches!(self, Placement::Small | Placement::Large)
    }

    /// Whether the program has an address space that others do not see, so that a switch to it may need a page-table load.
    pub const fn has_own_space(self) -> bool {
        matches!(self, Placement::User | Placement::Large)
    }

    /// One of [`abi::plan::placement`].
    pub const fn abi(self) -> u32 {
        match self {
            Placement::User => abi::plan::placement::USER,
            Placement::Kernel => abi::plan::placement::KERNEL,
            Placement::Small => abi::plan::placement::SMALL,
            Placement::Large => abi::plan::placement::LARGE,
        }
    }
}

impl FromStr for Placement {
    type Err = ();

    fn from_str(text: &str) -> Result<Placement, ()> {
        Placement::ALL.into_iter().find(|placement| placement.name() == text).ok_or(())
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// What a case measures; see [`abi::program::workload`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Two clock reads with nothing between them.
    Empty,
    /// The system call that does nothing.
    NullSystemCall,
    /// One call and its answer.
    Call,
    /// One call and its answer, with a clock reading in the server: both directions apart.
    Directions,
    /// Client → relay → server and back.
    Relay,
    /// The client calls the server, then the server serves another client's space.
    Alternate,
    /// Client and server touch pages of their own between two calls.
    Touch,
    /// A call through a chain of servers, the first of which have moved into the kernel.
    Chain,
    /// A server and its partners move into the kernel and out again while a client calls.
    Migrate,
    /// The same, while a second thread of the client calls all the while.
    MigrateUnderLoad,
    /// One of many servers is stopped, started again and called.
    Slots,
    /// A server faults and is called again.
    Faults,
    /// Clients on all CPUs call at the same time.
    Scaling,
    /// Clients on all CPUs call handlers in turn.
    HandlerCall,
    /// The same, but they notify handlers of higher priority.
    HandlerWakeUp,
    /// One handler faults, and all the others are called.
    HandlerFault,
    /// A server reads what is not its own.
    Reach,
}

impl Workload {
    /// All of them, in the order in which reports show them.
    pub const ALL: [Workload; 17] = [
        Workload::Empty,
        Workload::NullSystemCall,
        Workload::Call,
        Workload::Directions,
        Workload::Relay,
        Workload::Alternate,
        Workload::Touch,
        Workload::Chain,
        Workload::Migrate,
        Workload::MigrateUnderLoad,
        Workload::Slots,
        Workload::Faults,
        Workload::Scaling,
        Workload::HandlerCall,
        Workload::HandlerWakeUp,
        Workload::HandlerFault,
        Workload::Reach,
    ];

    /// As in experiment files.
    pub const fn name(self) -> &'static str {
        match self {
            Workload::Empty => "empty",
            Workload::NullSystemCall => "null_system_call",
            Workload::Call => "call",
            Workload::Directions => "directions",
            Workload::Relay => "relay",
            Workload::Alternate => "alternate",
            Workload::Touch => "touch",
            Workload::Chain => "chain",
            Workload::Migrate => "migrate",
            Workload::MigrateUnderLoad => "migrate_under_load",
            Workload::Slots => "slots",
            Workload::Faults => "faults",
            Workload::Scaling => "scaling",
            Workload::HandlerCall => "handler_call",
            Workload::HandlerWakeUp => "handler_wake_up",
            Workload::HandlerFault => "handler_fault",
            Workload::Reach => "reach",
        }
    }

    /// One line for people.
    pub const fn describe(self) -> &'static str {
        match self {
            Workload::Empty => "two clock reads with nothing between them",
            Workload::NullSystemCall => "into the kernel and out again",
            Workload::Call => "one call and its answer",
            Workload::Directions => "one call, timed in both directions",
            Workload::Relay => "client → relay → server and back",
            Workload::Alternate => "A calls S, then B calls the same S and A waits for it",
            Workload::Touch => "client and server touch pages, one call between",
            Workload::Chain => "a call through a chain of servers that move into the kernel one by one",
            Workload::Migrate => {
                "servers move into the kernel, or a small space, and out again while a client calls"
            }
            Workload::MigrateUnderLoad => "servers move in and out while another thread calls all the while",
            Workload::Slots => "one of many servers is stopped, started again and called",
            Workload::Faults => "a server faults under a call and is called again",
            Workload::Scaling => "clients on all CPUs call at the same time",
            Workload::HandlerCall => "a client on each CPU calls the handlers there in turn",
            Workload::HandlerWakeUp => "a client on each CPU wakes the handlers there in turn",
            Workload::HandlerFault => "one handler faults, then all others are called",
            Workload::Reach => "a server reads what is not its own",
        }
    }

    /// One of [`abi::program::workload`].
    pub const fn abi(self) -> u64 {
        match self {
            Workload::Empty => abi::program::workload::EMPTY,
            Workload::NullSystemCall => abi::program::workload::NULL_SYSTEM_CALL,
            // The client is the same; it does not know who answers.
            Workload::Call | Workload::Relay | Workload::Chain | Workload::Scaling => {
                abi::program::workload::CALL
            }
            Workload::Directions => abi::program::workload::DIRECTIONS,
            Workload::Alternate => abi::program::workload::ALTERNATE,
            Workload::Touch => abi::program::workload::TOUCH_AND_CALL,
            Workload::Migrate => abi::program::workload::MIGRATE,
            Workload::MigrateUnderLoad => abi::program::workload::MIGRATE_UNDER_LOAD,
            Workload::Slots => abi::program::workload::RESTART,
            Workload::Faults => abi::program::workload::FAULT,
            Workload::HandlerCall => abi::program::workload::CALL_IN_TURN,
            Workload::HandlerWakeUp => abi::program::workload::WAKE_UP,
            Workload::HandlerFault => abi::program::workload::FAULT_OF_ONE,
            Workload::Reach => abi::program::workload::REACH,
        }
    }

    /// Names of the samples that each round trip leaves, in the order in which the client writes them.
    pub const fn channels(self) -> &'static [&'static str] {
        match self {
            Workload::Empty => &["empty_pair"],
            Workload::NullSystemCall => &["system_call"],
            Workload::Directions => &["round_trip", "client_to_server", "server_to_client"],
            Workload::Slots => &["stop", "start", "first_call", "call"],
            Workload::Faults => &["until_error", "until_answer", "call"],
            Workload::MigrateUnderLoad => &["move_in", "gap_in", "move_out", "gap_out"],
            Workload::Migrate => {
                &["call_in_user", "move_in", "gap_in", "call_in_kernel", "move_out", "gap_out"]
            }
            Workload::HandlerWakeUp => &["wake_up"],
            Workload::HandlerFault => &["until_error"],
            Workload::Reach => &["until_end"],
            Workload::Call
            | Workload::Relay
            | Workload::Alternate
            | Workload::Touch
            | Workload::Chain
            | Workload::Scaling
            | Workload::HandlerCall => &["round_trip"],
        }
    }

    /// Whether a server takes part whose placement is chosen.
    pub const fn has_server(self) -> bool {
        !matches!(self, Workload::Empty | Workload::NullSystemCall) && !self.has_moving_servers()
    }

    /// Whether the number of servers is chosen.
    pub const fn has_many_servers(self) -> bool {
        matches!(self, Workload::Chain | Workload::Slots)
    }

    /// Whether servers take part that migrate.
    pub const fn has_moving_servers(self) -> bool {
        matches!(self, Workload::Chain) || self.migrates()
    }

    /// Whether servers migrate in every round trip.
    pub const fn migrates(self) -> bool {
        matches!(self, Workload::Migrate | Workload::MigrateUnderLoad)
    }

    /// Whether handlers take part.
    pub const fn has_handlers(self) -> bool {
        matches!(self, Workload::HandlerCall | Workload::HandlerWakeUp | Workload::HandlerFault)
    }

    /// Whether a thread of the client measures on each CPU.
    pub const fn measures_on_all_cpus(self) -> bool {
        matches!(self, Workload::Scaling | Workload::HandlerCall | Workload::HandlerWakeUp)
    }

    /// Whether a thread may wait by spinning, and lets others run when the timer ends its time slice. In all others threads only
    /// wait for each other's messages, and a timer interrupt would disturb what is measured.
    pub const fn has_time_slices(self) -> bool {
        matches!(self, Workload::MigrateUnderLoad) || self.measures_on_all_cpus()
    }

    /// Whether it can be measured only once in a guest.
    pub const fn is_measured_once(self) -> bool {
        matches!(self, Workload::HandlerFault | Workload::Reach)
    }

    /// Whether servers fault.
    pub const fn has_fault(self) -> bool {
        matches!(self, Workload::Faults | Workload::HandlerFault)
    }

    /// Whether a third program takes part: the relay, or the other client.
    pub const fn has_third(self) -> bool {
        matches!(self, Workload::Relay | Workload::Alternate)
    }

    /// Whether the message has a length to choose.
    pub const fn has_words(self) -> bool {
        matches!(self, Workload::Call | Workload::Relay)
    }

    /// Whether pages are touched.
    pub const fn has_pages(self) -> bool {
        matches!(self, Workload::Touch)
    }

    /// Whether its programs can be those for 32 bits.
    pub const fn exists_in_32_bits(self) -> bool {
        !matches!(self, Workload::Scaling) && !self.has_handlers()
    }

    /// Whether the transfer mode can be chosen.
    pub const fn has_transfer(self) -> bool {
        matches!(self, Workload::Call | Workload::Touch)
    }

    /// Whether client and server may share a space.
    pub const fn may_share_space(self) -> bool {
        matches!(self, Workload::Call | Workload::Directions | Workload::Touch)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// How a call reaches its server; see [`abi::call::number::CALL_DIRECT`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transfer {
    /// By a switch to the server's own thread.
    #[default]
    Switch,
    /// The caller's own thread runs the entry function of a server in the kernel.
    Direct,
}

impl fmt::Display for Transfer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Transfer::Switch => "switch",
            Transfer::Direct => "direct",
        })
    }
}

/// How programs that are built for 32 bits enter the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// INT with a gate of the interrupt descriptor table: every CPU has it.
    #[default]
    Int,
    /// SYSENTER and SYSEXIT, which only Intel's CPUs have in compatibility mode.
    Sysenter,
    /// SYSCALL and SYSRET, which only AMD's CPUs have in compatibility mode.
    Syscall,
}

impl Gate {
    /// All of them.
    pub const ALL: [Gate; 3] = [Gate::Int, Gate::Sysenter, Gate::Syscall];

    /// The bit of [`abi::plan::flag`], 0 for none.
    pub const fn plan_flag(self) -> u64 {
        match self {
            Gate::Int => 0,
            Gate::Sysenter => abi::plan::flag::GATE_SYSENTER,
            Gate::Syscall => abi::plan::flag::GATE_SYSCALL,
        }
    }

    /// As in experiment files.
    pub const fn name(self) -> &'static str {
        match self {
            Gate::Int => "int",
            Gate::Sysenter => "sysenter",
            Gate::Syscall => "syscall",
        }
    }
}

/// Gates to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateChoice {
    /// Each that the guest's CPU has.
    All,
    /// See [`Gate::Int`].
    Int,
    /// See [`Gate::Sysenter`]; an error where the guest's CPU does not have it.
    Sysenter,
    /// See [`Gate::Syscall`]; an error where the guest's CPU does not have it.
    Syscall,
}

/// What the server of `reach` reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    /// Memory of the kernel.
    Kernel,
    /// Memory of its client.
    Client,
    /// Memory of another server in the same placement.
    Neighbour,
}

impl Reached {
    /// As in experiment files.
    pub const fn name(self) -> &'static str {
        match self {
            Reached::Kernel => "kernel",
            Reached::Client => "client",
            Reached::Neighbour => "neighbour",
        }
    }

    /// Whose memory it is, in the words of a table.
    pub const fn owner(self) -> &'static str {
        match self {
            Reached::Kernel => "the kernel's",
            Reached::Client => "its client's",
            Reached::Neighbour => "another server's",
        }
    }
}

/// How servers are migrated; see [`abi::program::method`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Migration {
    /// One after the other.
    OneByOne,
    /// The first one with its group, in one system call.
    Group,
    /// One after the other, each to another address.
    Relocate,
    /// One after the other, each by being stopped and started again.
    Restart,
}

impl Migration {
    /// As in experiment files.
    pub const fn name(self) -> &'static str {
        match self {
            Migration::OneByOne => "one_by_one",
            Migration::Group => "group",
            Migration::Relocate => "relocate",
            Migration::Restart => "restart",
        }
    }

    /// One of [`abi::program::method`].
    pub const fn abi(self) -> u64 {
        match self {
            Migration::OneByOne => abi::program::method::ONE_BY_ONE,
            Migration::Group => abi::program::method::GROUP,
            Migration::Relocate => abi::program::method::RELOCATE,
            Migration::Restart => abi::program::method::RESTART,
        }
    }

    /// Whether the servers keep their addresses, for which each needs a home.
    pub const fn is_in_place(self) -> bool {
        matches!(self, Migration::OneByOne | Migration::Group)
    }
}

/// How a server faults; see [`abi::program::crash`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Reads where nothing is mapped.
    #[default]
    PageFault,
    /// Executes an invalid instruction.
    InvalidOpcode,
    /// Writes to its own code.
    WriteCode,
    /// Runs into the guard page below its stack.
    StackOverflow,
    /// Panics.
    Panic,
}

impl Fault {
    /// As in experiment files.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::PageFault => "page_fault",
            Fault::InvalidOpcode => "invalid_opcode",
            Fault::WriteCode => "write_code",
            Fault::StackOverflow => "stack_overflow",
            Fault::Panic => "panic",
        }
    }

    /// One of [`abi::program::crash`].
    pub const fn abi(self) -> u32 {
        match self {
            Fault::PageFault => abi::program::crash::PAGE_FAULT,
            Fault::InvalidOpcode => abi::program::crash::INVALID_OPCODE,
            Fault::WriteCode => abi::program::crash::WRITE_CODE,
            Fault::StackOverflow => abi::program::crash::STACK_OVERFLOW,
            Fault::Panic => abi::program::crash::PANIC,
        }
    }
}

/// Who serves the clients of `scaling`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Serving {
    /// Each client has a server of its own on its CPU.
    Pairs,
    /// One server, which has a thread on each CPU.
    PerCpu,
    /// One server with one thread, on the first CPU.
    Central,
    /// There is one client, on the first CPU, and one server, on the last CPU.
    Across,
}

impl Serving {
    /// As in experiment files.
    pub const fn name(self) -> &'static str {
        match self {
            Serving::Pairs => "pairs",
            Serving::PerCpu => "per_cpu",
            Serving::Central => "central",
            Serving::Across => "across",
        }
    }
}

/// What handlers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandlerShape {
    /// Threads of one server, like those of an L4Linux server.
    Monolith,
    /// Servers of their own with one thread each, which the talk calls natural.
    Natural,
}

impl HandlerShape {
    /// As in experiment files.
    pub const fn name(self) -> &'static str {
        match self {
            HandlerShape::Monolith => "monolith",
            HandlerShape::Natural => "natural",
        }
    }
}

/// How the kernel has the TLB forget pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flush {
    /// Page by page up to the threshold that it finds at boot.
    #[default]
    Threshold,
    /// Always page by page.
    ByPage,
    /// Always all at once.
    Full,
}

impl Flush {
    /// As in experiment files.
    pub const fn name(self) -> &'static str {
        match self {
            Flush::Threshold => "threshold",
            Flush::ByPage => "by_page",
            Flush::Full => "full",
        }
    }

    /// The bit of [`abi::plan::flag`], 0 for none.
    pub const fn plan_flag(self) -> u64 {
        match self {
            Flush::Threshold => 0,
            Flush::ByPage => abi::plan::flag::FLUSH_BY_PAGE,
            Flush::Full => abi::plan::flag::FLUSH_FULL,
        }
    }
}

/// Whether user spaces' TLB entries carry process-context identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PcidChoice {
    /// Off, and where the guest's CPU has them, on as well.
    Auto,
    /// On; an error where the guest's CPU has none.
    On,
    /// Off.
    Off,
}

/// What guest memory is to be made of, as in experiment files: a boolean or the name of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HugePagesChoice(pub HugePages);

impl<'de> Deserialize<'de> for HugePagesChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HugePagesChoice, D::Error> {
        struct Choice;
        impl Visitor<'_> for Choice {
            type Value = HugePagesChoice;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("false, true, \"transparent\" or \"reserved\"")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<HugePagesChoice, E> {
                Ok(HugePagesChoice(if value { HugePages::Transparent } else { HugePages::No }))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<HugePagesChoice, E> {
                value.parse().map_err(|()| E::unknown_variant(value, &HUGE_PAGES))
            }
        }
        deserializer.deserialize_any(Choice)
    }
}

/// The words that stand for kinds of huge pages.
pub const HUGE_PAGES: [&str; 4] = ["false", "true", "transparent", "reserved"];

impl FromStr for HugePagesChoice {
    type Err = ();

    fn from_str(text: &str) -> Result<HugePagesChoice, ()> {
        Ok(HugePagesChoice(match text {
            "false" => HugePages::No,
            "true" | "transparent" => HugePages::Transparent,
            "reserved" => HugePages::Reserved,
            _ => return Err(()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_files() {
        for workload in Workload::ALL {
            assert_eq!(serde_json::to_value(workload).unwrap(), workload.name());
        }
        for placement in Placement::ALL {
            assert_eq!(serde_json::to_value(placement).unwrap(), placement.name());
            assert_eq!(placement.name().parse(), Ok(placement));
        }
        for target in [Reached::Kernel, Reached::Client, Reached::Neighbour] {
            assert_eq!(serde_json::to_value(target).unwrap(), target.name());
        }
        for gate in Gate::ALL {
            assert_eq!(serde_json::to_value(gate).unwrap(), gate.name());
        }
    }
}
