//! The lines of Python in `docs/results-files.md` do what the text says.

#[path = "support/python.rs"]
mod python;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use inkbed::record::store::{ResultsFolder, read_record};
use inkbed::report::FORMS;
use python::{printed, require_python};

fn crate_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The block of Python in the documentation.
fn documented_lines() -> String {
    let text = fs::read_to_string(crate_folder().join("../docs/results-files.md")).unwrap();
    let (_, rest) = text.split_once("```python\n").expect("a block of Python");
    rest.split_once("```").expect("its end").0.to_owned()
}

/// A case with three channels: the columns that the lines find have the medians that the record has.
#[test]
fn the_documented_lines_give_each_channel_its_column() {
    let Some(python) = require_python(&["numpy"], "python3-numpy") else { return };
    let old = crate_folder().join("tests/data/version-1");
    let mut run = read_record(&old).unwrap();
    run.cases.retain(|case| case.ticks.len() == 3);
    let folder = tempfile::tempdir().unwrap();
    let results = ResultsFolder::create(&folder.path().join("run"), false, FORMS).unwrap();
    results.write_record(&run).unwrap();
    let samples = run.cases[0].launches[0].samples_file.as_ref().unwrap();
    fs::copy(old.join(samples), results.path().join(samples)).unwrap();

    let medians = "print(json.dumps({name: int(numpy.sort(column)[(len(column) + 1) // 2 - 1]) for name, column in columns.items()}))";
    let text = printed(python, results.path(), &format!("{}{medians}\n", documented_lines()));
    let found: BTreeMap<String, u64> = serde_json::from_str(&text).unwrap();
    let recorded: BTreeMap<String, u64> =
        run.cases[0].ticks.iter().map(|(name, channel)| (name.clone(), channel.summary.median)).collect();
    assert_eq!(found, recorded);
    assert_eq!(found.len(), 3);
}
