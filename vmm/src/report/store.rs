//! The folder of one run: what is in it is complete at any moment, whenever the run is stopped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::atomic::write_atomically;
use super::guests_csv::{has_guests, write_guests_csv};
use super::record::{RunRecord, SCHEMA, VERSION};
use super::{csv, samples, table};

/// Name of the file with the record of a run.
pub const RECORD_FILE: &str = "results.json";

/// Name of the file with one line per guest, where there were several at once.
pub const GUESTS_FILE: &str = "guests.csv";

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
            StoreError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some space; the cases written before are complete and can be read with `inkbed report`"
                    .to_owned()
            }
            StoreError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "give the folder that `inkbed run` wrote, for example results/<name>".to_owned()
            }
            StoreError::Io { .. } => "choose a folder that you may write to with --out".to_owned(),
            StoreError::NotARecord { .. } => {
                "give a folder that this version of `inkbed run` wrote".to_owned()
            }
        }
    }
}

/// The folder of a run that is under way.
#[derive(Clone, Debug)]
pub struct ResultsFolder {
    path: PathBuf,
}

impl ResultsFolder {
    /// Makes the folder `path`, or takes it when it is empty. With `overwrite` also one that holds a run.
    pub fn create(path: &Path, overwrite: bool) -> Result<ResultsFolder, StoreError> {
        let is_empty = match fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(source) => return Err(StoreError::Io { action: "look into", path: path.to_owned(), source }),
        };
        if !is_empty {
            let holds_run = read_record(path).is_ok();
            if !(overwrite && holds_run) {
                return Err(StoreError::NotEmpty { path: path.to_owned(), holds_run });
            }
            remove_run(path)?;
        }
        let samples = path.join("samples");
        fs::create_dir_all(&samples).map_err(io_error("make the folder", &samples))?;
        Ok(ResultsFolder { path: path.to_owned() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the raw samples of one guest to `file`, a path relative to the folder.
    pub fn write_samples(&self, file: &str, values: &[u64], channels: usize) -> Result<(), StoreError> {
        self.write(file, |writer| samples::write_npy(writer, values, channels))
    }

    /// Writes `results.json`, then what is only another form of it.
    pub fn write_record(&self, run: &RunRecord) -> Result<(), StoreError> {
        self.write(RECORD_FILE, |writer| write_json(writer, run))?;
        self.write("results.csv", |writer| csv::write_csv(writer, run))?;
        if has_guests(run) {
            self.write(GUESTS_FILE, |writer| write_guests_csv(writer, run))?;
        }
        self.write("table.txt", |writer| writer.write_all(table::render(run, table::FILE_WIDTH).as_bytes()))
    }

    fn write(
        &self,
        file: &str,
        content: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let path = self.path.join(file);
        write_atomically(&path, content).map_err(io_error("write", &path))
    }
}

/// The record as JSON, indented, with a newline at its end.
pub fn write_json(writer: &mut dyn io::Write, run: &RunRecord) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *writer, run)?;
    writer.write_all(b"\n")
}

/// Reads the record of the run in `folder` (or the file itself), finished or not.
pub fn read_record(folder: &Path) -> Result<RunRecord, StoreError> {
    let path = if folder.is_dir() { folder.join(RECORD_FILE) } else { folder.to_owned() };
    let text = fs::read_to_string(&path).map_err(io_error("read", &path))?;
    let not_a_record = |reason: String| StoreError::NotARecord { path: path.clone(), reason };
    #[derive(serde::Deserialize)]
    struct Head {
        schema: String,
        version: u32,
    }
    let head: Head = serde_json::from_str(&text).map_err(|error| not_a_record(error.to_string()))?;
    if head.schema != SCHEMA || head.version != VERSION {
        let reason =
            format!("it is {} version {}; this is {SCHEMA} version {VERSION}", head.schema, head.version);
        return Err(not_a_record(reason));
    }
    serde_json::from_str(&text).map_err(|error| not_a_record(error.to_string()))
}

/// Removes the files of a run and nothing else.
fn remove_run(path: &Path) -> Result<(), StoreError> {
    for name in [RECORD_FILE, "results.csv", GUESTS_FILE, "table.txt"] {
        let file = path.join(name);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", &file)(error));
            }
            _ => {}
        }
    }
    let samples = path.join("samples");
    for entry in fs::read_dir(&samples).into_iter().flatten().flatten() {
        let file = entry.path();
        if file.extension().is_some_and(|extension| extension == "npy") {
            fs::remove_file(&file).map_err(io_error("remove", &file))?;
        }
    }
    Ok(())
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::super::tests::run_record;
    use super::*;

    #[test]
    fn a_run_is_readable_after_each_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results/x");
        let results = ResultsFolder::create(&path, false).unwrap();
        let mut run = run_record();
        let cases = std::mem::take(&mut run.cases);
        for case in cases {
            run.cases.push(case);
            results.write_record(&run).unwrap();
            assert_eq!(read_record(&path).unwrap(), run);
        }
        results.write_samples("samples/x.npy", &[1, 2], 1).unwrap();
        for file in ["results.json", "results.csv", "table.txt", "samples/x.npy"] {
            assert!(path.join(file).exists(), "{file}");
        }
    }

    #[test]
    fn a_folder_in_use_is_refused_and_only_a_run_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "my only copy").unwrap();
        let error = ResultsFolder::create(folder.path(), true).unwrap_err();
        assert!(matches!(error, StoreError::NotEmpty { holds_run: false, .. }));
        assert!(error.fix().contains("--out"));

        let run = folder.path().join("run");
        ResultsFolder::create(&run, false).unwrap().write_record(&run_record()).unwrap();
        fs::write(run.join("notes.txt"), "mine").unwrap();
        let error = ResultsFolder::create(&run, false).unwrap_err();
        assert!(error.fix().contains("--overwrite"), "{}", error.fix());
        ResultsFolder::create(&run, true).unwrap();
        assert!(!run.join(RECORD_FILE).exists() && run.join("notes.txt").exists());
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
    fn unknown_fields_of_a_later_build_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut value = serde_json::to_value(run_record()).unwrap();
        value["moon_phase"] = "full".into();
        value["cases"][0]["cycles_of_the_moon"] = 3.into();
        fs::write(folder.path().join(RECORD_FILE), value.to_string()).unwrap();
        assert_eq!(read_record(folder.path()).unwrap(), run_record());
    }
}
