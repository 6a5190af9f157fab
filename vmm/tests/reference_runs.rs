//! The reference runs in `results/`: what their records say is what their tables show.
//!
//! `INKBED_UPDATE_REFERENCE=1 cargo test -p inkbed --test reference_runs` writes tables and CSV files anew from the records.

use std::fs;
use std::path::{Path, PathBuf};

use inkbed::record::store::{RECORD_FILE, ResultsFolder, read_record};

/// Whether `inkbed run` has named the folder by itself: a run of whoever has this copy, such as `ipc-vm-20260102T030405Z`.
fn has_a_time(name: &str) -> bool {
    name.split('-').any(|part| {
        let digits = part.chars().filter(char::is_ascii_digit).count();
        part.len() == 16 && digits == 14 && part.ends_with('Z') && part.as_bytes()[8] == b'T'
    })
}

/// Folders of reference runs.
fn runs() -> Vec<PathBuf> {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results");
    let entries = fs::read_dir(results).unwrap().map(|entry| entry.unwrap().path());
    let is_reference = |path: &PathBuf| {
        path.join(RECORD_FILE).exists() && !has_a_time(&path.file_name().unwrap().to_string_lossy())
    };
    let mut runs: Vec<PathBuf> = entries.filter(is_reference).collect();
    runs.sort();
    runs
}

#[test]
fn a_run_of_whoever_tests_is_no_reference_run() {
    for own in ["ipc-vm-20261128T010548Z", "ipc-vm-20261128T010548Z-2"] {
        assert!(has_a_time(own), "{own}");
    }
    for reference in ["ipc-kvm-pvm", "flush-threshold-kvm-amd-in-qemu"] {
        assert!(!has_a_time(reference), "{reference}");
    }
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
