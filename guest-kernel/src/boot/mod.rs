//! From the VMM's plan to running servers.

#[allow(unsafe_code)]
pub mod handover;
pub mod image;
pub mod load;
pub mod plan;
#[allow(unsafe_code)]
pub mod region;
pub mod spaces;
pub mod start;

#[cfg(test)]
mod tests;
