//! One case of an experiment: what is set, and its name.

pub mod groups;
pub mod parameter;
mod parameters;
pub mod seconds;
pub mod size;
#[cfg(test)]
pub(crate) mod tests;

pub use parameters::{Case, Parameters, matches_pattern};
