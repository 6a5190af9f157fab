//! Running an experiment: case after case, each in guests of its own, each on the disk before the next begins.

use super::case::{Case, Parameters};
use super::plan::{guest_config, traced_guest_config};
use super::quota::Quotas;
use crate::guest_image::GuestImage;
use crate::guests::{Ended, Fleet, FleetError, Guest, Lost};
use crate::lens::LensValues;
use crate::lens::stream::Event;
use crate::lens::tlb::{Model, TlbReport, WhatIf};
use crate::lens::trace::{self, TraceError};
use crate::machine::guest::{GuestConfig, GuestRun, Outcome, Pin};
use crate::machine::{self, MachineError, StopFlag};
use crate::report::agreement::{TraceAbsent, Traced};
use crate::report::record::{CaseRecord, RunRecord, RunState};
use crate::report::reduce::{Launch, Process, case_record};
use crate::report::relate::relate;
use crate::report::samples::file_name;
use crate::report::store::{ResultsFolder, StoreError};

/// What runs guests: KVM, or a stand-in for tests.
pub trait GuestRunner {
    /// Boots one guest and runs it to its end.
    fn run(&self, config: &GuestConfig) -> Result<GuestRun, MachineError>;

    /// Boots one guest, traces it between its marks, and runs the trace on models of TLBs.
    fn trace(
        &self,
        config: &GuestConfig,
        models: &[Model],
    ) -> Result<(trace::Summary, Vec<TlbReport>), TraceError>;

    /// Boots so many guests at once, each in a process of its own, and runs all of them to their ends.
    fn run_many(&self, crowd: &Crowd<'_>) -> Result<Vec<Guest>, FleetError>;
}

/// Guests to be run at once.
#[derive(Clone, Copy, Debug)]
pub struct Crowd<'a> {
    /// What each of them does.
    pub parameters: &'a Parameters,
    /// How many.
    pub guests: u32,
    /// Kernel and programs.
    pub image: &'a GuestImage,
    /// Host CPUs for the vCPU threads of each.
    pub pins: &'a [Pin],
    /// What each may take of the host's CPUs.
    pub quotas: Option<&'a Quotas>,
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

    fn trace(
        &self,
        config: &GuestConfig,
        models: &[Model],
    ) -> Result<(trace::Summary, Vec<TlbReport>), TraceError> {
        let trace = trace::trace(config, &self.stop)?;
        let mut events: Vec<Event> = Vec::new();
        if !models.is_empty() {
            trace.events(&mut events);
        }
        let reports = models.iter().map(|model| {
            // Records keep the first round trip and the median of the others.
            TlbReport { round_trips: Vec::new(), ..WhatIf::AsRecorded.run(model, &events) }
        });
        Ok((trace.summary, reports.collect()))
    }

