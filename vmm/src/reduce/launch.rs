//! One guest of a case, and what stays of it when it has ended.

use abi::report::SAMPLE_DISTURBED;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::claims::{self, Claim};
use super::density::{part, process_record};
use super::guest::{Guest, Lost};
use crate::case::Case;
use crate::lens::{LensReadings, Measured};
use crate::machine::guest::{GuestRun, Outcome};
use crate::record::outcome::{OutcomeRecord, ServerFaultRecord};
use crate::record::run::LaunchRecord;
use crate::record::samples::SamplesFile;
use crate::record::together::together;
use crate::statistics::at_once::Part;
use crate::statistics::distribution::{Distribution, Marked};

/// One guest of a case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Launch {
    /// What it left, or how it was lost.
    pub result: Result<GuestRun, Lost>,
    /// What lenses showed of it.
    pub lenses: LensReadings,
    /// The process that it had of its own.
    pub process: Option<Process>,
}

/// The process of a guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Process {
    /// Which of the guests at once.
    pub index: u32,
    /// Which launch of the case.
    pub launch: u32,
    /// Everything but the result, which has moved to [`Launch::result`].
    pub guest: Guest,
}

impl From<Measured> for Launch {
    fn from(measured: Measured) -> Launch {
        Launch { result: Ok(measured.run), lenses: measured.lenses, process: None }
    }
}

impl Launch {
    /// A guest that nobody could run.
    pub fn not_started(reason: String) -> Launch {
        Launch { result: Err(Lost::NotStarted(reason)), lenses: LensReadings::default(), process: None }
    }
}

/// Lines of the console that a failed launch keeps.
const CONSOLE_TAIL_LINES: usize = 20;

/// And bytes: a line may be as long as the whole console.
const CONSOLE_TAIL_BYTES: usize = 4096;

/// A guest that has ended, without its samples: as many launches as there may be, what stays of each is bounded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reduced {
    /// What it left; its samples are gone.
    pub(super) launch: Launch,
    /// Its record.
    pub(super) record: LaunchRecord,
    /// Whether its samples make figures.
    pub(super) has_figures: bool,
    /// Samples, by channel, in the order of the columns.
    pub(super) channels: Vec<Distribution>,
    /// Samples of all channels that the host disturbed.
    pub(super) disturbed_samples: u64,
    /// Among several guests at once: when it made its round trips.
    pub(super) part: Option<Part>,
}

impl Reduced {
    /// Reduces a guest of `case` whose raw samples are in that file.
    pub fn new(case: &Case, mut launch: Launch, samples_file: Option<SamplesFile>) -> Reduced {
        let outcome = outcome_of(case, &launch);
        let has_figures = launch.result.as_ref().is_ok_and(|run| has_figures(case, run));
        let part = has_figures.then(|| part(case, &launch)).flatten();
        // Samples are what is large. They end with this function.
        let samples = launch.result.as_mut().map(|run| std::mem::take(&mut run.samples)).unwrap_or_default();
        let columns = case.parameters.workload.channels().len();
        let column = |index| samples.iter().skip(index).step_by(columns).map(|sample| marked(*sample));
        let channels: Vec<Distribution> = match has_figures {
            true => (0..columns).filter_map(|index| Distribution::of(column(index))).collect(),
            false => Vec::new(),
        };
        let disturbed_samples = samples.iter().filter(|sample| marked(**sample).1).count() as u64;
        let record = launch_record(case, &launch, outcome, &channels, samples_file);
        // What it has printed is in the record as far as it is needed.
        launch.result.iter_mut().for_each(|run| run.console = Vec::new());
        Reduced { launch, record, has_figures, channels, disturbed_samples, part }
    }

    /// What it left, if anything.
    pub(crate) fn run(&self) -> Option<&GuestRun> {
        self.launch.result.as_ref().ok()
    }
}

