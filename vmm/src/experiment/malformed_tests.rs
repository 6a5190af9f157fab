//! Damaged experiment files.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::check::Limits;
use super::expand::expand;
use super::file::ExperimentFile;
use super::overrides::Overrides;
use super::product::CASES_MAX;
use crate::damage::{config, damaged, hits};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn damaged_files_are_survived(hits in hits(4_000), which in any::<prop::sample::Index>()) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench-config");
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
        files.sort();
        let text = damaged(&fs::read(which.get(&files)).unwrap(), &hits);
        let file = ExperimentFile::parse(Path::new("x.toml"), String::from_utf8_lossy(&text).into_owned());
        match file.and_then(|file| expand(&file, &Overrides::default(), &Limits::any_host())) {
            Ok(experiment) => prop_assert!(experiment.cases.len() as u128 <= CASES_MAX),
            Err(error) => prop_assert!(!error.to_string().is_empty() && !error.fix.is_empty()),
        }
    }
}
