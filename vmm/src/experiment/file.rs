//! An experiment file as it is written: TOML, with the place of every value.
//!
//! Nothing here knows what makes sense; [`super::expand`] does. The schema is described in `docs/experiment-files.md`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::Spanned;

use super::built_in;
use super::error::{ConfigError, Place, nearest, suggest};
use super::quota::QuotaEntry;
use super::table::{Table, WrittenTable};
use crate::bounded::{WRITTEN_BY_HAND, read_text};
use crate::case::keys;
use crate::workload::{self, Workload};

/// An experiment file with its text, so that errors can point into it.
#[derive(Clone, Debug)]
pub struct ExperimentFile {
    /// Where it was read.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
    /// The same, taken apart.
    pub content: Content,
}

/// The whole file.
#[derive(Clone, Debug)]
pub struct Content {
    /// Short name: letters, digits, `-` and `_`. It goes into names of folders.
    pub name: Spanned<String>,
    /// The question that the experiment answers.
    pub question: Spanned<String>,
    /// More for those who read the file or the report.
    pub description: Option<String>,
    /// Seconds that the traces of a run may take together.
    pub trace_budget_seconds: Option<Spanned<i64>>,
    /// Values for all cases that say nothing else.
    pub defaults: Table,
    /// What each of several guests at once may take of the host.
    pub guests: QuotaEntry,
    /// The cases.
    pub cases: Vec<Spanned<CaseEntry>>,
}

/// The whole file, before its keys are known.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Spanned<String>,
    question: Spanned<String>,
    description: Option<String>,
    trace_budget_seconds: Option<Spanned<i64>>,
    #[serde(default)]
    defaults: WrittenTable,
    #[serde(default)]
    guests: QuotaEntry,
    #[serde(default, rename = "case")]
    cases: Vec<Spanned<WrittenTable>>,
}

/// One `[[case]]`: every list in it multiplies the number of cases.
#[derive(Clone, Debug)]
pub struct CaseEntry {
    /// What is measured.
    pub workload: Spanned<&'static dyn Workload>,
    /// First part of the case's name; the workload's if absent.
    pub name: Option<Spanned<String>>,
    /// Its keys.
    pub keys: Table,
}

impl ExperimentFile {
    /// The file at this path; where there is none, the built-in experiment of this name.
    pub fn find(path: &Path) -> Result<ExperimentFile, ConfigError> {
        match path.to_str().and_then(built_in::named) {
            Some(experiment) if !path.exists() || path.is_dir() => experiment.file(),
            _ => ExperimentFile::read(path),
        }
    }

    /// Reads and takes apart the file at `path`.
    pub fn read(path: &Path) -> Result<ExperimentFile, ConfigError> {
        let text = read_text(path, WRITTEN_BY_HAND).map_err(|error| {
            let names = || built_in::ALL.iter().map(|experiment| experiment.name);
            let near = path.to_str().and_then(|word| nearest(word, names()));
            let fix = match near {
                Some(name) => format!("did you mean the experiment `{name}`? `inkbed list` names all"),
                None => "give the path of an experiment file, or the name of one that `inkbed list` shows"
                    .to_owned(),
            };
            ConfigError::in_file(path, format!("cannot be read: {error}"), fix)
        })?;
        ExperimentFile::parse(path, text)
    }

    /// Takes apart `text`, which came from `path`.
    pub fn parse(path: &Path, text: String) -> Result<ExperimentFile, ConfigError> {
        let written = toml::from_str::<Written>(&text).map_err(|error| syntax_error(path, &text, &error))?;
        let source = Source { path, text: &text };
        let case = |written: Spanned<WrittenTable>| {
            let span = written.span();
            Ok(Spanned::new(span.clone(), case_entry(&source, span, written.into_inner())?))
        };
        let content = Content {
            defaults: Table::read(&source, written.defaults, true)?,
            cases: written.cases.into_iter().map(case).collect::<Result<_, ConfigError>>()?,
            name: written.name,
            question: written.question,
            description: written.description,
            trace_budget_seconds: written.trace_budget_seconds,
            guests: written.guests,
        };
        Ok(ExperimentFile { path: path.to_owned(), text, content })
    }

