//! Agreement: what several lenses have counted of one thing must be equal, or the case has failed.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::lens::pmu::{Event, PmuResult, Privilege};
use crate::lens::trace::Summary;
use crate::lens::trace::agree::Disagreement;
use crate::lens::trace::counts::Counts;
use crate::report::format;

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

/// One thing as several lenses have counted it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgreementRecord {
    /// What was counted, between the marks of all launches.
    #[serde(deserialize_with = "by_its_name_now")]
    pub what: String,
    /// By lens; `rule` is what the placement says. A trace of a few round trips is extrapolated to all of them.
    pub counts: BTreeMap<String, u64>,
    /// How many round trips these are of: 1 for a clock that is read in each; 0 in records that do not tell.
    #[serde(default)]
    pub round_trips: u64,
    /// The same per round trip, without what the marks themselves take, where that is another number than a quotient.
    pub per_round_trip: f64,
    /// How far apart two of them may be, and why.
    pub slack: u64,
    /// Why there is any slack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack_reason: Option<String>,
    /// Whether they are no farther apart.
    pub agrees: bool,
}

/// Earlier records call page-table loads CR3 loads.
fn by_its_name_now<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(String::deserialize(deserializer)?.replace("CR3 loads", PAGE_TABLE_LOADS))
}

impl AgreementRecord {
    pub(crate) fn new(
        what: &str,
        counts: &[(&str, u64)],
        round_trips: u64,
        per_round_trip: f64,
    ) -> AgreementRecord {
        let counts = counts.iter().map(|(lens, count)| ((*lens).to_owned(), *count)).collect();
        AgreementRecord {
            what: what.to_owned(),
            counts,
            round_trips,
            per_round_trip,
            slack: 0,
            slack_reason: None,
            agrees: false,
        }
        .judged()
    }

    fn with_slack(mut self, slack: u64, reason: &str) -> AgreementRecord {
        (self.slack, self.slack_reason) = (slack, Some(reason.to_owned()));
        self.judged()
    }

    fn judged(mut self) -> AgreementRecord {
        let (least, most) = (self.counts.values().min(), self.counts.values().max());
        self.agrees = least.zip(most).is_none_or(|(least, most)| most - least <= self.slack);
        self
    }
}

impl AgreementRecord {
    /// Where to look first, if the lenses do not agree: at the one that differs from all others, or at each.
    pub fn what_to_check(&self) -> String {
        let differs = |lens: &&String| {
            let others = || self.counts.iter().filter(|(other, _)| other != lens).map(|(_, count)| *count);
            let agree =
                others().max().zip(others().min()).is_some_and(|(most, least)| most - least <= self.slack);
            self.counts.len() > 2 && agree
        };
        let lenses: Vec<&String> = match self.counts.keys().find(differs) {
            Some(lens) => vec![lens],
            None => self.counts.keys().collect(),
        };
        let hints = lenses.iter().filter_map(|lens| WHAT_TO_CHECK.iter().find(|(name, _)| name == lens));
        hints.map(|(lens, hint)| format!("{lens}: {hint}")).collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for AgreementRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts.iter().map(|(lens, count)| format!("{} by {lens}", format::grouped(*count)));
        let counts: Vec<String> = counts.collect();
        write!(formatter, "{}: {}", self.what, counts.join(", "))?;
        if let Some(reason) = &self.slack_reason {
            write!(formatter, " (may differ by {}: {reason})", format::grouped(self.slack))?;
        }
        if !self.agrees {
            write!(formatter, "; check {}", self.what_to_check())?;
        }
        Ok(())
    }
}

/// What there is to compare.
pub struct Counted<'a> {
    /// Round trips of all launches.
    pub round_trips: u64,
    /// Their number.
    pub launches: u64,
    /// CPUs of each guest, whose counts are added up. A trace follows the first.
    pub cpus: u32,
    /// Page-table loads of one round trip, by the rule of the resident space, where it says any number.
    pub rule_loads: Option<u64>,
    /// Page-table loads by the kernel's counter, without those of preemption.
    pub loads: u64,
    /// Thread switches by the kernel's counter, without those of preemption.
    pub switches: u64,
    /// Timer interrupts, whose instructions no trace foresees.
    pub timer_interrupts: u64,
    /// Instructions that KVM has emulated, where it emulates all of ring 0.
    pub emulated: Option<u64>,
    /// VM exits.
    pub exits: u64,
    /// Median of the samples, where the clock counts instructions.
    pub clock_median: Option<u64>,
    /// Hardware counters, one result for each launch.
    pub pmu: Vec<&'a PmuResult>,
}

