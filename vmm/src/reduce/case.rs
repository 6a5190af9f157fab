//! From what guests leave behind to the record of their case.

use std::collections::BTreeMap;

use abi::address::PAGE_SIZE;
use abi::report::{COUNTER_NAMES, Counters, feature};
use serde_json::Value;

use super::agreement::{Counted, Traced, agreements, not_compared};
use super::cause;
use super::density::density;
use super::launch::{Launch, Reduced};
use super::timing;
use crate::case::Case;
use crate::lens::Reading;
use crate::machine::guest::GuestRun;
use crate::record::channel::{ChannelRecord, Channels, Undisturbed};
use crate::record::flush::FlushRecord;
use crate::record::outcome::OutcomeRecord;
use crate::record::run::{CaseRecord, CountRecord, ExpectedRecord, HostRecord, LensRecord, OtherCallsRecord};
use crate::statistics::at_once::Part;
use crate::statistics::distribution::Distribution;
use crate::statistics::summary::{Summary, middle};
use crate::system::topology::Topology;
use crate::workload::Workload;

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
    let topology = Topology::of(&case.parameters);
    let count = |name: &str| total(&counters, name);
    let by_cause = cause::agreements(&topology, count, round_trips);
    let counted = Counted {
        round_trips,
        launches: runs.len() as u64,
        cpus: case.parameters.vcpus,
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
        pmu: launches.iter().filter_map(|launch| launch.launch.pmu.as_ref()).collect(),
    };
    CaseRecord {
        name: case.name.clone(),
        parameters: case.parameters.clone(),
        outcome: first_failure.or(outcomes().next()).cloned().unwrap_or(OutcomeRecord::Interrupted),
        round_trips,
        ticks: channels,
        ticks_absent_reason: None,
        agreements: agreements(&counted, traced).into_iter().chain(by_cause).collect(),
        not_compared: not_compared(&counted, traced),
        tlb_models: Vec::new(),
        drift: BTreeMap::new(),
        disturbed_samples: disturbed_samples(launches, &runs),
        empty_pair_median_ticks: None,
        timing,
        other_calls: other_calls(case, &runs, round_trips),
        guest_memory_bytes: runs.iter().map(|run| run.frames_in_use * PAGE_SIZE).max().unwrap_or(0),
        round_trips_per_second: rate(launches),
        is_overcommitted: host.cpus_for_guests().is_some_and(|cpus| case.parameters.vcpus > cpus),
        expected: expected(&topology, &counters, round_trips),
        kvm_pages: runs.last().map(|run| run.kvm_pages.clone()).unwrap_or_default(),
        kvm_exits_per_round_trip: kvm_stats
            .get("exits")
            .and_then(|exits| per_round_trip(*exits, round_trips)),
        run_delay_ns: sum_of_delays(&runs),
        flush: runs.iter().rev().find_map(|run| FlushRecord::new(&run.flush)),
        features: features(&runs),
        lenses: lenses(host, launches, traced, !kvm_stats.is_empty()),
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
            median_ns: median_ns(&summary, tsc_hz),
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

fn tsc_hz(launches: &[Reduced]) -> Option<u64> {
    launches.iter().filter_map(Reduced::run).map(|run| run.tsc_hz).find(|hz| *hz > 0)
}

/// The median in ns, where the frequency of the clock is known.
pub(crate) fn median_ns(summary: &Summary, tsc_hz: Option<u64>) -> Option<f64> {
    tsc_hz.map(|hz| rounded(summary.median as f64 * 1e9 / hz as f64, 1))
}

/// `value` with `digits` decimal places: more would claim a precision that is not there.
pub(crate) fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
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

fn lenses(
    host: &HostRecord,
    launches: &[Reduced],
    traced: &Traced,
    has_kvm_stats: bool,
) -> BTreeMap<String, LensRecord> {
    let counted = || launches.iter().map(|reduced| &reduced.launch).filter(|launch| launch.result.is_ok());
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
        ("tsc".to_owned(), present(tsc_hz(launches))),
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

#[cfg(test)]
#[path = "case_tests.rs"]
mod tests;
