//! Physical memory, the slots of address space that servers are put in, and what is mapped there.

#[allow(unsafe_code)]
mod frames;
mod pages;
mod physical;
mod placement;
pub mod slot;
pub mod small_slot;

pub use frames::{AllZero, Memory, OutOfMemory};
pub use pages::{PageRange, PageRanges};
pub use physical::physical_pointer;
pub use placement::Placement;
