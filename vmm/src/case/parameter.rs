//! The words that experiment files, case names and results share.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::machine::guest::HugePages;

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
        for target in [Reached::Kernel, Reached::Client, Reached::Neighbour] {
            assert_eq!(serde_json::to_value(target).unwrap(), target.name());
        }
        for gate in Gate::ALL {
            assert_eq!(serde_json::to_value(gate).unwrap(), gate.name());
        }
    }
}
