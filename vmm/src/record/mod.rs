//! What a run leaves on the disk: its records, their columns' types, and how they are written and read.

pub mod agreement;
pub mod atomic;
pub mod channel;
pub mod density;
pub mod flush;
pub mod form;
mod journal;
mod lock;
pub mod outcome;
mod preemption;
pub mod quota;
pub mod relate;
mod replace;
pub mod replayed;
pub mod resume;
pub mod run;
pub mod samples;
pub mod store;
mod timing;
pub mod together;
mod version_1;

#[cfg(test)]
mod malformed_tests;
