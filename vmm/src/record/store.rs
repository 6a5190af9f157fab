//! The folder of one run: what is in it is complete at any moment, whenever the run is stopped.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Serialize;

use super::atomic::{Flush, Written, write_atomically};
use super::form::Form;
use super::journal::{self, JOURNAL_FILE, Journal};
pub use super::lock::FolderLock;
use super::lock::{LOCK_FILE, LockError};
use super::replace::{self, SAMPLES_FOLDER};
use super::run::{CaseRecord, RunRecord, RunState, SCHEMA, VERSION};
use super::samples::SamplesFile;
use super::{samples, version_1};
use crate::bounded::read_text;
use crate::printable::json;

/// Name of the file with the record of a run.
pub const RECORD_FILE: &str = "results.json";

/// Most bytes of a record that is read: some hundred times the longest that a run has written.
pub(super) const RECORD_SIZE_MAX: u64 = 256 << 20;

/// Name of the page for a browser, which is written at a run's end where somebody asks for it.
pub const PAGE_FILE: &str = "report.html";

/// Results cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder holds something already.
    #[error("the folder {} is not empty", path.display())]
    NotEmpty {
        /// Which.
        path: PathBuf,
        /// Whether it holds a run, which may be replaced.
        holds_run: bool,
    },
    /// Another run writes there now.
    #[error("a run is under way in the folder {}", path.display())]
    UnderWay {
        /// Which.
        path: PathBuf,
    },
    /// A link stands where a run has a folder of its own.
    #[error("{} is a link, and what it leads to belongs to somebody else", path.display())]
    IsLink {
        /// Which.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no record of a run.
    #[error("{} is no record of a run: {reason}", path.display())]
    NotARecord {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl StoreError {
    /// What to do about it.
    pub fn fix(&self) -> String {
        match self {
            StoreError::NotEmpty { holds_run: true, .. } => {
                "name another folder with --out, or replace this run with --overwrite".to_owned()
            }
            StoreError::NotEmpty { .. } => "name a new or empty folder with --out".to_owned(),
            StoreError::UnderWay { .. } => {
                "wait for its end, stop it with Ctrl-C, or name another folder with --out".to_owned()
            }
            StoreError::IsLink { .. } => {
                "remove the link, or name another folder with --out; --out itself may be a link".to_owned()
            }
            StoreError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some space; the cases written before are complete and can be read with `inkbed report`"
                    .to_owned()
            }
            StoreError::Io { action: "read", source, .. } => fix_of_reading(source).to_owned(),
            StoreError::Io { .. } => "choose a place that you may write to with --out or -o".to_owned(),
            StoreError::NotARecord { .. } => {
                "give a folder that this version of `inkbed run` wrote".to_owned()
            }
        }
    }
}

/// What helps against an error of reading, of which writing elsewhere is none.
fn fix_of_reading(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "ask its owner to let you read it (chmod a+r, and a+rx for its folders)"
        }
        io::ErrorKind::InvalidData => {
            "give a folder that this version of `inkbed run` wrote: this file is no text"
        }
        _ => "give the folder that `inkbed run` wrote, for example results/<name>",
    }
}

/// Locks a folder that is there, for as long as the lock lives.
pub fn lock(path: &Path) -> Result<FolderLock, StoreError> {
    FolderLock::take(path).map_err(|error| match error {
        LockError::Held => StoreError::UnderWay { path: path.to_owned() },
        LockError::Io(source) => io_error("lock the folder", path)(source),
    })
}

/// The folder of a run that is under way. No other run gets it meanwhile.
#[derive(Debug)]
pub struct ResultsFolder {
    pub(super) path: PathBuf,
    /// What the record is written as besides.
    pub(super) forms: &'static [Form],
    lock: FolderLock,
    pub(super) journal: RefCell<Option<Journal>>,
    /// Why the names of its files may get lost in a power failure.
    not_flushed: OnceLock<String>,
}

impl ResultsFolder {
    /// Makes the folder `path`, or takes it when it is empty. With `overwrite` also one that holds a run, whose files then
    /// go; nothing else does. `forms`: what the record is to be written as besides.
    pub fn create(path: &Path, overwrite: bool, forms: &'static [Form]) -> Result<ResultsFolder, StoreError> {
        check_may_be_taken(path, overwrite)?;
        fs::create_dir_all(path).map_err(io_error("make the folder", path))?;
        let lock = lock(path)?;
        // Another run may have come and gone before the lock was ours.
        if check_may_be_taken(path, overwrite)? == Content::Run {
            replace::remove_run(path, forms)?;
        }
        ResultsFolder::locked(path, forms, lock)
    }

