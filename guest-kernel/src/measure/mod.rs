//! What the VMM is told, and what is summed up for it.

pub mod marks;
#[allow(unsafe_code)]
pub mod report;
