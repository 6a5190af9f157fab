//! From the VMM's plan to running servers.

pub mod image;
pub mod load;
pub mod plan;
pub mod region;
pub mod spaces;
pub mod start;
