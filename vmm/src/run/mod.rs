//! Running the cases of an experiment: one guest after another ([`session`]), or many at once ([`fleet`]).

pub mod fleet;
pub mod host;
pub mod plan;
pub mod session;
