//! x86-64: the only place with assembly and privileged instructions.

#[cfg(target_os = "none")]
pub mod entry;
#[cfg(target_os = "none")]
pub mod features;
#[cfg(target_os = "none")]
pub mod flush;
pub mod interface;
#[cfg(target_os = "none")]
mod local_apic;
#[cfg(target_os = "none")]
pub mod machine;
#[cfg(target_os = "none")]
pub mod migration;
pub mod paging;
mod per_machine;
#[cfg(target_os = "none")]
pub mod pmu;
pub mod ring_3;
pub mod segments;
#[cfg(target_os = "none")]
pub mod timer;
