//! What a reader must know about a run besides its figures.

use std::collections::BTreeMap;

use abi::report::STEAL_FLOOR_NS;

use super::{format, preemption};
use crate::case::workload::Moves;
use crate::host::Timing;
use crate::lens::agree::InWords;
use crate::lens::trace;
use crate::machine::guest::HugePages;
use crate::record::agreement::PAGE_TABLE_LOADS;
use crate::record::density::DensityRecord;
use crate::record::run::{CaseRecord, FindingRecord, RunRecord, RunState};
use crate::reduce::cause;
use crate::run::until::Precision;
use crate::statistics::at_once::NotAtOnce;

/// The notes of a run, most important first; `run` is what tables show of what was `measured`.
pub fn notes(run: &RunRecord, measured: &RunRecord) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(failures(run));
    notes.extend(crate::report::ticks::note(measured, run));
    notes.extend(timing(run));
    notes.extend(disagreements(run));
    notes.extend(findings(run));
    notes.extend(unfinished(run));
    notes.extend(not_narrow(run));
    notes.extend(overcommitted(run));
    notes.extend(huge_pages(run));
    notes.extend(stood_still(run));
    notes.extend(disturbed(run));
    notes.extend(no_steal_time(run));
    notes.extend(without_figures(run));
    notes.extend(at_once(run));
    notes.extend(preemption::note(run));
    notes.extend(flush_thresholds(run));
    notes.extend(crate::report::traced::notes(run));
    notes.extend(not_compared(run));
    notes.extend(absent_lenses(run));
    notes.extend(not_on_this_host(run));
    notes.extend(crate::report::tlb::note(run));
    notes.extend(crate::report::schemes::note(run));
    notes.extend(explanations(run));
    notes
}

fn failures(run: &RunRecord) -> impl Iterator<Item = String> {
    let failed = run.cases.iter().filter(|case| !case.outcome.is_success());
    failed.map(|case| format!("FAILED {}: {}.", case.name, case.outcome))
}

/// What machines do not agree on.
fn findings(run: &RunRecord) -> impl Iterator<Item = String> {
    let findings = run.merged.iter().flat_map(|merged| &merged.findings);
    findings.map(|finding| {
        let FindingRecord { case, count, first_host, first, second_host, second } = finding;
        let count = count.replace('_', " ");
        format!(
            "(!) {case}: {} {count} per round trip on {first_host}, {} on {second_host}; it must be the same everywhere.",
            format::count(*first),
            format::count(*second)
        )
    })
}

fn disagreements(run: &RunRecord) -> impl Iterator<Item = String> {
    run.cases.iter().flat_map(|case| {
        let name = &case.name;
        let loads = (case.expected.agrees == Some(false)).then(|| {
            let counted = cause::loads_by_messages(|name| case.counters.get(name).map_or(0, |count| count.total));
            let counted = counted as f64 / case.round_trips.max(1) as f64;
            let expected = case.expected.page_table_loads_per_round_trip.unwrap_or_default();
            format!(
                "(!) {name}: {} page-table loads per round trip were counted; the rule of the resident space says {expected}.",
                format::count(counted),
            )
        });
        let lenses = case.disagreements().filter(|row| loads.is_none() || row.what != PAGE_TABLE_LOADS || row.counts.len() > 2);
        let lenses: Vec<String> =
            lenses.map(|row| format!("(!) {name}: the lenses do not agree: {}.", InWords(row))).collect();
        loads.into_iter().chain(lenses)
    })
}

/// What is to be known of the ticks that are shown: one note for all cases with the same verdict.
fn timing(run: &RunRecord) -> Vec<String> {
    let mut by_verdict: Vec<(&Timing, usize)> = Vec::new();
    for case in run.cases.iter().filter(|case| !case.ticks.is_empty()) {
        match by_verdict.iter_mut().find(|(verdict, _)| *verdict == &case.timing) {
            Some((_, cases)) => *cases += 1,
            None => by_verdict.push((&case.timing, 1)),
        }
    }
    let note = |(timing, cases): (&Timing, usize)| {
        let reasons = timing.reasons().join("; ");
        let of = format!("({cases} of {} cases)", run.cases.len());
        match timing {
            Timing::Valid => None,
            Timing::Doubtful { .. } => Some(format!(
                "Times are valid, with doubts: {reasons}. `inkbed doctor` tells what helps. {of}"
            )),
            Timing::Invalid { .. } => Some(format!("* no time: {reasons}. Counts are exact. {of}")),
        }
    };
    by_verdict.into_iter().filter_map(note).collect()
}

