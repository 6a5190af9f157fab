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
pub(crate) mod preemption;
mod schemes;
pub mod section;
pub mod table;
pub mod ticks;
mod tlb;
mod traced;

use crate::record::form::Form;
use ticks::Ticks;

/// What a run's folder holds besides its record.
pub const FORMS: &[Form] = &[
    Form { file: "results.csv", is_wanted: |_| true, write: csv::write_csv },
    Form { file: guests_csv::FILE, is_wanted: guests_csv::has_guests, write: guests_csv::write_guests_csv },
    Form {
        file: "table.txt",
        is_wanted: |_| true,
        write: |writer, run| {
            writer.write_all(table::render(run, table::FILE_WIDTH, Ticks::Meaningful).as_bytes())
        },
    },
];
