//! Reports: a run's record as tables for people and as files for programs.

mod crowd;
pub mod csv;
pub mod format;
pub mod grid;
pub mod guests_csv;
pub mod html;
pub mod lenses;
mod many_threads;
pub mod notes;
mod schemes;
pub mod section;
pub mod table;
pub mod ticks;
mod tlb;
mod traced;
