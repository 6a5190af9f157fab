//! The ways into the kernel and out of it: the first instruction, system calls, exceptions and interrupts.

pub mod boot;
mod compatibility;
mod descriptors;
mod direct;
pub mod last_words;
mod own_start;
mod probe;
mod system_call;
mod traps;