    /// SHA-256 of the text, in hexadecimal: what the results name the file by.
    pub fn sha256(&self) -> String {
        Sha256::digest(self.text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// An error about the bytes `span`.
    pub fn error_at(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> ConfigError {
        Source { path: &self.path, text: &self.text }.error_at(span, message, fix)
    }
}

/// Where a file comes from, and what it says.
pub(super) struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    /// Where paths in it begin.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// An error about the bytes `span`.
    pub(super) fn error_at(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> ConfigError {
        ConfigError {
            file: Some(self.path.to_owned()),
            place: Some(Place::of(self.text, span)),
            message: message.into(),
            fix: fix.into(),
        }
    }
}

fn case_entry(
    source: &Source<'_>,
    span: Range<usize>,
    written: WrittenTable,
) -> Result<CaseEntry, ConfigError> {
    let keys = Table::read(source, written, false)?;
    let Some(name) = keys.text(&keys::WORKLOAD) else {
        let known: Vec<&str> = workload::ALL.iter().map(|workload| workload.name()).collect();
        return Err(source.error_at(
            span,
            "a [[case]] needs a `workload`",
            format!("known are: {}", known.join(", ")),
        ));
    };
    let Some(workload) = workload::named(name.get_ref()) else {
        let known = workload::ALL.iter().map(|workload| workload.name());
        let message = format!("unknown workload `{}`", name.get_ref());
        return Err(source.error_at(name.span(), message, suggest(name.get_ref(), known)));
    };
    let workload = Spanned::new(name.span(), workload);
    Ok(CaseEntry { workload, name: keys.text(&keys::NAME).cloned(), keys })
}

fn syntax_error(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let message = error.message().lines().collect::<Vec<_>>().join("; ");
    let (message, fix) = match UnknownName::in_message(&message) {
        Some(unknown) => unknown.explain(),
        None => (message, "docs/experiment-files.md lists every key with its type".to_owned()),
    };
    ConfigError {
        file: Some(path.to_owned()),
        place: error.span().map(|span| Place::of(text, span)),
        message,
        fix,
    }
}

/// What serde says about a key or a word that it does not know: "unknown field `x`, expected one of `a`, `b`".
struct UnknownName<'a> {
    what: &'static str,
    name: &'a str,
    known: Vec<&'a str>,
}

impl<'a> UnknownName<'a> {
    fn in_message(message: &'a str) -> Option<UnknownName<'a>> {
        let what = match message.split('`').next()?.trim() {
            "unknown field" => "key",
            "unknown variant" => "value",
            _ => return None,
        };
        let mut quoted = message.split('`').skip(1).step_by(2);
        Some(UnknownName { what, name: quoted.next()?, known: quoted.collect() })
    }

    fn explain(&self) -> (String, String) {
        let fix = suggest(self.name, self.known.iter().copied());
        (format!("unknown {} `{}`", self.what, self.name), fix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# Why?\nname = \"x\"\nquestion = \"Why?\"\n";

    fn parse(rest: &str) -> Result<ExperimentFile, ConfigError> {
        ExperimentFile::parse(Path::new("x.toml"), format!("{HEAD}{rest}"))
    }

    fn refused(rest: &str) -> ConfigError {
        parse(rest).expect_err("should be refused")
    }

    #[test]
    fn a_small_file_is_read() {
        let file = parse(
            "[defaults]\nsamples = 5\n[[case]]\nworkload = \"call\"\nclient = [\"user\", \"kernel\"]\n",
        )
        .unwrap();
        assert_eq!(file.content.cases.len(), 1);
        assert_eq!(file.content.cases[0].get_ref().keys.get(&keys::CLIENT).unwrap().values.len(), 2);
        assert_eq!(file.sha256().len(), 64);
    }

    #[test]
    fn a_mistyped_key_names_its_line_and_the_nearest_key() {
        let error = refused("[[case]]\nworkload = \"call\"\nwrds = 4\n");
        let place = error.place.as_ref().unwrap();
        assert_eq!((place.line, place.column), (6, 1));
        assert_eq!(error.message, "unknown key `wrds`");
        assert!(error.fix.contains("did you mean `words`?"), "{}", error.fix);
    }

    #[test]
    fn a_mistyped_value_names_its_line_and_the_nearest_value() {
        let error = refused("[[case]]\nworkload = \"call\"\nclient = [\"user\", \"kernl\"]\n");
        let place = error.place.as_ref().unwrap();
        assert_eq!((place.line, place.column), (6, 19));
        assert!(error.fix.contains("did you mean `kernel`?"), "{}", error.fix);
        let error = refused("[[case]]\nworkload = \"cal\"\n");
        assert!(error.fix.contains("did you mean `call`?"), "{}", error.fix);
    }

    #[test]
    fn a_mistyped_default_and_a_mistyped_table_are_refused() {
        assert!(refused("[defaults]\nsample = 5\n").fix.contains("`samples`"));
        assert!(refused("[default]\nsamples = 5\n").fix.contains("`defaults`"));
    }

    #[test]
    fn broken_toml_names_its_line() {
        assert_eq!(refused("[[case]\n").place.unwrap().line, 4);
        assert!(refused("[[case]]\nworkload = \"call\"\nwords = 1.5\n").place.is_some());
    }

    #[test]
    fn a_missing_workload_is_named() {
        let error = refused("[[case]]\nclient = \"user\"\n");
        assert!(error.message.contains("workload"), "{}", error.message);
        assert_eq!(error.place.unwrap().line, 4);
    }
}
