//! From what guests leave behind to the record of their case.

use std::collections::BTreeMap;

use abi::address::PAGE_SIZE;
use abi::report::{COUNTER_NAMES, SAMPLE_DISTURBED, feature};
use indexmap::IndexMap;
use serde_json::Value;

use super::agreement::{Counted, Traced, agreements, not_compared};
use super::cause;
use super::channel::{ChannelRecord, Channels, Undisturbed};
use super::density::{density, process_record};
use super::flush::FlushRecord;
use super::outcome::{OutcomeRecord, ServerFaultRecord};
use super::record::{
    CaseRecord, CountRecord, ExpectedRecord, HostRecord, LaunchRecord, LensRecord, OtherCallsRecord,
};
use super::statistics::{Summary, quantile};
use super::timing;
use super::together::together;
use crate::experiment::case::Case;
use crate::experiment::claims::{self, Claim};
use crate::experiment::parameter::Workload;
use crate::experiment::topology::Topology;
use crate::guests::{Guest, Lost};
use crate::lens::{LensValues, Reading};
use crate::machine::guest::{GuestRun, Outcome};

/// One guest of a case.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What it left, or how it was lost.
    pub result: Result<GuestRun, Lost>,
    /// What its hardware counters showed.
    pub lenses: LensValues,
    /// The process that it had of its own.
    pub process: Option<Process>,
}

/// The process of a guest.
#[derive(Clone, Debug)]
pub struct Process {
    /// Which of the guests at once.
    pub index: u32,
    /// Which launch of the case.
    pub launch: u32,
    /// Everything but the result, which has moved to [`Launch::result`].
    pub guest: Guest,
}

impl From<Result<GuestRun, String>> for Launch {
    fn from(result: Result<GuestRun, String>) -> Launch {
        let lenses = result.as_ref().map_or_else(|_| LensValues::default(), |run| (&run.lenses).into());
        Launch { result: result.map_err(Lost::NotStarted), lenses, process: None }
    }
}

/// Lines of the console that a failed launch keeps.
const CONSOLE_TAIL_LINES: usize = 20;

/// And bytes: a line may be as long as the whole console.
const CONSOLE_TAIL_BYTES: usize = 4096;

/// The record of a case. `samples_files` names the raw samples of each launch that has any.
pub fn case_record(
    case: &Case,
    launches: &[Launch],
    traced: &Traced,
    samples_files: &[Option<String>],
    host: &HostRecord,
) -> CaseRecord {
    let runs: Vec<&GuestRun> = launches.iter().filter_map(|launch| launch.result.as_ref().ok()).collect();
    let round_trips = runs.iter().fold(0u64, |sum, run| sum.saturating_add(run.round_trips));
    let kvm_stats = sum_of_stats(&runs);
    let counters = counters(&runs, round_trips);
    let outcomes: Vec<OutcomeRecord> = launches.iter().map(|launch| outcome_of(case, launch)).collect();
    let successes: Vec<bool> = outcomes.iter().map(OutcomeRecord::is_success).collect();
    let first_failure = outcomes.iter().find(|outcome| !outcome.is_success());
    let timing = timing::judge(host, &case.parameters, &kvm_stats, round_trips);
    let tsc_hz = runs.iter().map(|run| run.tsc_hz).find(|hz| *hz > 0);
    let channels = channels(case, &runs, tsc_hz);
    let topology = Topology::of(&case.parameters);
    let count = |name: &str| total(&counters, name);
    let by_cause = cause::agreements(&topology, count, round_trips);
    let counted = Counted {
        round_trips,
        launches: runs.len() as u64,
        rule_loads: topology.page_table_loads_per_round_trip(),
        loads: match topology.is_regular {
            true => cause::loads_by_messages(count),
            false => count("page_table_loads").saturating_sub(count("page_table_loads_by_preemption")),
        },
        switches: count("context_switches").saturating_sub(count("context_switches_by_preemption")),
        timer_interrupts: count("timer_interrupts"),
        emulated: kvm_stats.get("insn_emulation").copied().filter(|_| host.user_timing_is_native),
        exits: kvm_stats.get("exits").copied().unwrap_or(0),
        clock_median: channels
            .get("round_trip")
            .filter(|_| host.tsc_counts_instructions)
            .and_then(ChannelRecord::median_without_others),
        pmu: runs.iter().filter_map(|run| run.lenses.pmu.counted()).collect(),
    };
    CaseRecord {
        name: case.name.clone(),
        parameters: case.parameters.clone(),
        outcome: first_failure.or(outcomes.first()).cloned().unwrap_or(OutcomeRecord::Interrupted),
        round_trips,
        ticks: channels,
        ticks_absent_reason: None,
        agreements: agreements(&counted, traced).into_iter().chain(by_cause).collect(),
        not_compared: not_compared(&counted, traced),
        tlb_models: Vec::new(),
        drift: BTreeMap::new(),
        disturbed_samples: disturbed_samples(&runs),
        empty_pair_median_ticks: None,
        timing,
        other_calls: other_calls(case, &runs, round_trips),
        guest_memory_bytes: runs.iter().map(|run| run.frames_in_use * PAGE_SIZE).max().unwrap_or(0),
        round_trips_per_second: rate(case, &runs),
        is_overcommitted: host.cpus_for_guests().is_some_and(|cpus| case.parameters.vcpus > cpus),
        expected: expected(&topology, &counters, round_trips),
        kvm_pages: runs.last().map(|run| run.kvm_pages.clone()).unwrap_or_default(),
        kvm_exits_per_round_trip: kvm_stats
            .get("exits")
            .and_then(|exits| per_round_trip(*exits, round_trips)),
        run_delay_ns: sum_of_delays(&runs),
        flush: runs.iter().rev().find_map(|run| FlushRecord::new(&run.flush)),
        features: features(&runs),
        lenses: lenses(host, launches, traced, tsc_hz, !kvm_stats.is_empty()),
        density: density(case.parameters.guests, launches, &successes),
        launches: launches
            .iter()
            .zip(outcomes.iter().cloned())
            .enumerate()
            .map(|(index, (launch, outcome))| {
                launch_record(case, launch, outcome, samples_files.get(index).cloned().flatten())
            })
            .collect(),
        counters,
        kvm_stats,
    }
}

