//! The experiments that the program carries with it: those of `bench-config/`, in the order in which a run of all goes.

use std::path::Path;

use super::error::ConfigError;
use super::file::ExperimentFile;
use super::overrides::Overrides;

/// An experiment of the project.
#[derive(Debug)]
pub struct BuiltIn {
    /// Its name, which is that of its file without `.toml`.
    pub name: &'static str,
    /// What the file says.
    pub text: &'static str,
    /// Values by which it ends within seconds and still answers its question, each as for `--set`.
    quick: &'static [&'static str],
}

macro_rules! built_in {
    ($($name:literal: $quick:expr,)*) => {
        &[$(BuiltIn {
            name: $name,
            text: include_str!(concat!("../../../bench-config/", $name, ".toml")),
            quick: &$quick,
        },)*]
    };
}

/// All of them: first what a call costs, then what many servers, CPUs and guests change.
pub static ALL: &[BuiltIn] = built_in! {
    "ipc": ["samples=50", "launches=1"],
    "path-length": ["samples=10", "launches=1"],
    "schemes": ["samples=10", "launches=1"],
    "working-set": ["samples=10", "launches=1"],
    "chain": ["samples=20", "launches=1"],
    "slots": ["samples=10", "launches=1"],
    "migrate": ["samples=8", "launches=1"],
    "faults": ["samples=10", "launches=1"],
    "flush-threshold": ["samples=5", "launches=1"],
    "programs": ["recording=git-status,shell-pipeline", "samples=1"],
    "boot": ["vcpus=1,4,16,64", "launches=1"],
    "monolith": ["vcpus=1,4", "handlers_per_cpu=4,47", "launches=1"],
    "scaling": ["vcpus=2,8", "samples=20", "launches=1"],
    "density": ["guests=1,4,16", "samples=50", "launches=1"],
};

/// The built-in experiment of this name.
pub fn named(name: &str) -> Option<&'static BuiltIn> {
    ALL.iter().find(|experiment| experiment.name == name)
}

impl BuiltIn {
    /// The experiment, as if its file had been read.
    pub fn file(&self) -> Result<ExperimentFile, ConfigError> {
        ExperimentFile::parse(Path::new(self.name), self.text.to_owned())
    }

    /// Values by which it ends within seconds.
    pub fn quick(&self) -> Result<Overrides, ConfigError> {
        let mut overrides = Overrides::default();
        self.quick.iter().try_for_each(|assignment| overrides.set(assignment))?;
        Ok(overrides)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::experiment::check::Limits;
    use crate::experiment::expand::expand;

    #[test]
    fn every_file_of_the_project_is_built_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench-config");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let files: BTreeSet<String> = files
            .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        let names: BTreeSet<String> = ALL.iter().map(|experiment| experiment.name.to_owned()).collect();
        assert_eq!(names, files);
    }

    #[test]
    fn each_is_called_what_it_calls_itself_and_is_shorter_when_quick() {
        for experiment in ALL {
            let file = experiment.file().unwrap();
            assert_eq!(file.content.name.get_ref(), experiment.name);
            let limits = Limits::any_host();
            let round_trips = |overrides: &Overrides| {
                let cases = expand(&file, overrides, &limits).unwrap().cases;
                cases
                    .iter()
                    .map(|case| case.parameters.sample_count() * u64::from(case.parameters.vcpus))
                    .sum::<u64>()
            };
            let (all, quick) =
                (round_trips(&Overrides::default()), round_trips(&experiment.quick().unwrap()));
            assert!(0 < quick && quick <= all, "{}: {quick} of {all}", experiment.name);
        }
    }
}
