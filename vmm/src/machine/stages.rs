//! Somebody who is told how far a guest is, and may hold it up there.

use crate::machine::error::MachineError;

/// What a thread of the VMM does from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It waits for the guest's end and collects what the guest has left.
    Waiter,
    /// It runs a vCPU.
    Vcpu,
}

/// How far a guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its kernel has loaded all servers.
    Started,
    /// Its measured part begins.
    Measuring {
        /// Round trips that it announces.
        round_trips: u64,
    },
    /// It has come to its second mark. What it does from here on is in no count.
    Measured,
}

/// Told about the stages of one guest's life.
pub(crate) trait Stages: Sync {
    /// The guest is complete and has not run. `memory`: host address and bytes of each piece of its memory.
    fn created(&self, memory: &[(u64, u64)]) -> Result<(), MachineError>;

    /// The last that the calling thread does before the guest's first instruction may run.
    fn confine(&self, role: Role) -> Result<(), MachineError>;

    /// The guest has come to this stage, for the first time. It waits until this returns; what it measures has not begun, and its
    /// deadline stands still meanwhile.
    fn reached(&self, stage: Stage);

    /// Whether guests that were started with this one still measure. Asked behind [`Stage::Measured`], from any vCPU's thread.
    fn others_measure(&self) -> bool;
}
