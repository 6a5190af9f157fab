//! Experiments: from a TOML file to the cases it asks for, the guests they need, and what came of them.

pub mod case;
pub mod check;
pub mod error;
pub mod expand;
pub mod file;
pub mod groups;
pub mod list;
pub mod overrides;
pub mod parameter;
pub mod plan;
mod product;
pub mod quota;
mod scheme;
pub mod size;
pub mod topology;

#[cfg(test)]
mod malformed_tests;
#[cfg(test)]
pub(crate) mod tests;
