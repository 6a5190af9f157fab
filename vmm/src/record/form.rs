//! Another form of a run's record, written beside it whenever it is.

use std::io;

use super::run::RunRecord;

/// How one file of a run's folder is made of the record alone.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Its name in the folder.
    pub file: &'static str,
    /// Whether a run has it.
    pub is_wanted: fn(&RunRecord) -> bool,
    /// Writes it.
    pub write: fn(&mut dyn io::Write, &RunRecord) -> io::Result<()>,
}
