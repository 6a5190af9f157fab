//! Running an experiment: case after case, each in guests of its own, each on the disk before the next begins.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use crate::case::{Case, launches};
use crate::guest_image::GuestImage;
use crate::lens::trace::{self, TraceError};
use crate::lens::trace::{TraceAbsent, Traced};
use crate::lens::{LensReadings, LensRequest, Measured, measure};
use crate::machine::guest::{GuestConfig, Outcome, Pin};
use crate::machine::{self, MachineError, StopFlag};
use crate::printable::chain;
use crate::record::outcome::OutcomeRecord;
use crate::record::quota::Quotas;
use crate::record::relate::relate;
use crate::record::run::{CaseRecord, RunRecord, RunState};
use crate::record::samples::{SamplesFile, every, file_name};
use crate::record::store::{ResultsFolder, StoreError};
use crate::reduce::case::case_record;
use crate::reduce::claims;
use crate::reduce::drift::drift;
use crate::reduce::guest::{Ended, Guest, Lost};
use crate::reduce::launch::{Launch, Process, Reduced};
use crate::run::fleet::{Fleet, FleetError};
use crate::run::so_far::{Before, Kept, most, turns};
use crate::run::until::Until;
use crate::tlb::stream::Event;
use crate::tlb::{Model, TlbReport, WhatIf};
use crate::workload::guest::{guest_config, traced_guest_config};

/// What runs guests: KVM, or a stand-in for tests.
pub trait GuestRunner {
    /// Boots one guest, runs it to its end, and counts what is asked for.
    fn run(&self, config: &GuestConfig, lenses: &LensRequest) -> Result<Measured, MachineError>;

    /// Boots one guest, traces it between its marks, and runs the trace on models of TLBs.
    fn trace(
        &self,
        config: &GuestConfig,
        models: &[Model],
    ) -> Result<(trace::Summary, Vec<TlbReport>), TraceError>;

    /// Boots a guest for each of these lists of host CPUs at once, each in a process of its own, and runs all of them to their ends.
    fn run_many(
        &self,
        config: &GuestConfig,
        lenses: &LensRequest,
        pins: &[Pin],
        quotas: Option<&Quotas>,
    ) -> Result<Vec<Guest>, FleetError>;
}

/// Guests on KVM, all stopped by one flag.
#[derive(Clone, Debug)]
pub struct KvmRunner {
    /// Ends the guest that runs, and every later one at once.
    pub stop: StopFlag,
}

impl GuestRunner for KvmRunner {
    fn run(&self, config: &GuestConfig, lenses: &LensRequest) -> Result<Measured, MachineError> {
        measure::run(config, lenses, &self.stop)
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

    fn run_many(
        &self,
        config: &GuestConfig,
        lenses: &LensRequest,
        pins: &[Pin],
        quotas: Option<&Quotas>,
    ) -> Result<Vec<Guest>, FleetError> {
        Fleet { quotas, stop: &self.stop }.run(config, lenses, pins)
    }
}

/// Who watches a run.
pub trait Observer {
    /// A launch of this case begins.
    fn launch_begins(&mut self, case: &Case);
    /// A case is done, with all its launches, and on the disk.
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
    /// What all traces may take together.
    pub trace_budget: Option<Duration>,
    /// How long cases go on beyond their launches; `None`: not at all.
    pub until: Option<Until>,
    /// Where results go.
    pub results: &'a ResultsFolder,
}

impl Runner<'_> {
    /// Runs `cases` and adds them to `record`, which is on the disk, complete so far, after each launch. The launches of all
    /// cases take turns, so that a host that drifts does so for all of them alike. A case that fails is recorded and the others
    /// go on; only a user's interruption or a failed write ends the run.
    pub fn run(
        &self,
        cases: &[Case],
        record: &mut RunRecord,
        observer: &mut dyn Observer,
    ) -> Result<(), StoreError> {
        record.launches_planned = launches(cases);
        self.results.begin(record)?;
        self.go_on(Before::nothing(cases), cases, record, observer)
    }

