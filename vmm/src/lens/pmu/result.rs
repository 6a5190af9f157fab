//! Judges what the guest reports of its counters. Every field is a claim; no figure leaves here unless the self-tests
//! before and after it held, because a counter that runs but counts something else is worse than none.

use std::borrow::Cow;

use abi::pmu::{
    PmuCounter, PmuCounterTest, PmuReport, PmuSelfTest, SELF_TEST_BEFORE_WRAP, SELF_TEST_INSTRUCTIONS,
    SELF_TEST_VALUE, bank, selector, status,
};
use serde::{Deserialize, Serialize};

use crate::lens::pmu::event::Event;
use crate::lens::pmu::program::{LeftOut, Privilege, Program};
use crate::lens::pmu::shape::{Counters, Shape};

/// What the counters showed between the marks, on the CPU that set them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PmuResult {
    /// `guest_rdmsr`, or `software` for the model that only proves register accesses.
    pub source: Cow<'static, str>,
    /// The counters.
    pub shape: Shape,
    /// Which event table was used.
    pub event_table: Cow<'static, str>,
    /// What a reader of the figures has to know about these events.
    pub notes: Cow<'static, str>,
    /// At which privilege levels was counted.
    pub privilege: Privilege,
    /// The counts.
    pub counters: Vec<CounterResult>,
    /// What was not counted, and why.
    pub left_out: Vec<LeftOut>,
    /// What may still spoil the figures.
    pub warnings: Vec<String>,
}

/// One counter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CounterResult {
    /// What it counted.
    pub event: Event,
    /// Value that selected it.
    pub selector: u64,
    /// Counted between the marks.
    pub total: u64,
    /// Counted between start and stop with nothing in between: part of `total`, not subtracted from anything.
    pub empty: u64,
    /// `total` by the number of round trips.
    pub per_round_trip: f64,
    /// Instructions that the two self-tests counted; [`SELF_TEST_INSTRUCTIONS`] is exact.
    pub self_tests: [u64; 2],
}

impl PmuResult {
    /// The counter of an event.
    pub fn counter(&self, event: Event) -> Option<&CounterResult> {
        self.counters.iter().find(|counter| counter.event == event)
    }
}

/// What a report is judged by.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// The counters that the guest has.
    pub shape: &'a Shape,
    /// What it was told.
    pub program: &'a Program,
    /// Where it was to count.
    pub privilege: Privilege,
    /// Round trips between the marks.
    pub round_trips: u64,
    /// Cycles of the time-stamp counter between the marks.
    pub tsc_cycles: u64,
}

/// A processor's clock is at most so many times as fast as its time-stamp counter; more is no count of cycles.
const CYCLES_PER_TSC_CYCLE_MAX: u64 = 8;

/// Instructions that a self-test may count too many where exits of the guest count, too.
const SLACK: u64 = 16;

/// Intel processors that count an instruction more for each exit and entry (kvm-unit-tests, x86/pmu.c, and selftests of
/// Linux): Sierra Forest, Clearwater Forest, Avoton, Denverton, Snow Ridge.
const OVERCOUNTING_MODELS: [u32; 5] = [0xaf, 0xdd, 0x4d, 0x5f, 0x86];

