//! `inkbed list` and `inkbed show`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::arguments::{ListArguments, ShowArguments};
use super::end::{End, UsageError, explain};
use super::output;
use crate::experiment::built_in;
use crate::experiment::check::Limits;
use crate::experiment::error::{ConfigError, suggest};
use crate::experiment::expand::expand;
use crate::experiment::file::ExperimentFile;
use crate::experiment::overrides::Overrides;
use crate::printable::line;

/// An experiment in short.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    question: String,
    /// Where it was read; a built-in one has no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    /// On a host that has everything.
    cases_max: usize,
}

pub(super) fn show(arguments: &ShowArguments) -> anyhow::Result<End> {
    let Some(experiment) = built_in::named(&arguments.name) else {
        let message = format!("there is no built-in experiment `{}`", arguments.name);
        let fix = suggest(&arguments.name, built_in::ALL.iter().map(|experiment| experiment.name));
        return Err(UsageError { message, fix }.into());
    };
    output::print(experiment.text)?;
    Ok(End::Success)
}

pub(super) fn list(arguments: &ListArguments) -> anyhow::Result<End> {
    let files: Vec<Result<Entry, ConfigError>> = match &arguments.folder {
        None => built_in::ALL.iter().map(|experiment| entry(&experiment.file()?, None)).collect(),
        Some(folder) => {
            let read = |path: PathBuf| entry(&ExperimentFile::read(&path)?, Some(path));
            files(folder)?.into_iter().map(read).collect()
        }
    };
    let (entries, errors): (Vec<_>, Vec<_>) = files.into_iter().partition(Result::is_ok);
    let entries: Vec<Entry> = entries.into_iter().flatten().collect();
    if arguments.json {
        output::print_json(&entries)?;
    } else {
        output::print(&text(&entries))?;
    }
    // A broken file does not hide the others.
    let errors: Vec<ConfigError> = errors.into_iter().filter_map(Result::err).collect();
    let mut end = End::Success;
    for error in errors {
        end = explain(&error.into());
    }
    Ok(end)
}

/// The experiment files in a folder, by name.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = std::fs::read_dir(folder).map_err(|error| {
        let fix = "give a folder with experiment files, or none to see the built-in experiments";
        ConfigError::in_file(folder, format!("cannot be read: {error}"), fix)
    })?;
    let mut files = read
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("cannot read {}", folder.display()))?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    Ok(files)
}

fn entry(file: &ExperimentFile, path: Option<PathBuf>) -> Result<Entry, ConfigError> {
    let experiment = expand(file, &Overrides::default(), &Limits::any_host())?;
    Ok(Entry {
        name: experiment.name,
        question: experiment.question,
        file: path,
        cases_max: experiment.cases.len(),
    })
}

fn text(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return "no experiment files here\n".to_owned();
    }
    let options = textwrap::Options::new(output::width()).initial_indent("  ").subsequent_indent("  ");
    let blocks = entries.iter().map(|entry| {
        let question = textwrap::fill(&line(&entry.question), &options);
        let file = entry.file.as_ref().map_or_else(String::new, |file| format!("{}, ", file.display()));
        format!("{} ({}up to {} cases)\n{question}\n", line(&entry.name), line(&file), entry.cases_max)
    });
    blocks.collect::<Vec<_>>().join("\n")
}