    /// Goes on with a run of `cases` that was stopped (see [`crate::run::resume`]), as if it had not been.
    pub fn go_on(
        &self,
        before: Before,
        cases: &[Case],
        record: &mut RunRecord,
        observer: &mut dyn Observer,
    ) -> Result<(), StoreError> {
        let Before { mut measured, turn, mut traces_took } = before;
        let until = self.until.as_ref();
        let mut state = RunState::Finished;
        for (index, number) in turns(cases, until).into_iter().skip(turn) {
            let (case, so_far) = (&cases[index], &mut measured[index]);
            if so_far.has_ended {
                continue;
            }
            observer.launch_begins(case);
            let Some(launches) = self.launch(case, number) else {
                state = RunState::Interrupted;
                break;
            };
            let earlier = so_far.launches.len();
            for launch in launches {
                so_far.launches.push(self.reduce(case, number, launch)?);
            }
            let channels = so_far.channels(case, number + 1 == most(case, until));
            let is_enough = number + 1 >= case.parameters.launches && so_far.is_enough(until, number + 1);
            let is_last = is_enough || number + 1 == most(case, until);
            let traced = if is_last { self.trace(case, record, &mut traces_took) } else { traced_later() };
            let Some((traced, tlb_models)) = traced else {
                // A launch whose trace is missing runs again.
                so_far.launches.truncate(earlier);
                state = RunState::Interrupted;
                break;
            };
            let done = case_record(case, &so_far.launches, channels, &traced, &record.host);
            let done = CaseRecord { tlb_models, drift: drift(&done.launches), ..done };
            // In the first round each case adds itself, in their order.
            match record.cases.get_mut(index) {
                Some(earlier) => *earlier = done,
                None => record.cases.push(done),
            }
            let launches = if is_last { Cow::default() } else { Cow::from(&so_far.launches[earlier..]) };
            let kept = Kept { launches, traces_took, is_last };
            self.results.append(index, &mut record.cases[index], earlier, &kept)?;
            if is_last {
                observer.case_ended(&record.cases[index]);
                so_far.end();
            }
        }
        for ((case, so_far), done) in cases.iter().zip(&mut measured).zip(&mut record.cases) {
            if !so_far.launches.is_empty() {
                done.ticks = so_far.channels(case, true);
            }
        }
        relate(record);
        record.launches_planned = record.launches_planned.max(record.launches_done());
        record.state = state;
        record.finished_utc = Some(now());
        self.results.write_record(record)
    }

    /// All guests of one launch of a case; `None` when the user stopped one of them.
    fn launch(&self, case: &Case, number: u32) -> Option<Vec<Launch>> {
        let pins = match case.parameters.guests {
            Some(guests) => pins(self.pin, guests, case.parameters.vcpus),
            None => vec![self.pin.clone()],
        };
        let pin = pins.first().unwrap_or(self.pin);
        let config = match guest_config(&case.parameters, self.image, pin) {
            Ok(config) => config,
            Err(error) => return Some(vec![Launch::not_started(error.to_string())]),
        };
        let lenses = LensRequest::of(&case.parameters);
        if case.parameters.guests.is_some() {
            return self.crowd(&config, &lenses, &pins, number);
        }
        match self.guests.run(&config, &lenses) {
            Ok(measured) if measured.run.outcome == Outcome::Interrupted => None,
            Ok(measured) => Some(vec![measured.into()]),
            Err(error) => Some(vec![Launch::not_started(chain(&error))]),
        }
    }

    /// All guests of one launch of a case with many at once; `None` when the user stopped them.
    fn crowd(
        &self,
        config: &GuestConfig,
        lenses: &LensRequest,
        pins: &[Pin],
        number: u32,
    ) -> Option<Vec<Launch>> {
        match self.guests.run_many(config, lenses, pins, self.quotas) {
            Ok(guests) => Some(
                guests.into_iter().zip(0..).map(|(guest, index)| launch_of(guest, index, number)).collect(),
            ),
            Err(FleetError::Interrupted) => None,
            Err(error) => Some(vec![Launch::not_started(chain(&error))]),
        }
    }