/// Whether the samples of a run make figures: those that have the right shape, unless the run claims to be whole and is not.
fn has_figures(case: &Case, run: &GuestRun) -> bool {
    match run.outcome {
        Outcome::Finished { status: 0 } => claims::check(&case.parameters, run).is_ok(),
        _ => claims::check_shape(&case.parameters, run).is_ok(),
    }
}

fn is_disturbed(sample: u64) -> bool {
    sample & SAMPLE_DISTURBED != 0
}

/// Whether the kernel of a guest found KVM's steal time: without it no sample can be marked.
fn tells_steal_time(run: &GuestRun) -> bool {
    run.features & feature::STEAL_TIME != 0
}

/// `None` where nobody can tell.
fn disturbed_samples(runs: &[&GuestRun]) -> Option<u64> {
    let count = |run: &&GuestRun| run.samples.iter().filter(|sample| is_disturbed(**sample)).count() as u64;
    (!runs.is_empty() && runs.iter().all(|run| tells_steal_time(run))).then(|| runs.iter().map(count).sum())
}

/// The samples of the channel with this index, with their marks, of a run whose samples have been checked.
fn marked_samples<'run>(
    case: &Case,
    run: &'run GuestRun,
    channel: usize,
) -> impl Iterator<Item = u64> + 'run {
    let rows = run.samples.chunks_exact(case.parameters.workload.channels().len());
    rows.map(move |row| row[channel])
}

/// The same without the marks.
fn samples_of<'run>(case: &Case, run: &'run GuestRun, channel: usize) -> impl Iterator<Item = u64> + 'run {
    marked_samples(case, run, channel).map(|sample| sample & !SAMPLE_DISTURBED)
}

/// The figures of all channels: over all samples, whatever disturbed them. To leave out those that had to wait would leave
/// the lucky ones.
fn channels(case: &Case, runs: &[&GuestRun], tsc_hz: Option<u64>) -> Channels {
    let sound: Vec<&GuestRun> = runs.iter().copied().filter(|run| has_figures(case, run)).collect();
    let names = case.parameters.workload.channels().iter();
    let figures = names.enumerate().filter_map(|(index, name)| {
        let launches: Vec<Vec<u64>> =
            sound.iter().map(|run| samples_of(case, run, index).collect()).collect();
        let summary = Summary::of(&launches)?;
        let record = ChannelRecord {
            summary,
            undisturbed: undisturbed(case, &sound, index),
            median_ns: median_ns(&summary, tsc_hz),
            ratio_to_all_user: None,
            ratio_to_lone_guest: None,
        };
        Some(((*name).to_owned(), record))
    });
    figures.collect()
}

