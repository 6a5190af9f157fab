//! Reports: what came of a run, as records for programs and as tables for people.
pub mod statistics;
