//! Servers that start, stop, end and move, and who may run in the kernel.

pub mod death;
pub mod migrate;
pub mod placing;
pub mod start_stop;
pub mod trust;
