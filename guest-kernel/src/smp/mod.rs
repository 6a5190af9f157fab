//! Several CPUs: stopping all but one, and having their TLBs forget pages.

pub mod flush;
pub mod world;
