//! Servers that start, stop, end and move, and what the kernel decides about them by itself.

pub mod death;
pub mod migrate;
pub mod placing;
pub mod policy;
pub mod start_stop;
