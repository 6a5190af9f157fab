//! From what guests leave behind to the record of their case.

use std::collections::BTreeMap;

use abi::address::PAGE_SIZE;
use abi::report::{COUNTER_NAMES, Counters, feature};

use super::cause;
use super::density::density;
use super::launch::{Launch, Reduced};
use super::timing;
use crate::case::Case;
use crate::lens::agree::{agreements, not_compared};
use crate::lens::trace::Traced;
use crate::lens::{ALL, LensReadings, Seen};
use crate::machine::guest::GuestRun;
use crate::record::channel::{ChannelRecord, Channels, Undisturbed};
use crate::record::flush::FlushRecord;
use crate::record::outcome::OutcomeRecord;
use crate::record::replayed::ReplayedRecord;
use crate::record::run::{CaseRecord, CountRecord, ExpectedRecord, HostRecord, OtherCallsRecord};
use crate::statistics::at_once::Part;
use crate::statistics::distribution::Distribution;
use crate::statistics::rounded;
use crate::statistics::summary::{Summary, middle};
use crate::system::System;

/// The record of a case whose channels have these figures.
pub fn case_record(
    case: &Case,
    launches: &[Reduced],
    channels: Channels,
    traced: &Traced,
    host: &HostRecord,
) -> CaseRecord {
    let runs: Vec<&GuestRun> = launches.iter().filter_map(Reduced::run).collect();
    let round_trips = runs.iter().fold(0u64, |sum, run| sum.saturating_add(run.round_trips));
    let kvm_stats = sum_of_stats(&runs);
    let counters = counters(&runs, round_trips);
    let outcomes = || launches.iter().map(|launch| &launch.record.outcome);
    let successes: Vec<bool> = outcomes().map(OutcomeRecord::is_success).collect();
    let guests: Vec<(&Launch, Option<&Part>)> =
        launches.iter().map(|launch| (&launch.launch, launch.part.as_ref())).collect();
    let first_failure = outcomes().find(|outcome| !outcome.is_success());
    let timing = timing::judge(host, &case.parameters, &kvm_stats, round_trips);
    let system = case.parameters.system();
    let count = |name: &str| total(&counters, name);
    let by_cause = cause::agreements(&system, count, round_trips);
    let seen = Seen {
        host,
        traced,
        has_kvm_stats: !kvm_stats.is_empty(),
        tsc_hz: tsc_hz(launches),
        readings: readings(launches, |_| true),
        own_readings: readings(launches, |launch| launch.process.is_none()),
        round_trips,
        launches: runs.len() as u64,
        cpus: case.parameters.vcpus,
        rule_loads: system.page_table_loads_per_round_trip(),
        loads: match system.is_regular {
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
    };
    CaseRecord {
        name: case.name.clone(),
        host: None,
        parameters: case.parameters.clone(),
        outcome: first_failure.or(outcomes().next()).cloned().unwrap_or(OutcomeRecord::Interrupted),
        round_trips,
        ticks: channels,
        ticks_absent_reason: None,
        agreements: agreements(&seen).into_iter().chain(by_cause).collect(),
        not_compared: not_compared(&seen),
        tlb_models: Vec::new(),
        drift: BTreeMap::new(),
        disturbed_samples: disturbed_samples(launches, &runs),
        empty_pair_median_ticks: None,
        timing,
        other_calls: other_calls(case, &runs, round_trips),
        replayed: case.parameters.workload.requests(&case.parameters).map(ReplayedRecord::new),
        guest_memory_bytes: runs.iter().map(|run| run.frames_in_use * PAGE_SIZE).max().unwrap_or(0),
        round_trips_per_second: rate(launches),
        is_overcommitted: host.cpus_for_guests().is_some_and(|cpus| case.parameters.vcpus > cpus),
        expected: expected(&system, &counters, round_trips),
        kvm_pages: runs.last().map(|run| run.kvm_pages.clone()).unwrap_or_default(),
        kvm_exits_per_round_trip: kvm_stats
            .get("exits")
            .and_then(|exits| per_round_trip(*exits, round_trips)),
        run_delay_ns: sum_of_delays(&runs),
        flush: runs.iter().rev().find_map(|run| FlushRecord::new(&run.flush)),
        features: features(&runs),
        lenses: ALL.iter().map(|lens| (lens.name().to_owned(), lens.record(&seen))).collect(),
        density: density(case.parameters.guests, &guests, &successes),
        launches: launches.iter().map(|launch| launch.record.clone()).collect(),
        counters,
        kvm_stats,
    }
}

/// `None` where nobody can tell.
fn disturbed_samples(launches: &[Reduced], runs: &[&GuestRun]) -> Option<u64> {
    let is_told = !runs.is_empty() && runs.iter().all(|run| tells_steal_time(run));
    is_told.then(|| launches.iter().map(|launch| launch.disturbed_samples).sum())
}

/// Whether the kernel of a guest found KVM's steal time: without it no sample can be marked.
fn tells_steal_time(run: &GuestRun) -> bool {
    run.features & feature::STEAL_TIME != 0
}

/// The figures of all channels: over all samples, whatever disturbed them. To leave out those that had to wait would leave
/// the lucky ones.
pub fn channels(case: &Case, launches: &[Reduced]) -> Channels {
    let tsc_hz = tsc_hz(launches);
    let sound: Vec<&Reduced> = launches.iter().filter(|launch| launch.has_figures).collect();
    let is_marked = sound.iter().filter_map(|launch| launch.run()).all(tells_steal_time);
    let names = case.parameters.workload.channels().iter();
    let figures = names.enumerate().filter_map(|(index, name)| {
        let kept: Vec<&Distribution> = sound.iter().filter_map(|launch| launch.channels.get(index)).collect();
        let summary = Summary::over(&kept)?;
        let record = ChannelRecord {
            summary,
            undisturbed: is_marked.then(|| undisturbed(&kept)),
            median_ns: summary.median_ns(tsc_hz),
            ratio_to_all_user: None,
            ratio_to_lone_guest: None,
        };
        Some(((*name).to_owned(), record))
    });
    figures.collect()
}

fn undisturbed(launches: &[&Distribution]) -> Undisturbed {
    let figures = launches.iter().flat_map(|launch| launch.figures());
    let figures: Vec<(u64, u64)> = figures.map(|figure| (figure.value, figure.undisturbed)).collect();
    Undisturbed { count: figures.iter().map(|(_, count)| count).sum(), median: middle(figures) }
}

/// Of each launch of these that left anything.
fn readings(launches: &[Reduced], which: impl Fn(&Launch) -> bool) -> Vec<&LensReadings> {
    let launches = launches.iter().map(|reduced| &reduced.launch).filter(|launch| which(launch));
    launches.filter(|launch| launch.result.is_ok()).map(|launch| &launch.lenses).collect()
}

fn tsc_hz(launches: &[Reduced]) -> Option<u64> {
    launches.iter().filter_map(Reduced::run).map(|run| run.tsc_hz).find(|hz| *hz > 0)
}

fn per_round_trip(total: u64, round_trips: u64) -> Option<f64> {
    (round_trips > 0).then(|| total as f64 / round_trips as f64)
}

fn counters(runs: &[&GuestRun], round_trips: u64) -> BTreeMap<String, CountRecord> {
    let cpus = runs.iter().flat_map(|run| &run.cpus);
    let totals = cpus.fold(Counters::default(), |sum, cpu| sum.plus(&cpu.counted())).values();
    let record = |total| CountRecord { total, per_round_trip: per_round_trip(total, round_trips) };
    COUNTER_NAMES.iter().zip(totals).map(|(name, total)| ((*name).to_owned(), record(total))).collect()
}

fn total(counters: &BTreeMap<String, CountRecord>, name: &str) -> u64 {
    counters.get(name).map_or(0, |counter| counter.total)
}

fn expected(system: &System, counters: &BTreeMap<String, CountRecord>, round_trips: u64) -> ExpectedRecord {
    let loads = system.page_table_loads_per_round_trip();
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
    let has_others = case.parameters.workload.nature().counts_other_calls;
    has_others.then(|| OtherCallsRecord {
        answered_meanwhile: sum(|run| run.calls_answered_meanwhile),
        failed: sum(|run| run.calls_failed),
    })
}

/// Round trips per second, where wall time was taken.
fn rate(launches: &[Reduced]) -> Option<f64> {
    let sound = launches.iter().filter(|launch| launch.has_figures).filter_map(Reduced::run);
    let rates: Option<Vec<f64>> = sound
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

#[cfg(test)]
#[path = "case_tests.rs"]
mod tests;
