//! Lenses: independent ways of counting what one case costs, which must agree where they overlap.

pub mod stream;
pub mod tlb;
pub mod trace;
