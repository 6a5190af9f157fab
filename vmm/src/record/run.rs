//! The records of `results.json`. `docs/results-files.md` describes them for those who read the file.
//!
//! Readers take what they know and leave the rest, so that fields can be added without a new [`VERSION`].

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::agreement::AgreementRecord;
use super::channel::{self, Channels};
use super::density::{DensityRecord, ProcessRecord};
use super::flush::FlushRecord;
use super::outcome::{OutcomeRecord, ServerFaultRecord};
use super::replayed::ReplayedRecord;
use super::together::TogetherRecord;
use crate::case::Parameters;
use crate::guest_image::GuestImage;
use crate::host::Timing;
use crate::record::quota::Quotas;
use crate::tlb::TlbReport;

/// Value of [`RunRecord::schema`].
pub const SCHEMA: &str = "inkbed-results";

/// Value of [`RunRecord::version`]: raised when a field changes its meaning or goes away.
pub const VERSION: u32 = 2;

/// One run of one experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`SCHEMA`].
    pub schema: String,
    /// [`VERSION`].
    pub version: u32,
    /// The program that wrote this.
    pub inkbed: ToolRecord,
    /// What was asked for.
    pub experiment: ExperimentRecord,
    /// When the run began, RFC 3339 in UTC.
    pub started_utc: String,
    /// When it ended; absent while it is under way, and for ever when it was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_utc: Option<String>,
    /// When it was gone on with, after it had been stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed: Vec<ResumedRecord>,
    /// How far it is.
    pub state: RunState,
    /// What the figures depend on.
    pub host: HostRecord,
    /// The guest.
    pub guest: GuestRecord,
    /// What the experiment asks for and this host does not have.
    #[serde(default)]
    pub absent: Vec<Absent>,
    /// Which part of the experiment it is, where several machines share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardRecord>,
    /// What it was merged of, if it is several runs in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<MergedRecord>,
    /// Cases that the run is to have.
    pub cases_planned: usize,
    /// Launches of all of them together; 0 in records of old.
    #[serde(default)]
    pub launches_planned: u64,
    /// Cases begun so far, each with the launches that have ended.
    #[serde(default)]
    pub cases: Vec<CaseRecord>,
}

/// That a run was gone on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumedRecord {
    /// When, RFC 3339 in UTC.
    pub at_utc: String,
    /// Launches that had ended before.
    pub launches_done: u64,
}

/// A part of an experiment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Which, from 1.
    pub index: u32,
    /// How many there are.
    pub of: u32,
    /// Names of the cases of all parts, in their order.
    pub cases: Vec<String>,
}

/// Several runs in one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MergedRecord {
    /// The runs.
    pub sources: Vec<SourceRecord>,
    /// Counts that are to be the same everywhere, and are not.
    pub findings: Vec<FindingRecord>,
}

/// One of the runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Its host, with all its facts.
    pub host: HostRecord,
    /// When it began, RFC 3339 in UTC.
    pub started_utc: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_utc: Option<String>,
    /// When it was gone on with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed: Vec<ResumedRecord>,
    /// Which part, such as `2/5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Its cases.
    pub cases: usize,
}

/// A count that two runs do not agree on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FindingRecord {
    /// Name of the case.
    pub case: String,
    /// Name of the count.
    pub count: String,
    /// The host of the first run that has the case.
    pub first_host: String,
    /// Per round trip, there.
    pub first: f64,
    /// The host of the other run.
    pub second_host: String,
    /// Per round trip, there.
    pub second: f64,
}

/// Which inkbed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolRecord {
    /// Version of the package.
    pub version: String,
    /// Version of the layouts shared with the guest.
    pub abi_version: u32,
}

/// The experiment file and what the command line changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExperimentRecord {
    /// Short name.
    pub name: String,
    /// The question.
    pub question: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The file as it was named.
    pub file: String,
    /// SHA-256 of its text.
    pub file_sha256: String,
    /// What each of several guests at once may take of the host's CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotas: Option<Quotas>,
    /// Values that the command line set, and the patterns that chose cases.
    #[serde(default)]
    pub overrides: BTreeMap<String, String>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Under way, or killed.
    Running,
    /// All planned cases were tried.
    Finished,
    /// The user stopped it.
    Interrupted,
}

/// The host, as far as figures depend on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Its name.
    pub name: String,
    /// CPU, KVM and kernel in one line.
    pub summary: String,
    /// Why ticks of code that passes through the kernel are no time; absent when they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing_problem: Option<String>,
    /// What makes times scatter here, or larger than elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timing_doubts: Vec<String>,
    /// The problem concerns ring 0 only: ring 3 runs on the hardware.
    #[serde(default)]
    pub user_timing_is_native: bool,
    /// The time-stamp counter counts instructions: every figure in ticks is an exact number of instructions.
    #[serde(default)]
    pub tsc_counts_instructions: bool,
    /// It counts one more for the end of each string instruction that is repeated: QEMU's translator.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tsc_counts_ends_of_repeats: bool,
    /// Number of its CPUs, 0 where that is not known.
    #[serde(default)]
    pub cpus: u32,
    /// Of these, the ones that vCPU threads may use: by the process's affinity mask, the cpuset of its control group and
    /// `--pin`; 0 where that is not known.
    #[serde(default)]
    pub usable_cpus: u32,
    /// Ways of counting that this host does not have, and why.
    #[serde(default)]
    pub absent_lenses: BTreeMap<String, String>,
    /// Everything else that `inkbed doctor --json` tells.
    #[serde(default)]
    pub facts: serde_json::Value,
}