fn unfinished(run: &RunRecord) -> Option<String> {
    let done = run.cases_complete();
    // Records of old do not know how many launches they were to have.
    let launches = match run.launches_planned {
        0 => String::new(),
        planned => format!(" and {} of {planned} launches", run.launches_done()),
    };
    let done = format!("{done} of {} cases{launches}", run.cases_planned);
    match run.state {
        RunState::Finished => None,
        RunState::Interrupted => Some(format!("Interrupted: {done} were measured.")),
        RunState::Running => Some(format!("Under way, or killed: {done} are there so far.")),
    }
}

/// Cases that had all launches that they might have, and are not as sure as was asked for.
fn not_narrow(run: &RunRecord) -> Option<String> {
    let precision: Precision = run.experiment.overrides.get("until")?.parse().ok()?;
    let is_wide = |case: &&CaseRecord| !case.ticks.is_empty() && !precision.is_met_by(&case.ticks);
    let wide: Vec<&str> = run.cases.iter().filter(is_wide).map(|case| case.name.as_str()).collect();
    let is_time = run.host.timing_problem.is_none();
    (is_time && !wide.is_empty()).then(|| {
        format!(
            "{precision} was not reached in {} of {} cases: {}.",
            wide.len(),
            run.cases.len(),
            wide.join(", ")
        )
    })
}

fn overcommitted(run: &RunRecord) -> Option<String> {
    let cases = run.cases.iter().filter(|case| case.is_overcommitted).count();
    let cpus = run.host.cpus_for_guests().unwrap_or(0);
    (cases > 0).then(|| {
        format!(
            "° overcommitted: more vCPUs than the {cpus} CPUs that their threads may use, so they run in turn; counts are exact, times include \
             waiting. ({cases} of {} cases)",
            run.cases.len()
        )
    })
}

/// What KVM made of huge pages where they were asked for.
fn huge_pages(run: &RunRecord) -> impl Iterator<Item = String> {
    let asked = run.cases.iter().filter(|case| case.parameters.huge_pages != HugePages::No);
    asked.filter_map(|case| {
        let pages = |size: &str| case.kvm_pages.get(size).copied();
        let (small, huge) = (pages("pages_4k")?, pages("pages_2m")?);
        let name = &case.name;
        Some(format!(
            "{name}: KVM mapped guest memory by {} pages of 2 MiB and {} of 4 KiB.",
            format::grouped(huge),
            format::grouped(small)
        ))
    })
}

fn stood_still(run: &RunRecord) -> Option<String> {
    let times = run.cases.iter().flat_map(|case| &case.launches).filter_map(|launch| launch.stood_still_ns);
    let (guests, ns) = times.fold((0, 0u64), |(guests, sum), ns| (guests + 1, sum.saturating_add(ns)));
    (guests > 0).then(|| {
        format!(
            "inkbed stood still for {:.1} s while {guests} {} ran: it was stopped, or the host suspended. Deadlines have moved by \
             as much; wall times include it.",
            ns as f64 / 1e9,
            if guests == 1 { "guest" } else { "guests" }
        )
    })
}

fn disturbed(run: &RunRecord) -> Option<String> {
    let shown = || run.cases.iter().filter(|case| !case.ticks.is_empty());
    let known = || shown().filter_map(|case| Some((case, case.disturbed_samples?)));
    // A record may say anything, even more than there can be.
    let disturbed = known().map(|(_, disturbed)| disturbed).fold(0, u64::saturating_add);
    let samples =
        |case: &CaseRecord| case.round_trips.saturating_mul(case.parameters.workload.channels().len() as u64);
    let all = known().map(|(case, _)| samples(case)).fold(0, u64::saturating_add);
    (disturbed > 0).then(|| {
        format!(
            "{} of {} samples were disturbed: the host let a vCPU wait for more than {} µs meanwhile. All figures are over \
             all samples; what the others say stands beside them.",
            format::grouped(disturbed),
            format::grouped(all),
            STEAL_FLOOR_NS / 1000,
        )
    })
}

/// Cases of which nobody knows what the host disturbed.
fn no_steal_time(run: &RunRecord) -> Option<String> {
    // Nothing disturbs a translator that counts instructions.
    if run.host.tsc_counts_ends_of_repeats {
        return None;
    }
    let measured = || run.cases.iter().filter(|case| !case.ticks.is_empty());
    let unknown: Vec<&CaseRecord> = measured().filter(|case| case.disturbed_samples.is_none()).collect();
    let reason = if unknown.iter().any(|case| case.features.iter().any(|feature| feature == "steal-time")) {
        "the record is of version 1, whose marks tell no cause"
    } else {
        "KVM tells these guests no steal time"
    };
    (!unknown.is_empty()).then(|| {
        let (unknown, measured) = (unknown.len(), measured().count());
        format!("Which samples the host disturbed is not known: {reason}. ({unknown} of {measured} cases)")
    })
}