    /// The folder of somebody who has its lock.
    pub(super) fn locked(
        path: &Path,
        forms: &'static [Form],
        lock: FolderLock,
    ) -> Result<ResultsFolder, StoreError> {
        let samples = replace::samples_folder(path)?;
        fs::create_dir_all(&samples).map_err(io_error("make the folder", &samples))?;
        let (journal, not_flushed) = (RefCell::new(None), OnceLock::new());
        Ok(ResultsFolder { path: path.to_owned(), forms, lock, journal, not_flushed })
    }

    /// Makes the folder `path`, or with a number behind its name the first one that is free.
    pub fn create_new(path: &Path, forms: &'static [Form]) -> Result<ResultsFolder, StoreError> {
        let mut result = ResultsFolder::create(path, false, forms);
        for next in numbered(path) {
            if !matches!(result, Err(StoreError::NotEmpty { .. } | StoreError::UnderWay { .. })) {
                break;
            }
            result = ResultsFolder::create(&next, false, forms);
        }
        result
    }

    /// What this file system does not do for the run.
    pub fn notes(&self) -> Vec<String> {
        let place = self.path.display();
        let unlocked = self.lock.missing.as_ref().map(|reason| {
            format!("{place} cannot be locked ({reason}): see to it yourself that no other run writes there")
        });
        let not_flushed = self.not_flushed.get().map(|reason| {
            format!("{place} cannot be flushed to the disk ({reason}): after a power failure the last files may be missing")
        });
        unlocked.into_iter().chain(not_flushed).collect()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the raw samples of one guest. A power failure may take those of a run that is under way.
    pub fn write_samples(
        &self,
        file: &SamplesFile,
        values: &[u64],
        channels: usize,
    ) -> Result<(), StoreError> {
        self.write(&file.path, Flush::Later, |writer| {
            samples::write_npy(writer, values, channels, file.every)
        })
    }

    /// Takes over a file of raw samples, `listed` in the record of the run in `folder`, under the name `path`. Whether it was there.
    pub fn copy_samples(&self, folder: &Path, listed: &str, path: &str) -> Result<bool, StoreError> {
        let Some(name) = replace::own_samples(listed) else { return Ok(false) };
        let from = replace::samples_folder(folder)?.join(name);
        let mut file = match File::open(&from) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io_error("read", &from)(error)),
        };
        self.write(path, Flush::Later, |mut writer| io::copy(&mut file, &mut writer).map(drop))?;
        Ok(true)
    }

    /// Writes the record of a run that begins.
    pub fn begin(&self, run: &RunRecord) -> Result<(), StoreError> {
        self.write(RECORD_FILE, Flush::Now, |writer| write_json(writer, run))
    }

    /// Adds launches to a run that has begun: those of case `index` from number `launches_before` on, with what is `kept` of them to
    /// go on after a stop. They are on the disk when it returns, and what was there before is not written again.
    pub fn append<K: Serialize>(
        &self,
        index: usize,
        case: &mut CaseRecord,
        launches_before: usize,
        kept: &K,
    ) -> Result<(), StoreError> {
        let path = self.path.join(JOURNAL_FILE);
        let mut begun = self.journal.borrow_mut();
        let journal = match begun.take() {
            Some(journal) => journal,
            None => Journal::begin(&path).map_err(io_error("write", &path))?,
        };
        begun.insert(journal).append(index, case, launches_before, kept).map_err(io_error("write", &path))
    }

    /// Writes `results.json` of a run that has ended, then what is only another form of it. The journal of an interrupted run stays for
    /// whoever goes on with it.
    pub fn write_record(&self, run: &RunRecord) -> Result<(), StoreError> {
        self.write(RECORD_FILE, Flush::Now, |writer| write_json(writer, run))?;
        self.journal.replace(None);
        if run.state == RunState::Finished {
            let path = self.path.join(JOURNAL_FILE);
            journal::remove(&path).map_err(io_error("remove", &path))?;
        }
        for form in self.forms.iter().filter(|form| (form.is_wanted)(run)) {
            self.write(form.file, Flush::Later, |writer| (form.write)(writer, run))?;
        }
        self.flush();
        Ok(())
    }

    /// Writes the page for a browser. It is large, so it is not written anew after every launch.
    pub fn write_page(&self, page: &str) -> Result<(), StoreError> {
        self.write(PAGE_FILE, Flush::Later, |writer| writer.write_all(page.as_bytes()))
    }

    /// Has the file system put all that was written onto the disk.
    fn flush(&self) {
        let flushed = File::open(&self.path).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
        if let Err(reason) = flushed {
            self.not_flushed.get_or_init(|| reason.to_string());
        }
    }

    fn write(
        &self,
        file: &str,
        flush: Flush,
        content: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let path = self.path.join(file);
        let written = write_atomically(&path, flush, content).map_err(io_error("write", &path))?;
        if let Written::NameNotFlushed(reason) = written {
            self.not_flushed.get_or_init(|| reason.to_string());
        }
        Ok(())
    }
}

