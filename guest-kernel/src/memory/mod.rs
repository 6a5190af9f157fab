//! Physical memory, the slots of address space that servers are put in, and what is mapped there.

#[allow(unsafe_code)]
mod frames;
mod pages;
mod physical;
pub mod slot;
pub mod small_slot;

pub use abi::placement::Placement;
pub use frames::{AllZero, Memory, OutOfMemory};
pub use pages::{PageRange, PageRanges};
pub use physical::physical_pointer;
