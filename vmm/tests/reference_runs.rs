//! The reference runs in `results/`: what their records say is what their tables show.
//!
//! `INKBED_UPDATE_REFERENCE=1 cargo test -p inkbed --test reference_runs` writes tables and CSV files anew from the records.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use inkbed::compare::reference::{Row, rows};
use inkbed::record::store::{RECORD_FILE, ResultsFolder, read_record};
use inkbed::report::FORMS;

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
        ResultsFolder::create(&rendered, false, FORMS).unwrap().write_record(&record).unwrap();
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

/// Runs from different machines must agree on what depends on none; the program holds the runs of users against it.
#[test]
fn the_runs_agree_on_their_counts_and_the_program_has_these() {
    let records: Vec<_> = runs().iter().map(|run| read_record(run).unwrap()).collect();
    let (rows, differing) = rows(&records);
    // What becomes of a server that reaches too far depends on the limits of segments, which QEMU does not check.
    let unexplained: Vec<&String> = differing.iter().filter(|what| !what.starts_with("reach/")).collect();
    assert!(unexplained.is_empty(), "the reference runs do not agree: {unexplained:#?}");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/compare/counts.csv");
    if std::env::var_os("INKBED_UPDATE_REFERENCE").is_some() {
        let mut writer = csv::Writer::from_path(&file).unwrap();
        rows.iter().for_each(|row| writer.serialize(row).unwrap());
        return writer.flush().unwrap();
    }
    let committed: Result<Vec<Row>, _> = csv::Reader::from_path(&file).unwrap().into_deserialize().collect();
    assert!(committed.unwrap() == rows, "INKBED_UPDATE_REFERENCE=1 writes vmm/src/compare/counts.csv anew");
    assert!(rows.len() > 500, "{}", rows.len());
}

#[test]
fn no_run_is_committed_with_its_raw_samples() {
    for run in runs() {
        assert!(!run.join("samples").exists(), "{}: remove the raw samples", run.display());
    }
}

/// The options of a command line that change what a file says, as a record has them.
fn overrides(options: &str) -> BTreeMap<String, String> {
    let mut words = options.split_whitespace();
    let mut overrides = BTreeMap::new();
    while let Some(option) = words.next() {
        let value = words.next().unwrap_or_else(|| panic!("{option} needs a value"));
        match (option, value.split_once('=')) {
            ("--samples", _) => _ = overrides.insert("samples".to_owned(), value.to_owned()),
            ("--set", Some((key, value))) => _ = overrides.insert(key.to_owned(), value.to_owned()),
            ("--pin", _) => {}
            _ => panic!("docs/reference-runs.md: what does {option} {value} change?"),
        }
    }
    overrides
}

#[test]
fn the_docs_say_how_each_run_was_made() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference-runs.md");
    let text = fs::read_to_string(docs).unwrap();
    for run in runs() {
        let name = run.file_name().unwrap().to_string_lossy().into_owned();
        let rows: Vec<&str> = text.lines().filter(|line| line.contains(&format!("[{name}]("))).collect();
        let [row] = rows[..] else { panic!("docs/reference-runs.md has {name} in {} rows", rows.len()) };
        let options = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let options = if options == "none" { "" } else { options.trim_matches('`') };
        let made: BTreeMap<_, _> = read_record(&run).unwrap().experiment.overrides.into_iter().collect();
        assert_eq!(
            overrides(options),
            made,
            "docs/reference-runs.md, {name}: left the docs, right the record"
        );
    }
}
