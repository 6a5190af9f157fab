//! Running the cases of an experiment: one guest after another ([`session`]), or many at once ([`fleet`]).

pub mod fleet;
pub mod host;
pub mod machine;
pub mod plan;
pub mod resume;
pub mod session;
pub mod shard;
pub mod so_far;
pub mod until;
