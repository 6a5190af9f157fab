//! Everything that cases can measure: one file each, and one line each in [`ALL`].
//!
//! `docs/adding-a-workload.md` says how to add one.

mod alternate;
mod call;
mod chain;
mod directions;
pub mod docs;
mod empty;
mod faults;
pub mod guest;
mod handler_call;
mod handler_fault;
mod handler_wake_up;
pub mod handlers;
mod migrate;
mod migrate_under_load;
pub mod migration;
mod null_system_call;
mod parts;
mod reach;
mod record;
mod registry;
mod relay;
mod replay;
mod scaling;
mod slots;
mod touch;

#[cfg(test)]
mod system_tests;
#[cfg(test)]
mod tests;

pub use crate::case::workload::Workload;
pub use alternate::Alternate;
pub use call::Call;
pub use chain::{Chain, MOVED, PROMOTE_AFTER};
pub use directions::Directions;
pub use empty::Empty;
pub use faults::{DEMOTE_AFTER, FAULT, Fault, Faults};
pub use handler_call::HandlerCall;
pub use handler_fault::HandlerFault;
pub use handler_wake_up::HandlerWakeUp;
pub use migrate::Migrate;
pub use migrate_under_load::MigrateUnderLoad;
pub use null_system_call::NullSystemCall;
pub use reach::{Reach, Reached, TARGET};
pub use registry::{key, keys, named, sorting};
pub use relay::Relay;
pub use replay::{IN_KERNEL, RECORDING, Replay, recording, replay_config};
pub use scaling::{SERVING, Scaling, Serving};
pub use slots::Slots;
pub use touch::Touch;

/// All workloads, in the order in which reports and docs show them.
pub static ALL: &[&dyn Workload] = &[
    &Empty,
    &NullSystemCall,
    &Call,
    &Directions,
    &Relay,
    &Alternate,
    &Touch,
    &Chain,
    &Migrate,
    &MigrateUnderLoad,
    &Slots,
    &Faults,
    &Scaling,
    &HandlerCall,
    &HandlerWakeUp,
    &HandlerFault,
    &Reach,
    &Replay,
];
