//! An experiment file as it is written: TOML, with the place of every value.
//!
//! Nothing here knows what makes sense; [`super::expand`] does. The schema is described in `docs/experiment-files.md`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::Spanned;

use super::error::{ConfigError, Place, suggest};
use super::list::List;
use super::quota::QuotaEntry;
use crate::bounded::{WRITTEN_BY_HAND, read_text};
use crate::case::groups::GroupsEntry;
use crate::case::parameter::{
    Fault, Flush, GateChoice, HandlerShape, HugePagesChoice, Migration, PcidChoice, Reached, Serving,
    Transfer,
};
use crate::case::seconds::Seconds;
use crate::case::size::MemorySize;
use crate::system::placement::Placement;
use crate::workload::Workload;

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
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
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
    #[serde(default)]
    pub defaults: Common,
    /// What each of several guests at once may take of the host.
    #[serde(default)]
    pub guests: QuotaEntry,
    /// The cases.
    #[serde(default, rename = "case")]
    pub cases: Vec<Spanned<CaseEntry>>,
}

/// Keys that may stand in `[defaults]` and in every case.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    /// vCPUs of the guest.
    pub vcpus: Option<List<i64>>,
    /// Memory of the guest.
    pub memory: Option<List<MemorySize>>,
    /// Pages of the host that the memory is made of.
    pub huge_pages: Option<List<HugePagesChoice>>,
    /// Guests at once.
    pub guests: Option<List<i64>>,
    /// Process-context identifiers.
    pub pcid: Option<List<PcidChoice>>,
    /// Seconds after which a guest is taken for hung.
    pub deadline_seconds: Option<Spanned<i64>>,
    /// Round trips before the first sample.
    pub warm_up: Option<Spanned<i64>>,
    /// Round trips to sample.
    pub samples: Option<Spanned<i64>>,
    /// How long to measure instead.
    pub seconds: Option<Spanned<Seconds>>,
    /// Guests to boot afresh for every case.
    pub launches: Option<Spanned<i64>>,
    /// Round trips to trace in a guest of their own.
    pub trace_round_trips: Option<Spanned<i64>>,
    /// Models of TLBs to run the traced round trips on: built-in ones by name, others by path.
    pub tlb_models: Option<List<String>>,
}

/// One `[[case]]`: every list in it multiplies the number of cases.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseEntry {
    /// First part of the case's name; the workload's if absent.
    pub name: Option<Spanned<String>>,
    /// What is measured.
    pub workload: Spanned<Workload>,
    /// Where the client runs.
    pub client: Option<List<Placement>>,
    /// Where the server runs.
    pub server: Option<List<Placement>>,
    /// Where the relay of `relay` runs.
    pub relay: Option<List<Placement>>,
    /// Where the other client of `alternate` runs.
    pub other_client: Option<List<Placement>>,
    /// Client and server share one user space.
    pub same_space: Option<List<bool>>,
    /// How calls reach the server.
    pub transfer: Option<List<Transfer>>,
    /// Words of the message and of the answer.
    pub words: Option<List<i64>>,
    /// Pages that both touch.
    pub pages: Option<List<i64>>,
    /// Pages that the client touches.
    pub client_pages: Option<List<i64>>,
    /// Pages that the server touches.
    pub server_pages: Option<List<i64>>,
    /// Servers of `chain`.
    pub servers: Option<List<i64>>,
    /// Of these, the first that have moved into the kernel.
    pub moved: Option<List<i64>>,
    /// Partners of the server of `migrate`.
    pub partners: Option<List<i64>>,
    /// How `migrate` moves them.
    pub migration: Option<List<Migration>>,
    /// How the kernel has the TLB forget pages.
    pub flush: Option<List<Flush>>,
    /// How the server of `faults` faults.
    pub fault: Option<List<Fault>>,
    /// Faults in the kernel after which the server of `faults` is moved out and loses its trust.
    pub demote_after: Option<List<i64>>,
    /// Messages after which a server of `chain` moves into the kernel by itself.
    pub promote_after: Option<List<i64>>,
    /// Who serves the clients of `scaling`.
    pub serving: Option<List<Serving>>,
    /// What the handlers are.
    pub shape: Option<List<HandlerShape>>,
    /// Handlers on each CPU.
    pub handlers_per_cpu: Option<List<i64>>,
    /// What the server of `reach` reads.
    pub target: Option<List<Reached>>,
    /// Size of the slot that a program in a small space gets.
    pub slot_size: Option<List<MemorySize>>,
    /// How programs that are built for 32 bits enter the kernel.
    pub gate: Option<List<GateChoice>>,
    /// Trust groups, where the placement is not to decide.
    pub groups: Option<GroupsEntry>,
    /// Program of the server, if not the workload's own.
    pub server_program: Option<Spanned<String>>,
    // `flatten` would lose places and the refusal of unknown keys, so the common keys stand here again.
    /// See [`Common::vcpus`].
    pub vcpus: Option<List<i64>>,
    /// See [`Common::memory`].
    pub memory: Option<List<MemorySize>>,
    /// See [`Common::huge_pages`].
    pub huge_pages: Option<List<HugePagesChoice>>,
    /// See [`Common::guests`].
    pub guests: Option<List<i64>>,
    /// See [`Common::pcid`].
    pub pcid: Option<List<PcidChoice>>,
    /// See [`Common::deadline_seconds`].
    pub deadline_seconds: Option<Spanned<i64>>,
    /// See [`Common::warm_up`].
    pub warm_up: Option<Spanned<i64>>,
    /// See [`Common::samples`].
    pub samples: Option<Spanned<i64>>,
    /// See [`Common::seconds`].
    pub seconds: Option<Spanned<Seconds>>,
    /// See [`Common::launches`].
    pub launches: Option<Spanned<i64>>,
    /// See [`Common::trace_round_trips`].
    pub trace_round_trips: Option<Spanned<i64>>,
    /// See [`Common::tlb_models`].
    pub tlb_models: Option<List<String>>,
}

impl ExperimentFile {
    /// Reads and takes apart the file at `path`.
    pub fn read(path: &Path) -> Result<ExperimentFile, ConfigError> {
        let text = read_text(path, WRITTEN_BY_HAND).map_err(|error| {
            let fix = "give the path of an experiment file; `inkbed list` shows those in bench-config/";
            ConfigError::in_file(path, format!("cannot be read: {error}"), fix)
        })?;
        ExperimentFile::parse(path, text)
    }

    /// Takes apart `text`, which came from `path`.
    pub fn parse(path: &Path, text: String) -> Result<ExperimentFile, ConfigError> {
        match toml::from_str::<Content>(&text) {
            Ok(content) => Ok(ExperimentFile { path: path.to_owned(), text, content }),
            Err(error) => Err(syntax_error(path, &text, &error)),
        }
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
        ConfigError {
            file: Some(self.path.clone()),
            place: Some(Place::of(&self.text, span)),
            message: message.into(),
            fix: fix.into(),
        }
    }
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
        assert_eq!(file.content.cases[0].get_ref().client.as_ref().unwrap().values.len(), 2);
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
