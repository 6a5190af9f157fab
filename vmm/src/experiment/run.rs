//! Running an experiment: case after case, each in guests of its own, each on the disk before the next begins.

use super::case::Case;
use super::plan::guest_config;
use crate::guest_image::GuestImage;
use crate::machine::guest::{GuestConfig, GuestRun, Outcome, Pin};
use crate::machine::{self, MachineError, StopFlag};
use crate::report::record::{CaseRecord, RunRecord, RunState};
use crate::report::reduce::{Launch, case_record};
use crate::report::relate::relate;
use crate::report::samples::file_name;
use crate::report::store::{ResultsFolder, StoreError};

/// What runs guests: KVM, or a stand-in for tests.
pub trait GuestRunner {
    /// Boots one guest and runs it to its end.
    fn run(&self, config: &GuestConfig) -> Result<GuestRun, MachineError>;
}

/// Guests on KVM, all stopped by one flag.
#[derive(Clone, Debug)]
pub struct KvmRunner {
    /// Ends the guest that runs, and every later one at once.
    pub stop: StopFlag,
}

impl GuestRunner for KvmRunner {
    fn run(&self, config: &GuestConfig) -> Result<GuestRun, MachineError> {
        machine::run(config, &self.stop)
    }
}

/// Who watches a run.
pub trait Observer {
    /// The case with this index begins.
    fn case_begins(&mut self, index: usize, case: &Case);
    /// A case is done and on the disk.
    fn case_ended(&mut self, case: &CaseRecord);
}

/// What all cases of a run share.
pub struct Runner<'a> {
    /// What runs guests.
    pub guests: &'a dyn GuestRunner,
    /// Kernel and programs.
    pub image: &'a GuestImage,
    /// Host CPUs for vCPU threads.
    pub pin: &'a Pin,
    /// Where results go.
    pub results: &'a ResultsFolder,
}

impl Runner<'_> {
    /// Runs `cases` and adds them to `record`, which is on the disk, complete so far, after each of them. A case that
    /// fails is recorded and the others go on; only a user's interruption or a failed write ends the run.
    pub fn run(
        &self,
        cases: &[Case],
        record: &mut RunRecord,
        observer: &mut dyn Observer,
    ) -> Result<(), StoreError> {
        self.results.write_record(record)?;
        let mut state = RunState::Finished;
        for (index, case) in cases.iter().enumerate() {
            observer.case_begins(index, case);
            let Some(launches) = self.launches(case) else {
                state = RunState::Interrupted;
                break;
            };
            let files = self.write_samples(case, &launches)?;
            record.cases.push(case_record(case, &launches, &files, &record.host));
            relate(record);
            self.results.write_record(record)?;
            if let Some(done) = record.cases.last() {
                observer.case_ended(done);
            }
        }
        record.state = state;
        record.finished_utc = Some(now());
        self.results.write_record(record)
    }

    /// All guests of a case; `None` when the user stopped one of them.
    fn launches(&self, case: &Case) -> Option<Vec<Launch>> {
        let config = match guest_config(&case.parameters, self.image, self.pin) {
            Ok(config) => config,
            Err(error) => return Some(vec![Err(error.to_string())]),
        };
        let mut launches = Vec::new();
        for _ in 0..case.parameters.launches {
            let launch = self.guests.run(&config).map_err(|error| chain(&error));
            if matches!(&launch, Ok(run) if run.outcome == Outcome::Interrupted) {
                return None;
            }
            launches.push(launch);
        }
        Some(launches)
    }

    fn write_samples(&self, case: &Case, launches: &[Launch]) -> Result<Vec<Option<String>>, StoreError> {
        let write = |(index, launch): (usize, &Launch)| {
            let Ok(run) = launch else { return Ok(None) };
            if run.samples.is_empty() {
                return Ok(None);
            }
            // A guest may claim any number of channels; then its samples are kept in the order they came.
            let channels = case.parameters.workload.channels().len();
            let columns = if run.samples.len().is_multiple_of(channels) { channels } else { 1 };
            let file = file_name(&case.name, index, case.parameters.launches);
            self.results.write_samples(&file, &run.samples, columns)?;
            Ok(Some(file))
        };
        launches.iter().enumerate().map(write).collect()
    }
}

/// An error with its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// The time of day, RFC 3339 in UTC, whole seconds.
pub fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
