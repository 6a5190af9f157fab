//! Modelled TLBs: the address stream of a trace, on the TLBs of processors from 1995 to today.
//!
//! A [`Model`] describes a processor's TLBs and is read from a geometry file; a [`Simulator`] takes the events of a trace
//! ([`crate::tlb::stream`]) and gives a [`TlbReport`]; [`WhatIf`] runs the same trace with other use of tags.
//! `docs/tlb-models.md` tells what is modelled and what is not.

mod array;
mod check;
mod counts;
mod error;
mod geometry;
mod hierarchy;
mod replacement;
mod report;
mod simulator;
pub mod stream;
mod translation;
mod walk;
mod what_if;

#[cfg(test)]
mod tests;

pub use counts::{Counts, PrivilegeCounts, SideCounts};
pub use error::GeometryError;
pub use geometry::{
    Array, BUILT_IN, Full, Index, Model, Replacement, Shape, Tags, UpperEntry, WalkCache, Ways,
};
pub use report::{Source, TlbReport, comparison};
pub use simulator::Simulator;
pub use what_if::{Rewriter, WhatIf};
