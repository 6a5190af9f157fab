//! Arithmetic on samples: it knows numbers only, not what was measured.

pub mod at_once;
pub mod distribution;
pub mod few_launches;
pub mod summary;
