//! Where the results of `inkbed run` go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::arguments::RunArguments;
use super::output::note;
use crate::printable::line;
use crate::record::run::RunRecord;
use crate::record::store::{PAGE_FILE, ResultsFolder, StoreError, numbered, write_file};
use crate::report::FORMS;
use crate::report::html::page::{Source, page};
use crate::report::ticks::Ticks;
use crate::run::session::now;

/// A folder below which new folders are made.
const RESULTS: &str = "results";

/// Where results go.
pub(super) enum Place<'a> {
    /// Each experiment into a new folder of its own.
    Apart,
    /// The only experiment into this folder.
    Named(&'a Path),
    /// Each experiment into a folder of its name in this one, and beside them one page of all.
    Together(PathBuf),
}

impl<'a> Place<'a> {
    /// Where the results of so many experiments on the host of this name go.
    pub(super) fn of(
        arguments: &'a RunArguments,
        experiments: usize,
        host: &str,
    ) -> anyhow::Result<Place<'a>> {
        Ok(match &arguments.out {
            Some(out) if experiments > 1 => Place::Together(out.clone()),
            Some(out) => Place::Named(out),
            None if arguments.all => {
                Place::Together(new_folder(&Path::new(RESULTS).join(stamped("all", host, &now())))?)
            }
            None => Place::Apart,
        })
    }

    /// The folder of one run.
    pub(super) fn folder(
        &self,
        arguments: &RunArguments,
        record: &RunRecord,
    ) -> Result<ResultsFolder, StoreError> {
        let experiment = &record.experiment.name;
        match self {
            Place::Named(out) => ResultsFolder::create(out, arguments.overwrite, FORMS),
            Place::Together(folder) => {
                ResultsFolder::create(&folder.join(experiment), arguments.overwrite, FORMS)
            }
            Place::Apart => {
                let name = stamped(experiment, &record.host.name, &record.started_utc);
                ResultsFolder::create_new(&Path::new(RESULTS).join(name), FORMS)
            }
        }
    }

    /// The folder of a run that was begun here; `None` where none was.
    pub(super) fn begun(&self, record: &RunRecord) -> Result<Option<ResultsFolder>, StoreError> {
        match self {
            Place::Named(out) => ResultsFolder::reopen(out, FORMS),
            Place::Together(folder) => ResultsFolder::reopen(&folder.join(&record.experiment.name), FORMS),
            Place::Apart => Ok(None),
        }
    }

    /// What --out must be for the run in this folder to be found.
    pub(super) fn out<'f>(&'f self, folder: &'f Path) -> &'f Path {
        match self {
            Place::Together(out) => out,
            Place::Named(_) | Place::Apart => folder,
        }
    }

    /// Writes the page of all runs, where they are together.
    pub(super) fn write_page(&self, sources: &[Source], ticks: Ticks) -> Result<(), StoreError> {
        let Place::Together(folder) = self else { return Ok(()) };
        if sources.is_empty() {
            return Ok(());
        }
        let file = folder.join(PAGE_FILE);
        write_file(&file, page(sources, folder, ticks).as_bytes())?;
        note!("page of all: {}", line(&file.display().to_string()));
        Ok(())
    }
}

/// A folder's name that tells what was run, where and when.
fn stamped(what: &str, host: &str, time_utc: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let host: String = host.chars().map(plain).collect();
    format!("{what}-{host}-{}", time_utc.replace(['-', ':'], ""))
}

/// Makes the folder `path`, or with a number behind its name the first one that is not there.
fn new_folder(path: &Path) -> anyhow::Result<PathBuf> {
    let told = || format!("cannot make the folder {}", path.display());
    path.parent().map_or(Ok(()), fs::create_dir_all).with_context(told)?;
    let mut result = fs::create_dir(path).map(|()| path.to_owned());
    for next in numbered(path) {
        if !result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
            break;
        }
        result = fs::create_dir(&next).map(|()| next);
    }
    result.with_context(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_in_one_second_get_two_folders() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results/all");
        assert_eq!(new_folder(&path).unwrap(), path);
        assert_eq!(new_folder(&path).unwrap(), folder.path().join("results/all-2"));
    }

    #[test]
    fn a_name_of_a_folder_has_no_characters_that_a_shell_knows() {
        assert_eq!(stamped("ipc", "a b/c", "2026-01-02T03:04:05Z"), "ipc-a_b_c-20260102T030405Z");
    }
}
