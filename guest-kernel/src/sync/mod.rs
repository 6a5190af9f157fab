//! What CPUs share without locks. Its files know no other part of the kernel, so that a model checker can run them with its own
//! atomics (`tests/model.rs`).

pub mod atomic;
#[allow(unsafe_code)]
pub mod mailbox;
pub mod notice;
pub mod rendezvous;