/// Writes a file that is wanted somewhere else than in a run's folder.
pub fn write_file(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    write_atomically(path, Flush::Now, |writer| writer.write_all(content))
        .map(drop)
        .map_err(io_error("write", path))
}

/// The record as JSON, indented, with a newline at its end.
pub fn write_json(writer: &mut dyn io::Write, run: &RunRecord) -> io::Result<()> {
    let text = json(&serde_json::to_string_pretty(run)?) + "\n";
    writer.write_all(text.as_bytes())
}

/// Reads the record of the run in `folder` (or the file itself), finished or not.
pub fn read_record(folder: &Path) -> Result<RunRecord, StoreError> {
    let path = if folder.is_dir() { folder.join(RECORD_FILE) } else { folder.to_owned() };
    let text = read_text(&path, RECORD_SIZE_MAX).map_err(io_error("read", &path))?;
    let not_a_record = |reason: String| StoreError::NotARecord { path: path.clone(), reason };
    #[derive(serde::Deserialize)]
    struct Head {
        schema: String,
        version: u32,
    }
    let head: Head = serde_json::from_str(&text).map_err(|error| not_a_record(error.to_string()))?;
    let read = match (head.schema.as_str(), head.version) {
        (SCHEMA, VERSION) => serde_json::from_str(&text),
        (SCHEMA, 1) => serde_json::from_str(&text)
            .and_then(|record| version_1::read(record, path.parent().unwrap_or(Path::new(".")))),
        (schema, version) => {
            let reason = format!("it is {schema} version {version}; this is {SCHEMA} version {VERSION}");
            return Err(not_a_record(reason));
        }
    };
    let mut run: RunRecord = read.map_err(|error| not_a_record(error.to_string()))?;
    if run.state == RunState::Running {
        let path = path.with_file_name(JOURNAL_FILE);
        let whole = journal::read(&path, RECORD_SIZE_MAX).map_err(io_error("read", &path))?;
        journal::add(&mut run, &whole.text).map_err(|reason| StoreError::NotARecord { path, reason })?;
    }
    Ok(run)
}

/// What a folder holds that a run could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Nothing,
    Run,
}

/// An error unless the folder is absent, empty, or to be overwritten and holds a run. What a run leaves that was killed
/// before its first record counts as nothing.
fn check_may_be_taken(path: &Path, overwrite: bool) -> Result<Content, StoreError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::Nothing),
        Err(source) => return Err(io_error("look into", path)(source)),
    };
    let is_left_over = |entry: &fs::DirEntry| {
        let is_empty_folder = || fs::read_dir(entry.path()).is_ok_and(|mut entries| entries.next().is_none());
        entry.file_name() == LOCK_FILE || entry.file_name() == SAMPLES_FOLDER && is_empty_folder()
    };
    if entries.flatten().all(|entry| is_left_over(&entry)) {
        return Ok(Content::Nothing);
    }
    let holds_run = read_record(path).is_ok();
    if overwrite && holds_run {
        return Ok(Content::Run);
    }
    Err(StoreError::NotEmpty { path: path.to_owned(), holds_run })
}

/// Other names for a folder whose own is taken: with a number from 2 on behind it.
pub fn numbered(path: &Path) -> impl Iterator<Item = PathBuf> {
    const NUMBERS: u32 = 1000;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    (2..NUMBERS).map(move |number| path.with_file_name(format!("{name}-{number}")))
}

pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::relate::relate;
    use crate::reduce::tests::run_record;
    use crate::report::FORMS;

    #[test]
    fn a_run_is_readable_after_each_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results/x");
        let results = ResultsFolder::create(&path, false, FORMS).unwrap();
        let mut run = run_record();
        relate(&mut run);
        run.state = RunState::Running;
        let cases = std::mem::take(&mut run.cases);
        results.begin(&run).unwrap();
        for (index, mut case) in cases.into_iter().enumerate() {
            results.append(index, &mut case, 0, &()).unwrap();
            run.cases.push(case);
            let read = read_record(&path).unwrap();
            assert_eq!((read.state, &read.cases[index].launches), (run.state, &run.cases[index].launches));
        }
        assert_eq!(read_record(&path).unwrap(), run);
        run.state = RunState::Finished;
        results.write_record(&run).unwrap();
        assert_eq!(read_record(&path).unwrap(), run);
        assert!(!path.join(JOURNAL_FILE).exists());
        results.write_samples(&samples::whole("samples/x.npy"), &[1, 2], 1).unwrap();
        for file in ["results.json", "results.csv", "table.txt", "samples/x.npy"] {
            assert!(path.join(file).exists(), "{file}");
        }
    }

    #[test]
    fn a_folder_in_use_is_refused_and_only_a_run_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "my only copy").unwrap();
        let error = ResultsFolder::create(folder.path(), true, FORMS).unwrap_err();
        assert!(matches!(error, StoreError::NotEmpty { holds_run: false, .. }));
        assert!(error.fix().contains("--out"));

        let run = folder.path().join("run");
        let under_way = ResultsFolder::create(&run, false, FORMS).unwrap();
        under_way.write_record(&run_record()).unwrap();
        for overwrite in [false, true] {
            let error = ResultsFolder::create(&run, overwrite, FORMS).unwrap_err();
            assert_eq!(matches!(error, StoreError::UnderWay { .. }), overwrite, "{error}");
        }
        assert_eq!(read_record(&run).unwrap(), run_record());
        drop(under_way);
        fs::write(run.join("notes.txt"), "mine").unwrap();
        let error = ResultsFolder::create(&run, false, FORMS).unwrap_err();
        assert!(error.fix().contains("--overwrite"), "{}", error.fix());
        ResultsFolder::create(&run, true, FORMS).unwrap();
        assert!(!run.join(RECORD_FILE).exists() && run.join("notes.txt").exists());
    }

    #[test]
    fn runs_that_start_in_the_same_second_get_folders_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ipc-host-1");
        let runs: Vec<ResultsFolder> =
            (0..3).map(|_| ResultsFolder::create_new(&path, FORMS).unwrap()).collect();
        let names = runs.iter().map(|run| run.path().file_name().unwrap().to_str().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), ["ipc-host-1", "ipc-host-1-2", "ipc-host-1-3"]);
        // Not even one that was killed before its first record keeps a folder.
        drop(runs);
        assert_eq!(ResultsFolder::create_new(&path, FORMS).unwrap().path(), path);
    }

    #[test]
    fn an_error_of_reading_does_not_speak_of_writing() {
        let error = |kind: io::ErrorKind| io_error("read", Path::new("x"))(kind.into()).fix();
        assert!(error(io::ErrorKind::PermissionDenied).contains("let you read"));
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied, io::ErrorKind::InvalidData] {
            assert!(!error(kind).contains("write to"), "{kind}");
        }
    }

    #[test]
    fn a_full_disk_says_that_earlier_cases_are_kept() {
        let error = io_error("write", Path::new("x"))(io::ErrorKind::StorageFull.into());
        assert!(error.fix().contains("complete"));
    }

    #[test]
    fn what_is_no_record_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(RECORD_FILE);
        assert!(matches!(read_record(folder.path()), Err(StoreError::Io { .. })));
        for text in [
            "",
            "{}",
            "[1]",
            r#"{"schema":"other","version":1}"#,
            r#"{"schema":"inkbed-results","version":99}"#,
        ] {
            fs::write(&file, text).unwrap();
            assert!(matches!(read_record(folder.path()), Err(StoreError::NotARecord { .. })), "{text}");
        }
    }

    #[test]
    fn a_record_of_version_1_is_read() {
        let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/results.json");
        let run = read_record(&stored).unwrap();
        let case = &run.cases[1];
        assert!(case.launches[0].measured_ticks > 0, "it has another name there");
        let reason = "ring 0 is emulated by KVM on this host (2187 ns per instruction)";
        assert_eq!(case.timing, crate::host::Timing::invalid(reason));
    }

    #[test]
    fn unknown_fields_of_a_later_build_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut value = serde_json::to_value(run_record()).unwrap();
        value["moon_phase"] = "full".into();
        value["cases"][0]["cycles_of_the_moon"] = 3.into();
        fs::write(folder.path().join(RECORD_FILE), value.to_string()).unwrap();
        assert_eq!(read_record(folder.path()).unwrap(), run_record());
    }
}
