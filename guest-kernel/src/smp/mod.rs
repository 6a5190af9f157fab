//! Several CPUs: stopping all but one, and having their TLBs forget pages.

pub mod flush;
#[allow(unsafe_code)]
pub mod world;
