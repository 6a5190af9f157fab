//! The reference runs in `results/`: what their records say is what their tables show.
//!
//! `INKBED_UPDATE_REFERENCE=1 cargo test -p inkbed --test reference_runs` writes tables and CSV files anew from the records.

use std::fs;
use std::path::{Path, PathBuf};

use inkbed::report::store::{RECORD_FILE, ResultsFolder, read_record};

/// Folders of reference runs.
fn runs() -> Vec<PathBuf> {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results");
    let entries = fs::read_dir(results).unwrap().map(|entry| entry.unwrap().path());
    let mut runs: Vec<PathBuf> = entries.filter(|path| path.join(RECORD_FILE).exists()).collect();
    runs.sort();
    runs
}

#[test]
fn every_record_renders_to_its_table_and_csv() {
    let update = std::env::var_os("INKBED_UPDATE_REFERENCE").is_some();
    let runs = runs();
    let mut differing = Vec::new();
    for run in &runs {
        let record = read_record(run).unwrap_or_else(|error| panic!("{}: {error}", run.display()));
        let scratch = tempfile::tempdir().unwrap();
        let rendered = scratch.path().join("run");
        ResultsFolder::create(&rendered, false).unwrap().write_record(&record).unwrap();
        for file in fs::read_dir(&rendered).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.file_name().unwrap().to_owned();
            if name == RECORD_FILE || !file.is_file() {
                continue;
            }
            let (text, committed) = (fs::read_to_string(&file).unwrap(), run.join(&name));
            if update {
                fs::write(&committed, text).unwrap();
            } else if fs::read_to_string(&committed).ok() != Some(text) {
                differing.push(committed);
            }
        }
    }
    assert!(runs.len() > 20, "only {} reference runs found", runs.len());
    assert!(differing.is_empty(), "INKBED_UPDATE_REFERENCE=1 writes these anew: {differing:#?}");
}

#[test]
fn no_run_is_committed_with_its_raw_samples() {
    for run in runs() {
        assert!(!run.join("samples").exists(), "{}: remove the raw samples", run.display());
    }
}
