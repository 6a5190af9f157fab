//! `inkbed list`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::arguments::ListArguments;
use super::end::{End, explain};
use super::output;
use crate::experiment::check::Limits;
use crate::experiment::error::ConfigError;
use crate::experiment::expand::expand;
use crate::experiment::file::ExperimentFile;
use crate::experiment::overrides::Overrides;
use crate::printable::line;

/// An experiment file in short.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    question: String,
    file: PathBuf,
    /// On a host that has everything.
    cases_max: usize,
}

pub(super) fn list(arguments: &ListArguments) -> anyhow::Result<End> {
    let folder = &arguments.folder;
    let read = std::fs::read_dir(folder).map_err(|error| {
        let fix = "give a folder with experiment files; those of the project are in bench-config/";
        ConfigError::in_file(folder, format!("cannot be read: {error}"), fix)
    })?;
    let mut files = read
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("cannot read {}", folder.display()))?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let (entries, errors): (Vec<_>, Vec<_>) = files.iter().map(|path| entry(path)).partition(Result::is_ok);
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

fn entry(path: &Path) -> Result<Entry, ConfigError> {
    let file = ExperimentFile::read(path)?;
    let experiment = expand(&file, &Overrides::default(), &Limits::any_host())?;
    Ok(Entry {
        name: experiment.name,
        question: experiment.question,
        file: path.to_owned(),
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
        let (name, file) = (line(&entry.name), entry.file.display().to_string());
        format!("{name} ({}, up to {} cases)\n{question}\n", line(&file), entry.cases_max)
    });
    blocks.collect::<Vec<_>>().join("\n")
}
