//! Experiments: from a TOML file to the cases it asks for, the guests they need, and what came of them.

pub mod built_in;
pub mod check;
pub mod error;
pub mod expand;
pub mod file;
pub mod groups;
pub mod list;
pub mod overrides;
mod product;
pub mod programs;
pub mod quota;
mod recordings;
mod scheme;
pub mod table;

#[cfg(test)]
mod malformed_tests;