    /// The traced guest of a case, and what its trace does to models of TLBs; `None` when the user stopped it.
    fn trace(
        &self,
        case: &Case,
        record: &RunRecord,
        traces_took: &mut Duration,
    ) -> Option<(Traced, Vec<TlbReport>)> {
        let absent = |error: &dyn std::fmt::Display| Some((Err(TraceAbsent::new(error)), Vec::new()));
        let round_trips = case.parameters.trace_round_trips;
        if let Some(reason) = case.parameters.workload.why_not_traced() {
            return absent(&reason);
        }
        if round_trips == 0 {
            return absent(&"not asked for (`trace_round_trips`)");
        }
        if let Some(reason) = record.host.absent_lenses.get(trace::NAME) {
            return absent(reason);
        }
        let left = self.trace_budget.map(|budget| budget.saturating_sub(*traces_took));
        if left.is_some_and(|left| left.is_zero()) {
            return absent(&over_budget(self.trace_budget));
        }
        let mut config = match traced_guest_config(&case.parameters, round_trips, self.image, self.pin) {
            Ok(config) => config,
            Err(error) => return absent(&error),
        };
        // Each was there when the file was read.
        let models = case.parameters.tlb_models.iter().map(|name| Model::load(name));
        let models: Vec<Model> = match models.collect() {
            Ok(models) => models,
            Err(error) => return absent(&error),
        };
        config.deadline =
            left.map_or(config.deadline, |left| config.deadline.map(|deadline| deadline.min(left)));
        let began = Instant::now();
        let result = self.guests.trace(&config, &models);
        *traces_took += began.elapsed();
        let is_spent = self.trace_budget.is_some_and(|budget| *traces_took >= budget);
        match result {
            Err(TraceError::Outcome(outcome)) if is_spent && matches!(*outcome, Outcome::Hang { .. }) => {
                absent(&over_budget(self.trace_budget))
            }
            Ok((summary, reports)) => Some((Ok(summary), reports)),
            Err(TraceError::Outcome(outcome)) if *outcome == Outcome::Interrupted => None,
            Err(TraceError::Disagreement(disagreement)) => {
                let reason = TraceError::Disagreement(disagreement.clone()).to_string();
                let disagreement = Some(disagreement);
                Some((Err(TraceAbsent { reason, disagreement }), Vec::new()))
            }
            Err(error) => absent(&no_trace(&error)),
        }
    }

    /// Puts the raw samples of a launch on the disk, and keeps what fits into memory.
    fn reduce(&self, case: &Case, number: u32, launch: Launch) -> Result<Reduced, StoreError> {
        let Some(run) = launch.result.as_ref().ok().filter(|run| !run.samples.is_empty()) else {
            return Ok(Reduced::new(case, launch, None));
        };
        // A guest may claim any number of channels; then its samples are kept in the order they came.
        let channels = case.parameters.workload.channels().len();
        let columns = if run.samples.len().is_multiple_of(channels) { channels } else { 1 };
        let guest = launch.process.as_ref().map(|process| process.index);
        let file = SamplesFile {
            path: file_name(&case.name, number as usize, most(case, self.until.as_ref()), guest),
            every: every(
                // Whoever announces nonsense is kept by what there is room for.
                claims::asked(&case.parameters, run).unwrap_or_else(|_| case.parameters.round_trips()),
                (run.samples.len() / columns) as u64,
            ),
        };
        self.results.write_samples(&file, &run.samples, columns)?;
        Ok(Reduced::new(case, launch, Some(file)))
    }
}

/// What stands for the trace until the last launch has ended.
fn traced_later() -> Option<(Traced, Vec<TlbReport>)> {
    Some((Err(TraceAbsent::new("it comes behind the last launch")), Vec::new()))
}

/// Why a case has no trace although one was asked for.
fn over_budget(budget: Option<Duration>) -> String {
    let seconds = budget.unwrap_or_default().as_secs();
    format!("the {seconds} s for traces of the run were used up (`--set trace_round_trips=4` sets no limit)")
}

/// The result of a guest's process apart from the figures of the process.
fn launch_of(mut guest: Guest, index: u32, launch: u32) -> Launch {
    let result = std::mem::replace(&mut guest.result, Err(Lost::Died(String::new())));
    let (result, lenses) = match result {
        Ok(Ended { run, lenses }) => (Ok(run), lenses),
        Err(lost) => (Err(lost), LensReadings::default()),
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

/// Why there is no trace, in words.
pub fn no_trace(error: &TraceError) -> String {
    match error {
        TraceError::Outcome(outcome) => {
            let fix = match **outcome {
                Outcome::Hang { .. } => {
                    "; a step takes up to a millisecond, so give it more `deadline_seconds`"
                }
                _ => "",
            };
            format!("{error}: {}{fix}", OutcomeRecord::from(&**outcome))
        }
        error => chain(error),
    }
}

/// The time of day, RFC 3339 in UTC, whole seconds.
pub fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
