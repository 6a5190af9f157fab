//! The ways into the kernel and out of it: the first instruction, system calls, exceptions and interrupts.

pub mod boot;
pub mod compatibility;
pub mod descriptors;
pub mod direct;
pub mod last_words;
pub mod probe;
pub mod system_call;
pub mod traps;