/// The counters' figures, or what is wrong with them.
pub fn judge(case: &Case<'_>, report: &PmuReport) -> Result<Vec<CounterResult>, String> {
    match report.status {
        status::PROGRAMMED => {}
        status::MISMATCH => {
            return Err("the guest's CPU does not have the counters that CPUID promised".to_owned());
        }
        _ => return Err("the guest's kernel has not programmed its counters".to_owned()),
    }
    if case.round_trips == 0 {
        return Err("the driver made no round trips".to_owned());
    }
    if report.counter_count as usize != case.program.events.len() {
        return Err(format!("the guest's kernel used {} counters", report.counter_count));
    }
    let mut results = Vec::new();
    for (index, (counter, event)) in case.program.plan.counters().iter().zip(&case.program.events).enumerate()
    {
        let width = if counter.bank == bank::FIXED { case.shape.fixed_width } else { case.shape.width };
        let context = |problem: String| format!("counter {index} ({}): {problem}", event.name());
        let mask = u64::MAX >> (64 - width.clamp(1, 64));
        let mut self_tests = [0; 2];
        for (count, (when, test)) in
            self_tests.iter_mut().zip(["before", "after"].iter().zip(&report.self_tests))
        {
            check_self_test(case, counter, *event, test, index, mask)
                .map_err(|problem| context(format!("self-test {when} the case: {problem}")))?;
            *count = test.counters[index].counted;
        }
        let counts = [&report.counts, &report.empty];
        let [total, empty] = counts.map(|counts| {
            (counts.begin[index] | counts.end[index] <= mask)
                .then(|| counts.end[index].wrapping_sub(counts.begin[index]) & mask)
        });
        let (Some(total), Some(empty)) = (total, empty) else {
            return Err(context(format!("a reading has more than its {width} bits")));
        };
        let overflow =
            if counter.bank == bank::FIXED { 1 << 32 << counter.index } else { 1 << counter.index };
        if report.counts.global_status & overflow != 0 {
            return Err(context("it ran over between the marks".to_owned()));
        }
        results.push(CounterResult {
            event: *event,
            selector: counter.selector,
            total,
            empty,
            per_round_trip: total as f64 / case.round_trips as f64,
            self_tests,
        });
    }
    check_cycles(case, &results)?;
    Ok(results)
}

/// Cycles never stand still while anything runs, and never run away from the time-stamp counter.
fn check_cycles(case: &Case<'_>, results: &[CounterResult]) -> Result<(), String> {
    let Some(cycles) = results.iter().find(|result| result.event == Event::Cycles) else { return Ok(()) };
    // Where everything runs at level 0, there may be no cycles at others.
    if cycles.total == 0 && case.privilege != Privilege::User {
        return Err("the counter of cycles stood still between the marks".to_owned());
    }
    if cycles.total / CYCLES_PER_TSC_CYCLE_MAX > case.tsc_cycles {
        return Err(format!(
            "{} cycles in {} cycles of the time-stamp counter cannot be",
            cycles.total, case.tsc_cycles
        ));
    }
    Ok(())
}

fn check_self_test(
    case: &Case<'_>,
    counter: &PmuCounter,
    event: Event,
    test: &PmuSelfTest,
    index: usize,
    mask: u64,
) -> Result<(), String> {
    if test.is_done != 1 {
        return Err("was not made".to_owned());
    }
    let PmuCounterTest { selector, counted, stopped, written, wrapped } = test.counters[index];
    let set = match counter.bank {
        bank::FIXED => counter.selector << (4 * counter.index),
        _ => counter.selector & !selector::ENABLE,
    };
    if selector != set {
        return Err(format!("its selector reads {selector:#x} after {set:#x} was written"));
    }
    if written != SELF_TEST_VALUE {
        return Err(format!("reads {written:#x} after {SELF_TEST_VALUE:#x} was written"));
    }
    if stopped != 0 {
        return Err(format!("counted {stopped} events while it was stopped"));
    }
    // A fixed counter of cycles has no instructions to count: it has only to run, and over its end.
    let counts_instructions = counter.bank == bank::GENERAL || event == Event::Instructions;
    if !counts_instructions {
        let has_wrapped = wrapped < mask - (SELF_TEST_BEFORE_WRAP - 1);
        return if counted > 0 && has_wrapped { Ok(()) } else { Err("does not run".to_owned()) };
    }
    let slack = slack(case.shape);
    let expected = SELF_TEST_INSTRUCTIONS..=SELF_TEST_INSTRUCTIONS + slack;
    if !expected.contains(&counted) {
        return Err(format!("counted {counted} of {SELF_TEST_INSTRUCTIONS} instructions"));
    }
    let after_wrap = wrapped.wrapping_add(SELF_TEST_BEFORE_WRAP) & mask;
    if wrapped > mask || !expected.contains(&after_wrap) {
        return Err(format!("reads {wrapped:#x} after it ran over its end"));
    }
    Ok(())
}

fn slack(shape: &Shape) -> u64 {
    let is_exact = matches!(shape.counters, Counters::Intel { .. })
        && !(shape.family == 6 && OVERCOUNTING_MODELS.contains(&shape.model));
    if is_exact { 0 } else { SLACK }
}
