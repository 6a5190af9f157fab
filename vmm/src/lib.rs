//! inkbed: boots a small L4-style microkernel under KVM and measures what IPC costs by the placement of the server.

pub mod guest_image;
pub mod lens;
pub mod machine;
