//! The atomics of what CPUs share. A model checker puts its own in their place (`tests/model.rs`).

pub use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
