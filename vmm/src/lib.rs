//! inkbed: boots a small L4-style microkernel under KVM and measures what IPC costs by the placement of the server.

pub mod cli;
pub mod experiment;
pub mod guest_image;
pub mod guests;
pub mod host;
pub mod lens;
pub mod machine;
pub mod report;
