//! What is to be run: a file with the cases that it asks for on one host, and the record of a run of them.

use std::collections::BTreeMap;

use crate::case::{Case, matches_pattern};
use crate::experiment::check::Limits;
use crate::experiment::error::ConfigError;
use crate::experiment::expand::{Experiment, expand};
use crate::experiment::file::ExperimentFile;
use crate::experiment::overrides::Overrides;
use crate::guest_image::GuestImage;
use crate::machine::guest::Pin;
use crate::record::run::{CaseRecord, ExperimentRecord, GuestRecord, HostRecord, RunRecord};
use crate::record::store::{ResultsFolder, StoreError};
use crate::run::session::{GuestRunner, Observer, Runner, now};

/// A file and what it asks for.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The file.
    pub file: &'a ExperimentFile,
    /// Its cases.
    pub experiment: Experiment,
}

impl<'a> Plan<'a> {
    /// What a file asks for where these limits are, with values of the user's in the place of its own.
    pub fn new(
        file: &'a ExperimentFile,
        overrides: &Overrides,
        limits: &Limits,
    ) -> Result<Plan<'a>, ConfigError> {
        Ok(Plan { file, experiment: expand(file, overrides, limits)? })
    }

    /// Keeps the cases whose names match one of these patterns; without a pattern all of them.
    pub fn choose(mut self, patterns: &[String]) -> Plan<'a> {
        let is_wanted =
            |name: &str| patterns.is_empty() || patterns.iter().any(|pattern| matches_pattern(name, pattern));
        self.experiment.cases.retain(|case| is_wanted(&case.name));
        self.experiment.unavailable.retain(|case| is_wanted(&case.what));
        self
    }

    /// Whether a program takes part that is built for 32 bits.
    pub fn has_32_bit(&self) -> bool {
        self.experiment.cases.iter().any(|case| case.parameters.has_32_bit())
    }

    /// The record of a run of it that begins now. `changed`: what the user has set, by name.
    pub fn record(
        &self,
        changed: BTreeMap<String, String>,
        host: HostRecord,
        guest: GuestRecord,
    ) -> RunRecord {
        let experiment = &self.experiment;
        let record = ExperimentRecord {
            name: experiment.name.clone(),
            question: experiment.question.clone(),
            description: experiment.description.clone(),
            file: self.file.path.display().to_string(),
            file_sha256: self.file.sha256(),
            quotas: experiment.quotas.clone(),
            overrides: changed,
        };
        let absent = experiment.absent.iter().chain(&experiment.unavailable).cloned().collect();
        RunRecord::begun(record, now(), host, guest, absent, experiment.cases.len())
    }

    /// Runs its cases and adds them to `record`, which is in the folder as well. See [`Runner::run`].
    pub fn run(
        &self,
        guests: &dyn GuestRunner,
        image: &GuestImage,
        pin: &Pin,
        results: &ResultsFolder,
        record: &mut RunRecord,
        observer: &mut dyn Observer,
    ) -> Result<(), StoreError> {
        let quotas = self.experiment.quotas.as_ref();
        let trace_budget = self.experiment.trace_budget;
        let runner = Runner { guests, image, pin, quotas, trace_budget, results };
        runner.run(&self.experiment.cases, record, observer)
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn launch_begins(&mut self, _case: &Case) {}
    fn case_ended(&mut self, _case: &CaseRecord) {}
}