/// Figures that a record of an older form does not have.
fn without_figures(run: &RunRecord) -> Vec<String> {
    let mut cases: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for case in &run.cases {
        if let Some(reason) = &case.ticks_absent_reason {
            cases.entry(reason).or_default().push(&case.name);
        }
    }
    cases
        .into_iter()
        .map(|(reason, names)| format!("No ticks of {}: {reason}.", format::some_of(&names)))
        .collect()
}

/// What the throughput of several guests is, and why some have none.
fn at_once(run: &RunRecord) -> Vec<String> {
    let crowds: Vec<&DensityRecord> = run
        .cases
        .iter()
        .filter_map(|case| case.density.as_ref())
        .filter(|density| density.guests > 1)
        .collect();
    let of_all = |count: usize| format!("({count} of {} cases with several guests)", crowds.len());
    let mut notes = Vec::new();
    if crowds.iter().any(|density| density.overlap.is_some()) {
        notes.push(
            "Measured together: the time in which all guests called, as a share of the longest measured part. Round trips/s, fairness and \
             fastest by slowest are of the time in which all of them measured."
                .to_owned(),
        );
    }
    let mut reasons: BTreeMap<NotAtOnce, usize> = BTreeMap::new();
    crowds
        .iter()
        .filter_map(|density| density.not_at_once)
        .for_each(|reason| *reasons.entry(reason).or_default() += 1);
    notes.extend(
        reasons
            .into_iter()
            .map(|(reason, count)| format!("No throughput of all guests: {reason}. {}", of_all(count))),
    );
    let evenly = crowds.iter().filter(|density| density.lie_evenly).count();
    if evenly > 0 {
        notes.push(format!(
            "Samples were missing, so round trips were taken to lie evenly between the marks. {}",
            of_all(evenly)
        ));
    }
    notes
}

/// The flush thresholds of cases in which pages were flushed.
fn flush_thresholds(run: &RunRecord) -> Vec<String> {
    let mut notes: BTreeMap<String, usize> = BTreeMap::new();
    let migrating =
        run.cases.iter().filter(|case| case.parameters.workload.nature().moves == Moves::EveryRoundTrip);
    for flush in
        migrating.filter_map(|case| case.flush.as_ref()).filter(|flush| flush.threshold_pages != Some(0))
    {
        if let Some(pages) = flush.threshold_pages {
            *notes.entry(format!("Flush threshold: {pages} pages, {}", flush.reason)).or_default() += 1;
        }
    }
    notes.into_iter().map(|(note, cases)| format!("{note}. ({cases} of {} cases)", run.cases.len())).collect()
}

/// What this host does not have, in one line; `inkbed doctor` is the place for reasons.
fn not_on_this_host(run: &RunRecord) -> Option<String> {
    const NAMED: usize = 3;
    let cases: Vec<&str> = run.absent.iter().map(|absent| absent.what.as_str()).collect();
    let mut missing = cases[..cases.len().min(NAMED)].to_vec();
    let more = format!("{} more cases", cases.len().saturating_sub(NAMED));
    if cases.len() > NAMED {
        missing.push(&more);
    }
    let lenses: Vec<&str> = run.host.absent_lenses.keys().map(String::as_str).collect();
    let noun = if lenses.len() == 1 { "lens" } else { "lenses" };
    let lenses = format!("the {noun} {}", lenses.join(" and "));
    if !run.host.absent_lenses.is_empty() {
        missing.push(&lenses);
    }
    (!missing.is_empty())
        .then(|| format!("Not on this host: {}. `inkbed doctor` tells why.", missing.join(", ")))
}

/// How reasons begin that nobody needs to be told.
const NOT_ASKED_FOR: &str = "not asked for";

/// Lenses that did not count although this host has them and they were asked for, by reason; with the cases, where it is not
/// so in all of them.
fn absent_lenses(run: &RunRecord) -> Vec<String> {
    let mut by_reason: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for case in &run.cases {
        for (name, lens) in &case.lenses {
            // Told elsewhere: what the host lacks, and cases that were to be traced.
            let is_told = run.host.absent_lenses.contains_key(name)
                || name == trace::NAME && case.parameters.trace_round_trips > 0;
            if let (false, Some(reason)) = (lens.available || is_told, &lens.reason)
                && !reason.starts_with(NOT_ASKED_FOR)
            {
                by_reason.entry(reason).or_default().entry(name).or_default().push(&case.name);
            }
        }
    }
    let mut notes = Vec::new();
    for (reason, lenses) in by_reason {
        let (everywhere, in_some): (Vec<_>, Vec<_>) =
            lenses.into_iter().partition(|(_, cases)| cases.len() == run.cases.len());
        let names: Vec<&str> = everywhere.iter().map(|(name, _)| *name).collect();
        notes.extend((!names.is_empty()).then(|| format!("Not counted: {}: {reason}.", names.join(", "))));
        for (name, cases) in in_some {
            notes.push(format!("Not counted: {name}: {reason}. ({})", some_of(&cases, run)));
        }
    }
    notes
}

