//! What the VMM is told.

pub mod mark;
pub mod report;
