//! Reports: what came of a run, as records for programs and as tables for people.

pub mod agreement;
pub mod at_once;
pub mod atomic;
mod cause;
pub mod channel;
mod crowd;
pub mod csv;
pub mod density;
pub mod distribution;
pub mod drift;
pub mod few_launches;
pub mod flush;
pub mod format;
pub mod grid;
pub mod guests_csv;
pub mod launch;
pub mod lenses;
mod lock;
mod many_threads;
pub mod notes;
pub mod outcome;
pub mod record;
pub mod reduce;
pub mod relate;
mod replace;
pub mod samples;
mod schemes;
pub mod section;
pub mod statistics;
pub mod store;
pub mod table;
pub mod ticks;
pub mod timing;
mod tlb;
pub mod together;
mod traced;
mod version_1;

#[cfg(test)]
mod malformed_tests;
#[cfg(test)]
pub(crate) mod tests;
