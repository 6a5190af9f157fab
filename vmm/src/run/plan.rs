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
use crate::record::run::{CaseRecord, ExperimentRecord, GuestRecord, HostRecord, RunRecord, ShardRecord};
use crate::record::store::{ResultsFolder, StoreError};
use crate::run::session::{GuestRunner, Observer, Runner, now};
use crate::run::shard::Shard;

/// A file and what it asks for.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The file.
    pub file: &'a ExperimentFile,
    /// Its cases.
    pub experiment: Experiment,
    /// Which part of all cases they are, if not all.
    shard: Option<ShardRecord>,
}

impl<'a> Plan<'a> {
    /// What a file asks for where these limits are, with values of the user's in the place of its own.
    pub fn new(
        file: &'a ExperimentFile,
        overrides: &Overrides,
        limits: &Limits,
    ) -> Result<Plan<'a>, ConfigError> {
        Ok(Plan { file, experiment: expand(file, overrides, limits)?, shard: None })
    }

    /// Keeps the cases whose names match one of these patterns; without a pattern all of them.
    pub fn choose(mut self, patterns: &[String]) -> Plan<'a> {
        let is_wanted =
            |name: &str| patterns.is_empty() || patterns.iter().any(|pattern| matches_pattern(name, pattern));
        self.experiment.cases.retain(|case| is_wanted(&case.name));
        self.experiment.unavailable.retain(|case| is_wanted(&case.what));
        self
    }

    /// Keeps the cases of one shard.
    pub fn shard(mut self, shard: Shard) -> Plan<'a> {
        let cases = self.experiment.cases.iter().map(|case| case.name.clone()).collect();
        self.shard = Some(ShardRecord { index: shard.index, of: shard.of, cases });
        self.experiment.cases = shard.choose(self.experiment.cases);
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
        let begun = RunRecord::begun(record, now(), host, guest, absent, experiment.cases.len());
        RunRecord { shard: self.shard.clone(), ..begun }
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
        self.runner(guests, image, pin, results).run(&self.experiment.cases, record, observer)
    }

    /// What runs its cases.
    pub fn runner<'r>(
        &'r self,
        guests: &'r dyn GuestRunner,
        image: &'r GuestImage,
        pin: &'r Pin,
        results: &'r ResultsFolder,
    ) -> Runner<'r> {
        let quotas = self.experiment.quotas.as_ref();
        Runner {
            guests,
            image,
            pin,
            quotas,
            trace_budget: self.experiment.trace_budget,
            until: None,
            results,
        }
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn launch_begins(&mut self, _case: &Case) {}
    fn case_ended(&mut self, _case: &CaseRecord) {}
}