/// A raw sample without its mark, and the mark.
fn marked(sample: u64) -> Marked {
    (sample & !SAMPLE_DISTURBED, sample & SAMPLE_DISTURBED != 0)
}

/// Whether the samples of a run make figures: those that have the right shape, unless the run claims to be whole and is not.
fn has_figures(case: &Case, run: &GuestRun) -> bool {
    match run.outcome {
        Outcome::Finished { status: 0 } => claims::check(&case.parameters, run).is_ok(),
        _ => claims::check_shape(&case.parameters, run).is_ok(),
    }
}

fn outcome_of(case: &Case, launch: &Launch) -> OutcomeRecord {
    let run = match &launch.result {
        Ok(run) => run,
        Err(Lost::NotStarted(reason)) => return OutcomeRecord::NotStarted { reason: reason.clone() },
        Err(Lost::Died(reason)) => return OutcomeRecord::Lost { reason: reason.clone() },
    };
    let outcome = OutcomeRecord::from(&run.outcome);
    if !outcome.is_success() {
        return outcome;
    }
    match claims::check(&case.parameters, run) {
        Ok(()) => outcome,
        Err(Claim::Short { round_trips, asked }) => OutcomeRecord::Incomplete { round_trips, asked },
        Err(Claim::Impossible(reason)) => OutcomeRecord::Corrupt { reason },
    }
}

fn launch_record(
    case: &Case,
    launch: &Launch,
    outcome: OutcomeRecord,
    channels: &[Distribution],
    samples_file: Option<SamplesFile>,
) -> LaunchRecord {
    let process = process_record(launch);
    let Ok(run) = &launch.result else {
        return LaunchRecord {
            outcome,
            server_faults: Vec::new(),
            console_tail: None,
            round_trips: 0,
            median_ticks: IndexMap::new(),
            histograms: IndexMap::new(),
            measured_ticks: 0,
            measured_ns: None,
            together: None,
            create_ns: 0,
            boot_ns: None,
            stood_still_ns: None,
            samples_file: None,
            samples_every: None,
            process,
        };
    };
    let named = || case.parameters.workload.channels().iter().map(|name| (*name).to_owned()).zip(channels);
    LaunchRecord {
        console_tail: (!outcome.is_success()).then(|| console_tail(&run.console)).flatten(),
        outcome,
        server_faults: run.faults.iter().map(ServerFaultRecord::from).collect(),
        round_trips: run.round_trips,
        median_ticks: named().map(|(name, channel)| (name, channel.median())).collect(),
        histograms: named().filter_map(|(name, channel)| Some((name, channel.histogram()?))).collect(),
        measured_ticks: run.measured_ticks,
        measured_ns: run.measured_ns,
        together: together(&run.cpus, run.tsc_hz),
        create_ns: run.create_ns,
        boot_ns: run.boot_ns,
        stood_still_ns: Some(run.stood_still_ns).filter(|time| *time > 0),
        samples_every: samples_file.as_ref().map(|file| file.every),
        samples_file: samples_file.map(|file| file.path),
        process,
    }
}

fn console_tail(console: &[u8]) -> Option<String> {
    let end = console.trim_ascii_end();
    let is_cut = end.len() > CONSOLE_TAIL_BYTES;
    let kept = &end[end.len().saturating_sub(CONSOLE_TAIL_BYTES)..];
    // The cut may have left the rest of a character in front.
    let kept = &kept[kept.iter().take(3).take_while(|byte| is_cut && **byte & 0xc0 == 0x80).count()..];
    let text = String::from_utf8_lossy(kept);
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(CONSOLE_TAIL_LINES)..].join("\n");
    let is_cut_in_line = is_cut && lines.len() <= CONSOLE_TAIL_LINES;
    (!tail.is_empty()).then(|| if is_cut_in_line { format!("…{tail}") } else { tail })
}

#[cfg(test)]
#[path = "launch_tests.rs"]
mod tests;