fn undisturbed(case: &Case, runs: &[&GuestRun], channel: usize) -> Option<Undisturbed> {
    if !runs.iter().all(|run| tells_steal_time(run)) {
        return None;
    }
    let marked = runs.iter().flat_map(|run| marked_samples(case, run, channel));
    let samples: Vec<u64> = marked.filter(|sample| !is_disturbed(*sample)).collect();
    Some(Undisturbed { count: samples.len() as u64, median: median(samples) })
}

fn median(mut samples: Vec<u64>) -> Option<u64> {
    samples.sort_unstable();
    (!samples.is_empty()).then(|| quantile(&samples, 50))
}

/// The median in ns, where the frequency of the clock is known.
pub(super) fn median_ns(summary: &Summary, tsc_hz: Option<u64>) -> Option<f64> {
    tsc_hz.map(|hz| rounded(summary.median as f64 * 1e9 / hz as f64, 1))
}

/// `value` with `digits` decimal places: more would claim a precision that is not there.
pub(super) fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

fn per_round_trip(total: u64, round_trips: u64) -> Option<f64> {
    (round_trips > 0).then(|| total as f64 / round_trips as f64)
}

fn counters(runs: &[&GuestRun], round_trips: u64) -> BTreeMap<String, CountRecord> {
    let mut totals = [0u64; COUNTER_NAMES.len()];
    for cpu in runs.iter().flat_map(|run| &run.cpus) {
        for (total, (begin, end)) in
            totals.iter_mut().zip(cpu.begin.values().into_iter().zip(cpu.end.values()))
        {
            // A guest may claim anything, even a counter that runs backwards.
            *total = total.saturating_add(end.saturating_sub(begin));
        }
    }
    let record = |total| CountRecord { total, per_round_trip: per_round_trip(total, round_trips) };
    COUNTER_NAMES.iter().zip(totals).map(|(name, total)| ((*name).to_owned(), record(total))).collect()
}

fn total(counters: &BTreeMap<String, CountRecord>, name: &str) -> u64 {
    counters.get(name).map_or(0, |counter| counter.total)
}

fn expected(
    topology: &Topology,
    counters: &BTreeMap<String, CountRecord>,
    round_trips: u64,
) -> ExpectedRecord {
    let loads = topology.page_table_loads_per_round_trip();
    let counted = (round_trips > 0).then(|| cause::loads_by_messages(|name| total(counters, name)));
    ExpectedRecord {
        page_table_loads_per_round_trip: loads,
        agrees: counted.zip(loads).map(|(counted, loads)| Some(counted) == loads.checked_mul(round_trips)),
    }
}

fn other_calls(case: &Case, runs: &[&GuestRun], round_trips: u64) -> Option<OtherCallsRecord> {
    let sum = |field: fn(&GuestRun) -> u64| {
        let total = runs.iter().fold(0u64, |sum, run| sum.saturating_add(field(run)));
        CountRecord { total, per_round_trip: per_round_trip(total, round_trips) }
    };
    let has_others = matches!(
        case.parameters.workload,
        Workload::MigrateUnderLoad | Workload::HandlerFault | Workload::Reach
    );
    has_others.then(|| OtherCallsRecord {
        answered_meanwhile: sum(|run| run.calls_answered_meanwhile),
        failed: sum(|run| run.calls_failed),
    })
}

/// Round trips per second, where wall time was taken.
fn rate(case: &Case, runs: &[&GuestRun]) -> Option<f64> {
    let rates: Option<Vec<f64>> = runs
        .iter()
        .filter(|run| has_figures(case, run))
        .map(|run| Some(run.round_trips as f64 * 1e9 / run.measured_ns.filter(|ns| *ns > 0)? as f64))
        .collect();
    let rates = rates.filter(|rates| !rates.is_empty())?;
    Some(rounded(rates.iter().sum::<f64>() / rates.len() as f64, 1))
}