/// What page-table loads are called.
pub const PAGE_TABLE_LOADS: &str = "page-table loads";

const THREAD_SWITCHES: &str = "thread switches";

const EMULATED: &str = "emulated instructions in ring 0";

const CLOCK_TO_CLOCK: &str = "instructions from clock to clock";

/// What to look at first when a lens is the one that differs.
const WHAT_TO_CHECK: [(&str, &str); 6] = [
    ("kernel", "the counters of the kernel's switch (guest-kernel), each load and switch once"),
    ("rule", "the rule of the resident space for this placement (vmm: system/topology.rs)"),
    ("trace", "`inkbed trace` of this case, whose listing shows every step of a round trip"),
    (
        "kvm",
        "KVM's statistic insn_emulation in kvm_stats, and whether this host still emulates all of ring 0",
    ),
    (
        "tsc",
        "whether the clock of this host still advances by one an instruction, and interrupts between two readings",
    ),
    (
        "pmu",
        "the counters' self-tests in the record, nmi_watchdog, and who else uses the counters of the host",
    ),
];

/// Instructions that a counter of the guest may count differently in each launch: programming, starting and stopping it.
const PMU_SLACK_PER_LAUNCH: u64 = 512;

/// Every comparison that can be made, most important first.
pub fn agreements(counted: &Counted<'_>, traced: &Traced) -> Vec<AgreementRecord> {
    let Counted { round_trips, loads, switches, .. } = *counted;
    if round_trips == 0 {
        return Vec::new();
    }
    let rule = counted.rule_loads.map(|loads| ("rule", loads.saturating_mul(round_trips)));
    let row_of = |what: &str, counts: &[(&str, u64)], round_trips: u64| {
        let first = counts.first().map_or(0, |(_, count)| *count);
        AgreementRecord::new(what, counts, round_trips, first as f64 / round_trips.max(1) as f64)
    };
    let row = |what: &str, counts: &[(&str, u64)]| row_of(what, counts, round_trips);
    let counts = |counts: [Option<(&'static str, u64)>; 3]| counts.into_iter().flatten().collect::<Vec<_>>();
    let mut rows = Vec::new();
    match traced {
        Ok(summary) => {
            let traced = |field: fn(&Counts) -> u64| {
                Some(("trace", predict(counted, summary, |counts, _| field(counts))?))
            };
            let is_compared = |what: &str| why_not(what, counted, summary).is_none();
            let traced_loads =
                traced(|counts| counts.kinds.page_table_loads).filter(|_| is_compared(PAGE_TABLE_LOADS));
            rows.push(row(PAGE_TABLE_LOADS, &counts([Some(("kernel", loads)), rule, traced_loads])));
            let traced_switches = traced(|counts| counts.context_switches);
            rows.push(row(THREAD_SWITCHES, &counts([Some(("kernel", switches)), traced_switches, None])));
            rows.extend(instructions(counted, summary));
            rows.retain(|row| row.what == PAGE_TABLE_LOADS || is_compared(&row.what));
        }
        Err(absent) => {
            rows.push(row(PAGE_TABLE_LOADS, &counts([Some(("kernel", loads)), rule, None])));
            if let Some(Disagreement { what, traced, counted, round_trips }) = &absent.disagreement {
                let what = format!("{what} of the traced guest");
                rows.push(row_of(&what, &[("kernel", *counted), ("trace", *traced)], *round_trips));
            }
        }
    }
    // One lens alone agrees with itself.
    rows.retain(|row| row.counts.len() > 1);
    rows
}

/// What cannot be compared with the trace, each time with the reason.
pub fn not_compared(counted: &Counted<'_>, traced: &Traced) -> Vec<String> {
    let Ok(summary) = traced else { return Vec::new() };
    if counted.round_trips == 0 {
        return Vec::new();
    }
    let mut names = vec![PAGE_TABLE_LOADS, THREAD_SWITCHES];
    names.extend(counted.emulated.map(|_| EMULATED));
    // A client that reads no clock between its calls has none to compare.
    let has_clock = summary.varying > 0 || summary.clock_ticks.is_some();
    names.extend(counted.clock_median.filter(|_| has_clock).map(|_| CLOCK_TO_CLOCK));
    names.extend(counted.pmu.first().map(|result| instructions_by(result.privilege)));
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in names {
        if let Some(reason) = why_not(name, counted, summary) {
            by_reason.entry(reason).or_default().push(name);
        }
    }
    by_reason.into_iter().map(|(reason, names)| format!("{}: {reason}", names.join(", "))).collect()
}

/// Why the trace does not predict this count.
fn why_not(what: &str, counted: &Counted<'_>, summary: &Summary) -> Option<&'static str> {
    let counts_instructions = !matches!(what, PAGE_TABLE_LOADS | THREAD_SWITCHES);
    // Where the rule says a number, the loads of all CPUs are those of one of them. But a CPU that waits for another switches
    // once more, and executes what the first does not.
    let is_sum_of_cpus = match what {
        PAGE_TABLE_LOADS => counted.rule_loads.is_none(),
        THREAD_SWITCHES | EMULATED => true,
        _ => false,
    };
    if summary.varying > 0 {
        Some("the traced round trips are not all the same, so they predict nothing")
    } else if is_sum_of_cpus && counted.cpus > 1 {
        Some("the counts are those of several CPUs, and the trace follows the first")
    } else if counts_instructions && counted.timer_interrupts > 0 {
        Some("the timer interrupted the guest, whose trace is without interrupts")
    } else {
        None
    }
}

/// What all launches must count, by the trace of one: their round trips, and what the marks take in each of them.
fn predict(counted: &Counted<'_>, summary: &Summary, field: impl Fn(&Counts, u64) -> u64) -> Option<u64> {
    let besides = summary.predict(0, &field)?.checked_mul(counted.launches.saturating_sub(1))?;
    summary.predict(counted.round_trips, field)?.checked_add(besides)
}

/// What counts instructions, against the trace.
fn instructions(counted: &Counted<'_>, summary: &Summary) -> Vec<AgreementRecord> {
    let mut rows = Vec::new();
    // Where KVM emulates ring 0, that is the detour's, too; and KVM counts what its emulator begins.
    let ring_0 = |counts: &Counts, detour: u64| counts.ring_0 + detour + counts.emulator_restarts;
    if let (Some(emulated), Some(traced)) = (counted.emulated, predict(counted, summary, ring_0)) {
        let counts = [("kvm", emulated), ("trace", traced)];
        let one = ring_0(&summary.counts, summary.detour_instructions);
        rows.push(AgreementRecord::new(EMULATED, &counts, counted.round_trips, one as f64));
    }
    if let (Some(median), Some(ticks)) = (counted.clock_median, summary.clock_ticks) {
        let counts = [("trace", ticks), ("tsc", median)];
        rows.push(AgreementRecord::new(CLOCK_TO_CLOCK, &counts, 1, ticks as f64));
    }
    let privilege = counted.pmu.first().map(|result| result.privilege);
    let instructions = |result: &&PmuResult| result.counter(Event::Instructions).map(|counter| counter.total);
    let total: Option<u64> = counted.pmu.iter().map(instructions).sum();
    if let (Some(privilege), Some(total)) = (privilege, total) {
        let field: fn(&Counts) -> u64 = match privilege {
            Privilege::All => |counts| counts.instructions,
            Privilege::Kernel => |counts| counts.ring_0,
            Privilege::User => |counts| counts.ring_3,
        };
        let what = instructions_by(privilege);
        if let Some(traced) = predict(counted, summary, |counts, _| field(counts)) {
            let counts = [("pmu", total), ("trace", traced)];
            let row = AgreementRecord::new(what, &counts, counted.round_trips, field(&summary.counts) as f64);
            let slack = PMU_SLACK_PER_LAUNCH * counted.launches + counted.exits;
            let reason = "512 for programming the counters, and one for each exit of the guest";
            rows.push(row.with_slack(slack, reason));
        }
    }
    rows
}

/// What hardware counters count.
fn instructions_by(privilege: Privilege) -> &'static str {
    match privilege {
        Privilege::All => "instructions",
        Privilege::Kernel => "instructions in ring 0",
        Privilege::User => "instructions in ring 3",
    }
}

#[cfg(test)]
#[path = "agreement_tests.rs"]
pub(crate) mod tests;
