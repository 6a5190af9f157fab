//! Checks of the clock, and of what is found by it.

use super::check::{Evidence, Finding};
use crate::lens::tsc;
use crate::record::run::LaunchRecord;

/// How far the rate of the guest's clock may be from that which KVM tells: what the marks take is part of one of the two times.
const RATE_TOLERANCE: f64 = 0.05;

/// Shorter measured parts say nothing about the rate, ns: the marks take too much of them.
const MEASURED_NS_MIN: u64 = 10_000_000;

/// Ticks against ns, in the launch in which they are closest: the host may have taken the CPU away at a mark.
pub(super) fn rate(evidence: &Evidence<'_>) -> Finding {
    if let Some(failure) = evidence.failure() {
        return failure;
    }
    if evidence.host.tsc_counts_instructions {
        return Finding::not_possible(evidence.facts.timing.reasons().join("; "));
    }
    let case = &evidence.cases[0];
    let Some(hz) = case.lenses.get(tsc::NAME).and_then(|lens| lens.hz).filter(|hz| *hz > 0) else {
        return Finding::not_possible("KVM does not tell the frequency of a guest's clock");
    };
    let ratio = |launch: &LaunchRecord| {
        let by_clock = launch.measured_ticks as f64 * 1e9 / hz as f64;
        Some(by_clock / launch.measured_ns.filter(|ns| *ns >= MEASURED_NS_MIN)? as f64)
    };
    let ratios = case.launches.iter().filter_map(ratio);
    let Some(closest) = ratios.min_by(|a, b| (a - 1.0).abs().total_cmp(&(b - 1.0).abs())) else {
        return Finding::not_possible(format!("no guest measured for {} ms", MEASURED_NS_MIN / 1_000_000));
    };
    let pair = case.ticks.values().next().map(|channel| channel.summary.median);
    let found = format!(
        "{} kHz; the guest's time is {:.4} of the host's; two clock reads with nothing between take {} ticks",
        hz / 1000,
        closest,
        pair.map_or("an unknown number of".to_owned(), |ticks| ticks.to_string())
    );
    if (closest - 1.0).abs() <= RATE_TOLERANCE { Finding::agrees(found) } else { Finding::differs(found) }
}

/// Two CPUs that measure between the same two marks: their clocks are apart by no more than the time between the marks, and none
/// runs backwards.
pub(super) fn between_cpus(evidence: &Evidence<'_>) -> Finding {
    if let Some(failure) = evidence.failure() {
        return failure;
    }
    if evidence.host.cpus_for_guests().is_some_and(|cpus| cpus < 2) {
        return Finding::not_possible("vCPUs may use one host CPU only, which has one clock");
    }
    let mut greatest = 0;
    for launch in evidence.cases.iter().flat_map(|case| &case.launches) {
        let Some(together) = &launch.together else {
            return Finding::differs("a thread's measured part ended before it began, by its own clock");
        };
        if together.start_spread_ticks > launch.measured_ticks {
            return Finding::differs(format!(
                "the threads began {} ticks apart, within {} ticks between the marks",
                together.start_spread_ticks, launch.measured_ticks
            ));
        }
        greatest = greatest.max(together.start_spread_ticks);
    }
    Finding::agrees(format!(
        "the threads began at most {greatest} ticks apart, between the marks of the first CPU"
    ))
}

pub(super) fn flush_threshold(evidence: &Evidence<'_>) -> Finding {
    if let Some(failure) = evidence.failure() {
        return failure;
    }
    let Some(flush) = &evidence.cases[0].flush else {
        return Finding::differs("the kernel has told no threshold");
    };
    let pages = flush.threshold_pages.unwrap_or(0);
    match (flush.measured, evidence.facts.timing.is_time()) {
        (true, _) => Finding::agrees(format!("{pages} pages, {}", flush.reason)),
        (false, true) => {
            Finding::differs(format!("{pages} pages, {}, though ring 0 is native here", flush.reason))
        }
        (false, false) => Finding::not_possible(format!("{pages} pages, {}", flush.reason)),
    }
}

pub(super) fn steal_time(evidence: &Evidence<'_>) -> Finding {
    if let Some(failure) = evidence.failure() {
        return failure;
    }
    match evidence.has_feature("steal-time") {
        true => Finding::agrees("the guest reads KVM's record of it"),
        false => Finding::not_possible("KVM tells guests no steal time here"),
    }
}
