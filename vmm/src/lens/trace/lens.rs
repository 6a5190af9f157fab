//! What the trace can do on a host, and what it foretells of a case.

use std::fmt;

use crate::host::{HostFacts, KvmVendor};
use crate::lens::availability::HARDWARE_REMEDY;
use crate::lens::pmu::Privilege;
use crate::lens::trace::agree::Disagreement;
use crate::lens::trace::counts::Counts;
use crate::lens::trace::{NAME, Summary};
use crate::lens::{Ability, Count, Lens, Seen, What, took_no_part, took_part};
use crate::record::run::{CaseRecord, HostRecord, LensRecord};

/// The trace of a guest of its own.
pub struct TraceLens;

/// What the trace of a case counted, or why there is none.
pub type Traced = Result<Summary, TraceAbsent>;

/// Why there is no trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceAbsent {
    /// In words.
    pub reason: String,
    /// The reason is that the traced guest's own counters do not agree with the trace.
    pub disagreement: Option<Disagreement>,
}

impl TraceAbsent {
    /// For a reason that is no disagreement.
    pub fn new(reason: impl fmt::Display) -> TraceAbsent {
        TraceAbsent { reason: reason.to_string(), disagreement: None }
    }
}

impl Summary {
    /// That in the record of a case, where there is one.
    pub fn of_record(case: &CaseRecord) -> Option<Summary> {
        let reading = case.lenses.get(NAME)?.readings.first()?;
        serde_json::from_value(reading.clone()).ok()
    }
}

impl Lens for TraceLens {
    fn name(&self) -> &'static str {
        NAME
    }

    fn ability(&self, host: &HostFacts) -> Ability {
        if host.kvm.capability("SET_GUEST_DEBUG") == 0 {
            let reason = "KVM cannot single-step guests here";
            return Ability::unavailable(NAME, reason, Some(HARDWARE_REMEDY));
        }
        if host.kvm.vendor == KvmVendor::Pvm {
            let reason = "single steps in ring 0 only: this KVM loses the step on the way to ring 3";
            return Ability::limited(NAME, reason, HARDWARE_REMEDY);
        }
        Ability::available(NAME, "KVM single-steps guests")
    }

    fn record(&self, seen: &Seen<'_>) -> LensRecord {
        match seen.traced {
            Ok(summary) => {
                let readings = serde_json::to_value(summary).into_iter().collect();
                LensRecord { readings, ..took_part(None) }
            }
            Err(absent) => took_no_part(absent.reason.clone()),
        }
    }

    fn count(&self, what: What, seen: &Seen<'_>) -> Count {
        let Ok(summary) = seen.traced else { return Count::None };
        // A client that reads no clock between its calls has none to compare.
        if what == What::ClockToClock && summary.varying == 0 && summary.clock_ticks.is_none() {
            return Count::None;
        }
        if let Some(reason) = why_not(what, seen, summary) {
            return Count::NotComparable(reason);
        }
        let (total, per_round_trip) = match what {
            What::ClockToClock => {
                let ticks = clock_ticks(summary, seen.host);
                (ticks, ticks)
            }
            what => {
                let (counts, detour) = (&summary.counts, summary.detour_instructions);
                (foretell(what, seen, summary), Some(of_one_round_trip(what, counts, detour)))
            }
        };
        // The kernel's counts are all of what is between its marks: their quotient is what tables show.
        let is_quotient = matches!(what, What::PageTableLoads | What::ThreadSwitches);
        total.map_or(Count::None, |total| Count::Counted {
            total,
            per_round_trip: per_round_trip.filter(|_| !is_quotient).map(|count| count as f64),
            slack: None,
        })
    }

    fn what_to_check(&self) -> &'static str {
        "`inkbed trace` of this case, whose listing shows every step of a round trip"
    }
}

/// What the clock of this host shows between two readings, if it counts instructions.
fn clock_ticks(summary: &Summary, host: &HostRecord) -> Option<u64> {
    let ends = if host.tsc_counts_ends_of_repeats { summary.clock_repeats } else { Some(0) };
    summary.clock_ticks?.checked_add(ends?)
}

/// A count of one round trip; `detour` is the instructions by which a KVM that emulates ring 0 comes there.
fn of_one_round_trip(what: What, counts: &Counts, detour: u64) -> u64 {
    match what {
        What::PageTableLoads => counts.kinds.page_table_loads,
        What::ThreadSwitches => counts.context_switches,
        // KVM counts what its emulator begins.
        What::EmulatedInstructions => counts.ring_0 + detour + counts.emulator_restarts,
        What::ClockToClock | What::Instructions(Privilege::All) => counts.instructions,
        What::Instructions(Privilege::Kernel) => counts.ring_0,
        What::Instructions(Privilege::User) => counts.ring_3,
    }
}

/// What all launches must count, by the trace of one: their round trips, and what the marks take in each of them.
fn foretell(what: What, seen: &Seen<'_>, summary: &Summary) -> Option<u64> {
    let field = |counts: &Counts, detour: u64| of_one_round_trip(what, counts, detour);
    let besides = summary.predict(0, field)?.checked_mul(seen.launches.saturating_sub(1))?;
    summary.predict(seen.round_trips, field)?.checked_add(besides)
}

/// Why the trace does not predict this count.
fn why_not(what: What, seen: &Seen<'_>, summary: &Summary) -> Option<&'static str> {
    let counts_instructions = !matches!(what, What::PageTableLoads | What::ThreadSwitches);
    // Where the rule says a number, the loads of all CPUs are those of one of them. But a CPU that waits for another switches
    // once more, and executes what the first does not.
    let is_sum_of_cpus = match what {
        What::PageTableLoads => seen.rule_loads.is_none(),
        What::ThreadSwitches | What::EmulatedInstructions => true,
        _ => false,
    };
    if summary.varying > 0 {
        Some("the traced round trips are not all the same, so they predict nothing")
    } else if is_sum_of_cpus && seen.cpus > 1 {
        Some("the counts are those of several CPUs, and the trace follows the first")
    } else if counts_instructions && seen.timer_interrupts > 0 {
        Some("the timer interrupted the guest, whose trace is without interrupts")
    } else {
        None
    }
}
