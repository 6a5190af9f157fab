//! Physical memory, and the slots of address space that servers are put in.

mod frames;
pub mod slot;
pub mod small_slot;

pub use frames::{Memory, OutOfMemory};