/// Comparisons with traces that could not be made.
fn not_compared(run: &RunRecord) -> Vec<String> {
    let mut by_comparisons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for case in &run.cases {
        for comparisons in &case.not_compared {
            by_comparisons.entry(comparisons).or_default().push(&case.name);
        }
    }
    let note = |(comparisons, cases): (&str, Vec<&str>)| {
        format!("Not compared with the trace: {comparisons}. ({})", some_of(&cases, run))
    };
    by_comparisons.into_iter().map(note).collect()
}

/// How many cases, and the names of the first.
fn some_of(cases: &[&str], run: &RunRecord) -> String {
    const NAMED: usize = 3;
    let more = if cases.len() > NAMED { ", …" } else { "" };
    let names = cases.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    format!("{} of {} cases: {names}{more}", cases.len(), run.cases.len())
}

fn explanations(run: &RunRecord) -> Vec<String> {
    let mut notes = Vec::new();
    if !run.experiment.overrides.is_empty() {
        let changes = run.experiment.overrides.iter().map(|(key, value)| format!("{key} = {value}"));
        notes.push(format!("Set on the command line: {}.", changes.collect::<Vec<_>>().join(", ")));
    }
    notes.extend(crate::report::traced::explanation(run));
    if run.cases.iter().any(|case| !case.ticks.is_empty()) {
        notes.push(
            "Counts are per round trip. Ticks are those of the time-stamp counter, not cycles of a core. CI: 95 % interval \
             of the median, over launches where there are several, and none below six samples or launches. Clock overhead: \
             two clock reads with nothing between them; it is part of every figure and not subtracted."
                .to_owned(),
        );
    } else if !run.cases.is_empty() {
        notes.push("Counts are per round trip.".to_owned());
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::run::Absent;
    use crate::record::run::LensRecord;
    use crate::reduce::tests::run_record;

    /// A trace that one case does not have is not one that no case has, and one that varies says what that costs.
    #[test]
    fn lenses_that_some_cases_lack_and_comparisons_that_vanish_name_the_cases() {
        let mut run = run_record();
        let cases = run.cases.len();
        assert!(cases > 1);
        for case in &mut run.cases {
            let absent = |reason: &str| LensRecord {
                available: false,
                reason: Some(reason.to_owned()),
                hz: None,
                readings: Vec::new(),
            };
            case.lenses = BTreeMap::from([("pmu".to_owned(), absent("none here"))]);
        }
        let first = &mut run.cases[0];
        let trace = LensRecord { reason: Some("no round trip".to_owned()), ..first.lenses["pmu"].clone() };
        first.lenses.insert("trace".to_owned(), trace);
        first.not_compared = vec!["page-table loads, thread switches: they vary".to_owned()];
        let name = first.name.clone();
        let expected = [
            format!("Not counted: trace: no round trip. (1 of {cases} cases: {name})"),
            "Not counted: pmu: none here.".to_owned(),
        ];
        let notes = absent_lenses(&run);
        assert!(expected.iter().all(|note| notes.contains(note)) && notes.len() == 2, "{notes:?}");
        let [note] = &not_compared(&run)[..] else { panic!("one note") };
        assert!(
            note.contains("page-table loads, thread switches: they vary. (") && note.contains(&name),
            "{note}"
        );
    }

    #[test]
    fn what_the_host_lacks_is_one_line() {
        let mut run = run_record();
        assert_eq!(not_on_this_host(&run), None);
        let absent = |what: &str| Absent { what: what.to_owned(), reason: "no segments".to_owned() };
        run.absent = ["a", "b", "c", "d", "e"].map(absent).to_vec();
        run.host.absent_lenses = ["pmu", "perf"].map(|lens| (lens.to_owned(), "none".to_owned())).into();
        let expected =
            "Not on this host: a, b, c, 2 more cases, the lenses perf and pmu. `inkbed doctor` tells why.";
        assert_eq!(not_on_this_host(&run).unwrap(), expected);
    }
}
