//! What a guest is made of: programs, where they run, whom they may call, what they are told.

pub mod placement;
pub mod plan;
pub mod topology;
