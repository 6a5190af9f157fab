//! How programs of a case reach the kernel and each other.

use serde::{Deserialize, Serialize};

use super::value::Word;

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

impl Word for Transfer {
    const ALL: &'static [Transfer] = &[Transfer::Switch, Transfer::Direct];
    const NAMES: &'static [&'static str] = &["switch", "direct"];
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

impl Word for Gate {
    const ALL: &'static [Gate] = &[Gate::Int, Gate::Sysenter, Gate::Syscall];
    const NAMES: &'static [&'static str] = &[Gate::Int.name(), Gate::Sysenter.name(), Gate::Syscall.name()];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_files() {
        for gate in Gate::ALL {
            assert_eq!(serde_json::to_value(gate).unwrap(), gate.word());
        }
        for transfer in Transfer::ALL {
            assert_eq!(serde_json::to_value(transfer).unwrap(), transfer.word());
        }
    }
}
