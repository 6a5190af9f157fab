//! inkbed: boots a small L4-style microkernel under KVM and measures what IPC costs by the placement of the server.

// A terminal that cannot be written to must not end a run: `cli::output` is where it is written to.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod cli;
pub mod experiment;
pub mod guest_image;
pub mod guests;
pub mod host;
pub mod lens;
pub mod machine;
pub mod printable;
pub mod report;
