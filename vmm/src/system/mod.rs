//! What a guest is made of: programs, where they run, whom they may call, what they are told.

pub mod participant;
pub mod placement;
pub mod plan;
mod rule;
pub mod slot;
mod table;

pub use participant::{PRIORITY, Participant, Target, Threads};
pub use rule::System;