fn sum_of_stats(runs: &[&GuestRun]) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (name, value) in runs.iter().flat_map(|run| &run.kvm_stats) {
        let sum: &mut u64 = sums.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*value);
    }
    sums
}

/// `None` when a launch does not know its own, or there is none.
fn sum_of_delays(runs: &[&GuestRun]) -> Option<u64> {
    if runs.is_empty() { None } else { runs.iter().map(|run| run.run_delay_ns).sum() }
}

fn features(runs: &[&GuestRun]) -> Vec<String> {
    let bits = runs.iter().fold(0, |bits, run| bits | run.features);
    feature::NAMES.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| (*name).to_owned()).collect()
}

fn lenses(
    host: &HostRecord,
    launches: &[Launch],
    traced: &Traced,
    tsc_hz: Option<u64>,
    has_kvm_stats: bool,
) -> BTreeMap<String, LensRecord> {
    let counted = || launches.iter().filter(|launch| launch.result.is_ok());
    let present = |hz| LensRecord { available: true, reason: None, hz, readings: Vec::new() };
    let kvm = if has_kvm_stats {
        present(None)
    } else {
        // Statistics are taken at both marks.
        let case = || "no guest of this case came to its second mark".to_owned();
        absent_lens(host.absent_lenses.get("kvm").cloned().unwrap_or_else(case))
    };
    let trace = match traced {
        Ok(summary) => {
            let readings = serde_json::to_value(summary).into_iter().collect();
            LensRecord { readings, ..present(None) }
        }
        Err(absent) => absent_lens(absent.reason.clone()),
    };
    BTreeMap::from([
        ("tsc".to_owned(), present(tsc_hz)),
        ("kernel".to_owned(), present(None)),
        ("kvm".to_owned(), kvm),
        ("pmu".to_owned(), counters_lens(host, "pmu", counted().map(|launch| &launch.lenses.pmu))),
        ("perf".to_owned(), counters_lens(host, "perf", counted().map(|launch| &launch.lenses.perf))),
        ("trace".to_owned(), trace),
    ])
}

fn absent_lens(reason: String) -> LensRecord {
    LensRecord { available: false, reason: Some(reason), hz: None, readings: Vec::new() }
}

/// A lens that reads hardware counters: there if it counted in every launch.
fn counters_lens<'run>(
    host: &HostRecord,
    name: &str,
    readings: impl Iterator<Item = &'run Reading<Value>>,
) -> LensRecord {
    let mut counted = Vec::new();
    for reading in readings {
        match reading {
            Reading::Counted(count) => counted.push(count.clone()),
            // What the host cannot do at all is the better reason.
            Reading::Absent { reason, .. } => {
                return absent_lens(host.absent_lenses.get(name).unwrap_or(reason).clone());
            }
        }
    }
    if counted.is_empty() {
        return absent_lens("no guest of this case ended".to_owned());
    }
    LensRecord { available: true, reason: None, hz: None, readings: counted }
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
    samples_file: Option<String>,
) -> LaunchRecord {
    let process = process_record(launch);
    let Ok(run) = &launch.result else {
        return LaunchRecord {
            outcome,
            server_faults: Vec::new(),
            console_tail: None,
            round_trips: 0,
            median_ticks: IndexMap::new(),
            measured_ticks: 0,
            measured_ns: None,
            together: None,
            create_ns: 0,
            boot_ns: None,
            stood_still_ns: None,
            samples_file: None,
            process,
        };
    };
    let channels = case.parameters.workload.channels().iter().enumerate();
    let medians = channels.filter(|_| has_figures(case, run)).filter_map(|(index, name)| {
        Some(((*name).to_owned(), median(samples_of(case, run, index).collect())?))
    });
    LaunchRecord {
        console_tail: (!outcome.is_success()).then(|| console_tail(&run.console)).flatten(),
        outcome,
        server_faults: run.faults.iter().map(ServerFaultRecord::from).collect(),
        round_trips: run.round_trips,
        median_ticks: medians.collect(),
        measured_ticks: run.measured_ticks,
        measured_ns: run.measured_ns,
        together: together(&run.cpus, run.tsc_hz),
        create_ns: run.create_ns,
        boot_ns: run.boot_ns,
        stood_still_ns: Some(run.stood_still_ns).filter(|time| *time > 0),
        samples_file,
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
#[path = "reduce_tests.rs"]
mod tests;