/// The guest that was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestRecord {
    /// SHA-256 over kernel and programs.
    pub sha256: String,
    /// The same over the programs alone; absent in records of old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programs_sha256: Option<String>,
    /// Where the kernel came from, if not built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_file: Option<String>,
    /// Where the programs came from, if not built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers_folder: Option<String>,
}

/// Something that is not measured, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// What.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// One case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseRecord {
    /// Its name, unique in the run.
    pub name: String,
    /// The host that measured it, where a run has cases of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What was set.
    pub parameters: Parameters,
    /// How it ended: `finished` with status 0, or that of the first guest that ended otherwise.
    pub outcome: OutcomeRecord,
    /// Round trips measured, over all launches.
    pub round_trips: u64,
    /// Figures by the time-stamp counter, one entry per channel of the workload, in the order of the samples' columns.
    #[serde(alias = "cycles", with = "channel::list")]
    pub ticks: Channels,
    /// Why there are none, though the case was measured.
    #[serde(default, alias = "cycles_absent_reason", skip_serializing_if = "Option::is_none")]
    pub ticks_absent_reason: Option<String>,
    /// Samples during which the host gave the CPU to somebody else; absent where it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disturbed_samples: Option<u64>,
    /// Median of the empty clock pair where the client runs; part of every figure, never subtracted.
    #[serde(default, alias = "empty_pair_median_cycles", skip_serializing_if = "Option::is_none")]
    pub empty_pair_median_ticks: Option<u64>,
    /// Whether ticks are time.
    #[serde(flatten, with = "super::timing")]
    pub timing: Timing,
    /// The kernel's exact counters, summed over vCPUs and launches.
    pub counters: BTreeMap<String, CountRecord>,
    /// Calls besides the measured ones, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_calls: Option<OtherCallsRecord>,
    /// Of a replay, its requests and what they cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<ReplayedRecord>,
    /// Bytes of the guest's memory that were in use at the first mark, of the launch with the most.
    #[serde(default)]
    pub guest_memory_bytes: u64,
    /// Round trips per second of all threads that measured, mean over launches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trips_per_second: Option<f64>,
    /// The guest had more vCPUs than there were CPUs that their threads may use.
    #[serde(default)]
    pub is_overcommitted: bool,
    /// What the rule of the resident space says the counters must be.
    pub expected: ExpectedRecord,
    /// What several lenses have counted, side by side.
    #[serde(default)]
    pub agreements: Vec<AgreementRecord>,
    /// What could not be compared with the trace, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_compared: Vec<String>,
    /// What the traced round trips do to models of TLBs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tlb_models: Vec<TlbReport>,
    /// KVM's own statistics between the marks, summed over launches.
    #[serde(default)]
    pub kvm_stats: BTreeMap<String, u64>,
    /// Pages of each size by which KVM mapped guest memory at the second mark of the last launch, where it tells.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kvm_pages: BTreeMap<String, u64>,
    /// VM exits per round trip, where KVM counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kvm_exits_per_round_trip: Option<f64>,
    /// Time that vCPU threads were runnable without a host CPU, ns, summed over launches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_delay_ns: Option<u64>,
    /// The kernel's flush threshold, that of the last guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flush: Option<FlushRecord>,
    /// What many guests at once did to each other, where each had a process of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density: Option<DensityRecord>,
    /// CPU features that the kernel used.
    pub features: Vec<String>,
    /// Which ways of counting took part, and why the others did not.
    pub lenses: BTreeMap<String, LensRecord>,
    /// How much the last launch's median is above the first one's, as a share of it, by channel; for two launches and more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub drift: BTreeMap<String, f64>,
    /// One entry per guest.
    pub launches: Vec<LaunchRecord>,
}

/// A counter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountRecord {
    /// Between the two marks.
    pub total: u64,
    /// The same per round trip; absent without a round trip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_round_trip: Option<f64>,
}

/// Calls besides the measured ones, between the marks: of a thread that calls all the while, or to the other handlers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OtherCallsRecord {
    /// Answered: while servers were being moved, or after another handler had faulted.
    pub answered_meanwhile: CountRecord,
    /// Failed: the server was not there any more.
    pub failed: CountRecord,
}

/// What must come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedRecord {
    /// Loads of a page table that one round trip needs; absent where no rule gives their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_table_loads_per_round_trip: Option<u64>,
    /// Whether that came out; absent when the case was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agrees: Option<bool>,
}

