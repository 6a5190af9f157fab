//! One case of an experiment: what is set, and its name. Here is also what a key and a workload are; which there are is said in
//! `keys` and in `workload`.

pub mod groups;
pub mod key;
pub mod keys;
mod name;
pub mod parameter;
mod parameters;
pub mod seconds;
pub mod settings;
pub mod size;
pub mod suggest;
#[cfg(test)]
pub(crate) mod tests;
pub mod value;
pub mod workload;

pub use parameters::{Case, Parameters, launches, matches_pattern};
