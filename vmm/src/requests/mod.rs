//! What real programs request of an operating system: recordings of it, and what can be told from them.

pub mod descriptor;
pub mod error;
pub mod kept;
pub mod known;
pub mod mapping;
pub mod partners;
pub mod predict;
pub(crate) mod ptrace;
pub mod read;
pub mod recording;
pub mod replay;
pub mod strace;
mod system_call;
mod thread;
pub mod tracer;
pub mod write;

#[cfg(test)]
mod tests;