    fn run_many(&self, crowd: &Crowd<'_>) -> Result<Vec<Guest>, FleetError> {
        let fleet = Fleet { image: crowd.image, quotas: crowd.quotas, stop: &self.stop };
        fleet.run(crowd.parameters, crowd.guests, crowd.pins)
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
    /// What each of several guests at once may take.
    pub quotas: Option<&'a Quotas>,
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
            let measured =
                self.launches(case).and_then(|launches| Some((launches, self.trace(case, record)?)));
            let Some((launches, (traced, tlb_models))) = measured else {
                state = RunState::Interrupted;
                break;
            };
            let files = self.write_samples(case, &launches)?;
            let done = case_record(case, &launches, &traced, &files, &record.host);
            record.cases.push(CaseRecord { tlb_models, ..done });
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
            Err(error) => return Some(vec![Err(error.to_string()).into()]),
        };
        if let Some(guests) = case.parameters.guests {
            return self.crowds(case, guests);
        }
        let mut launches = Vec::new();
        for _ in 0..case.parameters.launches {
            let launch = self.guests.run(&config).map_err(|error| chain(&error));
            if matches!(&launch, Ok(run) if run.outcome == Outcome::Interrupted) {
                return None;
            }
            launches.push(launch.into());
        }
        Some(launches)
    }

    /// All guests of a case with many at once; `None` when the user stopped them.
    fn crowds(&self, case: &Case, guests: u32) -> Option<Vec<Launch>> {
        let pins = pins(self.pin, guests, case.parameters.vcpus);
        let crowd = Crowd {
            parameters: &case.parameters,
            guests,
            image: self.image,
            pins: &pins,
            quotas: self.quotas,
        };
        let mut launches = Vec::new();
        for launch in 0..case.parameters.launches {
            match self.guests.run_many(&crowd) {
                Ok(guests) => launches.extend(
                    guests.into_iter().zip(0..).map(|(guest, index)| launch_of(guest, index, launch)),
                ),
                Err(FleetError::Interrupted) => return None,
                Err(error) => launches.push(Err(chain(&error)).into()),
            }
        }
        Some(launches)
    }

    /// The traced guest of a case, and what its trace does to models of TLBs; `None` when the user stopped it.
    fn trace(&self, case: &Case, record: &RunRecord) -> Option<(Traced, Vec<TlbReport>)> {
        let absent = |error: &dyn std::fmt::Display| Some((Err(TraceAbsent::new(error)), Vec::new()));
        let round_trips = case.parameters.trace_round_trips;
        if round_trips == 0 {
            return absent(&"not asked for (`trace_round_trips`)");
        }
        if let Some(reason) = record.host.absent_lenses.get("trace") {
            return absent(reason);
        }
        let config = match traced_guest_config(&case.parameters, round_trips, self.image, self.pin) {
            Ok(config) => config,
            Err(error) => return absent(&error),
        };
        // Each was there when the file was read.
        let models = case.parameters.tlb_models.iter().map(|name| Model::load(name));
        let models: Vec<Model> = match models.collect() {
            Ok(models) => models,
            Err(error) => return absent(&error),
        };
        match self.guests.trace(&config, &models) {
            Ok((summary, reports)) => Some((Ok(summary), reports)),
            Err(TraceError::Outcome(outcome)) if *outcome == Outcome::Interrupted => None,
            Err(TraceError::Disagreement(disagreement)) => {
                let reason = TraceError::Disagreement(disagreement.clone()).to_string();
                let disagreement = Some(disagreement);
                Some((Err(TraceAbsent { reason, disagreement }), Vec::new()))
            }
            Err(error) => absent(&chain(&error)),
        }
    }

    fn write_samples(&self, case: &Case, launches: &[Launch]) -> Result<Vec<Option<String>>, StoreError> {
        let write = |(index, launch): (usize, &Launch)| {
            let Ok(run) = &launch.result else { return Ok(None) };
            if run.samples.is_empty() {
                return Ok(None);
            }
            // A guest may claim any number of channels; then its samples are kept in the order they came.
            let channels = case.parameters.workload.channels().len();
            let columns = if run.samples.len().is_multiple_of(channels) { channels } else { 1 };
            let (index, guest) = match &launch.process {
                Some(process) => (process.launch as usize, Some(process.index)),
                None => (index, None),
            };
            let file = file_name(&case.name, index, case.parameters.launches, guest);
            self.results.write_samples(&file, &run.samples, columns)?;
            Ok(Some(file))
        };
        launches.iter().enumerate().map(write).collect()
    }
}

/// The result of a guest's process apart from the figures of the process.
fn launch_of(mut guest: Guest, index: u32, launch: u32) -> Launch {
    let result = std::mem::replace(&mut guest.result, Err(Lost::Died(String::new())));
    let (result, lenses) = match result {
        Ok(Ended { run, lenses }) => (Ok(run), lenses),
        Err(lost) => (Err(lost), LensValues::default()),
    };
    Launch { result, lenses, process: Some(Process { index, launch, guest }) }
}

/// Host CPUs for each guest: they go on where those of the guest before end, so that guests of one vCPU do not all sit on
/// the first CPU.
fn pins(pin: &Pin, guests: u32, vcpus: u32) -> Vec<Pin> {
    let list = match pin {
        Pin::None => Vec::new(),
        Pin::Auto => machine::allowed_cpus().unwrap_or_default(),
        Pin::List(list) => list.clone(),
    };
    let rotated = |guest: u32| {
        let mut list = list.clone();
        let by = guest as usize * vcpus as usize % list.len().max(1);
        list.rotate_left(by);
        Pin::List(list)
    };
    (0..guests).map(|guest| if list.is_empty() { pin.clone() } else { rotated(guest) }).collect()
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
