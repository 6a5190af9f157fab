//! From the VMM's plan to running servers.

pub mod image;
#[cfg(target_os = "none")]
pub mod load;
pub mod plan;
#[cfg(target_os = "none")]
pub mod region;
#[cfg(target_os = "none")]
pub mod spaces;
#[cfg(target_os = "none")]
pub mod start;
