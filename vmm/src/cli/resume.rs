//! `inkbed run --resume`: the same command again, for what it has not done yet.

use std::path::{Path, PathBuf};

use super::arguments::RunArguments;
use super::end::UsageError;
use super::output::note;
use super::place::Place;
use crate::case::Case;
use crate::printable::line;
use crate::record::run::RunRecord;
use crate::record::store::ResultsFolder;
use crate::run::resume::{Found, ResumeError, Resumed, find};
use crate::run::until::Until;

/// How the run of a command begins.
pub(super) enum Begun {
    /// From its first launch.
    Now { results: ResultsFolder, record: RunRecord },
    /// Behind those that it has already.
    Before { results: ResultsFolder, resumed: Resumed },
    /// Not at all: it has all.
    Finished { folder: PathBuf, record: RunRecord },
}

/// Opens the folder for the run of this record, which has no case yet.
pub(super) fn begun(
    arguments: &RunArguments,
    place: &Place<'_>,
    record: RunRecord,
    cases: &[Case],
    until: Option<&Until>,
) -> anyhow::Result<Begun> {
    let results = if arguments.resume { place.begun(&record)? } else { None };
    let Some(results) = results else {
        return Ok(Begun::Now { results: place.folder(arguments, &record)?, record });
    };
    let folder = results.path().to_owned();
    let shown = folder.display().to_string();
    let shown = line(&shown);
    match find(&results, &record, cases, until) {
        Ok(Found::Finished(record)) => Ok(Begun::Finished { folder, record: *record }),
        Ok(Found::Stopped(resumed)) => {
            let (done, planned) = (resumed.record.launches_done(), resumed.record.launches_planned);
            note!("going on behind {done} of {planned} launches: {shown}");
            if resumed.is_cut {
                note!("note: the journal ends in the middle of a line; the launch that it was of runs again");
            }
            Ok(Begun::Before { results, resumed: *resumed })
        }
        Err(ResumeError::Store(error)) => Err(error.into()),
        Err(error) => Err(UsageError {
            message: format!("cannot go on with {shown}: {error}"),
            fix: "give the command that began it, on the same host, or begin a new run with another --out"
                .to_owned(),
        }
        .into()),
    }
}

/// Tells how to go on with a run that has stopped.
pub(super) fn tell_how(folder: &Path) {
    note!("to go on: the same command with --resume --out {}", line(&folder.display().to_string()));
}