/// A way of counting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LensRecord {
    /// Whether it took part.
    pub available: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Frequency of its clock, Hz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hz: Option<u64>,
    /// What it counted, one entry per launch, for lenses with counters of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<serde_json::Value>,
}

/// One guest of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaunchRecord {
    /// How it ended.
    pub outcome: OutcomeRecord,
    /// Servers that died in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server_faults: Vec<ServerFaultRecord>,
    /// Last lines of its console, if it ended badly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console_tail: Option<String>,
    /// Round trips measured.
    pub round_trips: u64,
    /// Median of each channel's samples, ticks, in the order of the columns.
    #[serde(default, alias = "median_cycles")]
    pub median_ticks: IndexMap<String, u64>,
    /// Samples of each channel, as a histogram: HdrHistogram V2, compressed, in base64.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub histograms: IndexMap<String, String>,
    /// Ticks between the marks.
    #[serde(alias = "measured_tsc_cycles")]
    pub measured_ticks: u64,
    /// Wall time between the marks, ns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_ns: Option<u64>,
    /// How its threads began and ended, where several measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<TogetherRecord>,
    /// Wall time from the start of the VMM's work to the first entry into the guest, ns.
    pub create_ns: u64,
    /// Wall time from there until all servers were loaded, ns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_ns: Option<u64>,
    /// Time in which the process that ran it was stopped, or the host suspended, ns: it moved the deadline, and is part of the wall
    /// times. Absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stood_still_ns: Option<u64>,
    /// Raw samples, relative to the results folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples_file: Option<String>,
    /// That file has the samples of each so many-th round trip: of each one, or of 20,000 at most. Absent in records of old, whose
    /// files have all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples_every: Option<u64>,
    /// The process of its own that it had among several guests at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessRecord>,
}

impl CaseRecord {
    /// Whether everything came out as it should.
    pub fn succeeded(&self) -> bool {
        self.outcome.is_success()
            && self.expected.agrees != Some(false)
            && self.disagreements().next().is_none()
    }

    /// What the lenses do not agree on.
    pub fn disagreements(&self) -> impl Iterator<Item = &AgreementRecord> {
        self.agreements.iter().filter(|agreement| !agreement.agrees)
    }

    /// A counter per round trip.
    pub fn per_round_trip(&self, counter: &str) -> Option<f64> {
        self.counters.get(counter)?.per_round_trip
    }
}

impl ToolRecord {
    /// This one.
    pub fn this() -> ToolRecord {
        ToolRecord { version: env!("CARGO_PKG_VERSION").to_owned(), abi_version: abi::VERSION }
    }
}

impl GuestRecord {
    /// That of a guest whose parts are all built in.
    pub fn of(image: &GuestImage) -> GuestRecord {
        GuestRecord {
            sha256: image.sha256(),
            programs_sha256: Some(image.programs_sha256()),
            kernel_file: None,
            servers_folder: None,
        }
    }
}

impl HostRecord {
    /// CPUs that vCPU threads may use, where anything is known about them. Records of old know the host's only.
    pub fn cpus_for_guests(&self) -> Option<u32> {
        [self.usable_cpus, self.cpus].into_iter().find(|cpus| *cpus > 0)
    }
}

impl CaseRecord {
    /// Launches that have ended: all guests at once are one.
    pub fn launches_done(&self) -> u64 {
        let numbers = self.launches.iter().filter_map(|launch| Some(launch.process.as_ref()?.launch));
        let of_crowds = numbers.collect::<BTreeSet<_>>().len();
        let alone = self.launches.iter().filter(|launch| launch.process.is_none()).count();
        (of_crowds + alone) as u64
    }

    /// Whether all its launches have ended.
    pub fn is_complete(&self) -> bool {
        self.launches_done() >= u64::from(self.parameters.launches)
    }
}

impl RunRecord {
    /// The record of a run that begins at `started_utc`, without a case yet.
    pub fn begun(
        experiment: ExperimentRecord,
        started_utc: String,
        host: HostRecord,
        guest: GuestRecord,
        absent: Vec<Absent>,
        cases_planned: usize,
    ) -> RunRecord {
        RunRecord {
            schema: SCHEMA.to_owned(),
            version: VERSION,
            inkbed: ToolRecord::this(),
            experiment,
            started_utc,
            finished_utc: None,
            resumed: Vec::new(),
            state: RunState::Running,
            host,
            guest,
            absent,
            shard: None,
            merged: None,
            cases_planned,
            launches_planned: 0,
            cases: Vec::new(),
        }
    }

    /// Launches that have ended, of all cases.
    pub fn launches_done(&self) -> u64 {
        self.cases.iter().map(CaseRecord::launches_done).sum()
    }

    /// How many cases have had all their launches.
    pub fn cases_complete(&self) -> usize {
        self.cases.iter().filter(|case| case.is_complete()).count()
    }

    /// Cases that did not come out as they should.
    pub fn failures(&self) -> impl Iterator<Item = &CaseRecord> {
        self.cases.iter().filter(|case| !case.succeeded())
    }
}
