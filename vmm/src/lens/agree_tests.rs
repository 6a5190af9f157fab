//! Tests of the agreement between lenses.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::lens::pmu::{self, CounterResult, Counters, Event, PmuResult, Privilege, Shape};
use crate::lens::trace::agree::Disagreement;
use crate::lens::trace::counts::Counts;
use crate::lens::trace::kind::Kinds;
use crate::lens::trace::{Summary, TraceAbsent, Traced};
use crate::lens::{LensReadings, Reading};
use crate::record::agreement::PAGE_TABLE_LOADS;
use crate::record::run::HostRecord;

/// A traced call between two user spaces: 4 round trips of 230 instructions, and what the marks take.
pub(crate) fn summary() -> Summary {
    let counts = |round_trips: u64, besides: u64| Counts {
        instructions: 230 * round_trips + besides,
        ring_0: 142 * round_trips + besides,
        ring_3: 88 * round_trips,
        context_switches: 2 * round_trips,
        kinds: Kinds { page_table_loads: 2 * round_trips, ..Kinds::default() },
        ..Counts::default()
    };
    Summary {
        round_trips: 4,
        counts: counts(1, 0),
        instructions_max: 230,
        varying: 0,
        varying_footprint: 0,
        detour_instructions: 38,
        stacks: BTreeMap::new(),
        system_calls: Vec::new(),
        clock_ticks: Some(170),
        clock_repeats: Some(2),
        between_marks: counts(5, 396),
        detour_between_marks: 5 * 38 + 19,
    }
}

/// What the kernel and the rule say of so many of its round trips, in one launch on a host without other lenses.
pub(crate) fn counted(round_trips: u64) -> Seen<'static> {
    static HOST: LazyLock<HostRecord> = LazyLock::new(HostRecord::default);
    static TRACED: LazyLock<Traced> = LazyLock::new(|| Err(TraceAbsent::new("not asked for")));
    Seen {
        host: &HOST,
        traced: &TRACED,
        has_kvm_stats: false,
        tsc_hz: None,
        readings: Vec::new(),
        round_trips,
        launches: 1,
        cpus: 1,
        rule_loads: Some(2),
        loads: 2 * round_trips,
        switches: 2 * round_trips,
        timer_interrupts: 0,
        emulated: None,
        exits: 0,
        clock_median: None,
        own_readings: Vec::new(),
    }
}

/// All comparisons with this trace.
pub(crate) fn agreements(counted: &Seen<'_>, traced: &Traced) -> Vec<AgreementRecord> {
    super::agreements(&Seen { traced, ..counted.clone() })
}

fn not_compared(counted: &Seen<'_>, traced: &Traced) -> Vec<String> {
    super::not_compared(&Seen { traced, ..counted.clone() })
}

fn pmu(total: u64, privilege: Privilege) -> PmuResult {
    let instructions = CounterResult {
        event: Event::Instructions,
        selector: 0xc0,
        total,
        empty: 0,
        per_round_trip: 0.0,
        self_tests: [0; 2],
    };
    PmuResult {
        source: "software".into(),
        shape: Shape {
            family: 6,
            model: 106,
            stepping: 1,
            counters: Counters::Intel { version: 2, missing_events: 0 },
            general: 4,
            width: 48,
            fixed: 3,
            fixed_width: 48,
        },
        event_table: "".into(),
        notes: "".into(),
        privilege,
        counters: vec![instructions],
        left_out: Vec::new(),
        warnings: Vec::new(),
    }
}

fn row<'a>(rows: &'a [AgreementRecord], what: &str) -> &'a AgreementRecord {
    rows.iter().find(|row| row.what == what).unwrap_or_else(|| panic!("no {what} in {rows:?}"))
}

#[test]
fn rule_kernel_and_trace_agree_or_the_row_says_not() {
    let rows = agreements(&counted(300), &Ok(summary()));
    assert_eq!(rows.len(), 2);
    let loads = row(&rows, PAGE_TABLE_LOADS);
    assert!(loads.agrees && loads.slack == 0);
    assert_eq!(loads.counts, BTreeMap::from(["kernel", "rule", "trace"].map(|lens| (lens.to_owned(), 600))));
    assert_eq!(loads.per_round_trip, 2.0);

    let wrong = Seen { switches: 601, ..counted(300) };
    let rows = agreements(&wrong, &Ok(summary()));
    assert!(row(&rows, PAGE_TABLE_LOADS).agrees);
    let switches = row(&rows, "thread switches");
    assert!(!switches.agrees);
    let text = InWords(switches).to_string();
    assert!(
        text.starts_with("thread switches: 601 by kernel, 600 by trace; check kernel: the counters"),
        "{text}"
    );
    assert!(text.contains("; trace: `inkbed trace`"), "either may be wrong: {text}");
}

#[test]
fn of_three_lenses_the_one_that_differs_is_to_be_checked() {
    let differing = [
        (Seen { rule_loads: Some(4), ..counted(300) }, "rule: the rule of the resident space"),
        (Seen { loads: 599, ..counted(300) }, "kernel: the counters"),
    ];
    for (counted, hint) in differing {
        let rows = agreements(&counted, &Ok(summary()));
        let check = what_to_check(row(&rows, PAGE_TABLE_LOADS));
        assert!(check.starts_with(hint) && !check.contains("; "), "{check}");
    }
    let all_differ = Seen { rule_loads: Some(4), loads: 599, ..counted(300) };
    let check = what_to_check(row(&agreements(&all_differ, &Ok(summary())), PAGE_TABLE_LOADS));
    assert_eq!(check.matches("; ").count(), 2, "{check}");
}

#[test]
fn where_the_rule_says_nothing_kernel_and_trace_are_compared() {
    let counted = Seen { rule_loads: None, ..counted(300) };
    let rows = agreements(&counted, &Ok(summary()));
    assert_eq!(row(&rows, PAGE_TABLE_LOADS).counts.keys().collect::<Vec<_>>(), ["kernel", "trace"]);
    assert!(
        agreements(&counted, &Err(TraceAbsent::new("not asked for"))).is_empty(),
        "nothing to compare with"
    );
}

#[test]
fn without_a_trace_the_rule_is_compared_with_the_kernel_alone() {
    let rows = agreements(&counted(300), &Err(TraceAbsent::new("not asked for")));
    assert_eq!(rows.len(), 1);
    assert!(rows[0].agrees && rows[0].counts.len() == 2);
    assert!(agreements(&counted(0), &Ok(summary())).is_empty(), "nothing was measured");
}

#[test]
fn a_traced_guest_that_contradicts_itself_is_a_disagreement() {
    let disagreement = Disagreement { what: "page-table loads", traced: 9, counted: 10, round_trips: 5 };
    let absent = TraceAbsent { reason: "x".to_owned(), disagreement: Some(disagreement) };
    let rows = agreements(&counted(300), &Err(absent));
    let traced = row(&rows, "page-table loads of the traced guest");
    assert!(!traced.agrees);
    assert_eq!((traced.round_trips, traced.per_round_trip), (5, 2.0), "its own round trips");
}

#[test]
fn round_trips_that_differ_predict_nothing() {
    let varying = Summary { varying: 1, ..summary() };
    let counted = Seen { emulated: Some(1), ..counted(300) };
    let rows = agreements(&counted, &Ok(varying.clone()));
    assert!(rows.iter().all(|row| row.agrees && !row.counts.contains_key("trace")), "{rows:?}");
    let [all] = &not_compared(&counted, &Ok(varying))[..] else { panic!("one reason") };
    assert!(
        all.starts_with("page-table loads, thread switches, emulated instructions in ring 0: the traced"),
        "{all}"
    );
    assert!(not_compared(&counted, &Ok(summary())).is_empty(), "they do not vary");
}

/// As counted with two CPUs: the second has waited for the first, which switched once more and took instructions of its own.
#[test]
fn sums_over_several_cpus_are_not_compared_with_the_trace_of_one() {
    let alone = Seen { emulated: Some(50 * 180 + 415 + 1473), switches: 2 * 50 + 1, ..counted(50) };
    assert!(agreements(&alone, &Ok(summary())).iter().any(|row| !row.agrees), "one CPU has no excuse");
    let two = Seen { cpus: 2, ..alone };
    let rows = agreements(&two, &Ok(summary()));
    let [loads] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(
        (loads.what.as_str(), loads.agrees, loads.counts.len()),
        (PAGE_TABLE_LOADS, true, 3),
        "the rule holds on each"
    );
    let [left_out] = &not_compared(&two, &Ok(summary()))[..] else { panic!("one reason") };
    assert!(left_out.starts_with("thread switches, emulated instructions in ring 0: "), "{left_out}");

    let irregular = Seen { rule_loads: None, loads: 2 * 50 + 1, ..two };
    assert!(agreements(&irregular, &Ok(summary())).is_empty());
    assert!(not_compared(&irregular, &Ok(summary()))[0].starts_with("page-table loads, thread switches, "));
}

#[test]
fn instructions_of_a_timer_are_in_no_trace_and_that_is_said() {
    let interrupted = Seen {
        timer_interrupts: 1,
        emulated: Some(50 * 180 + 415 + 90),
        clock_median: Some(171),
        ..counted(50)
    };
    let rows = agreements(&interrupted, &Ok(summary()));
    assert!(rows.iter().all(|row| row.agrees) && rows.len() == 2, "{rows:?}");
    let left_out = not_compared(&interrupted, &Ok(summary()));
    assert!(
        left_out[0]
            .starts_with("emulated instructions in ring 0, instructions from clock to clock: the timer")
    );
}

#[test]
fn emulated_instructions_are_those_of_ring_0_and_the_detour() {
    let what = "emulated instructions in ring 0";
    // As counted on a KVM that emulates ring 0, in one launch and in two.
    for (launches, emulated) in [(1, 50 * 180 + 415), (2, 50 * 180 + 2 * 415)] {
        let counted = Seen { emulated: Some(emulated), launches, ..counted(50) };
        let rows = agreements(&counted, &Ok(summary()));
        assert!(row(&rows, what).agrees, "{rows:?}");
        assert_eq!(row(&rows, what).per_round_trip, 180.0);
        let one_more = Seen { emulated: Some(emulated + 1), launches, ..counted };
        assert!(!row(&agreements(&one_more, &Ok(summary())), what).agrees, "a single one more");
    }
}

#[test]
fn a_clock_that_counts_instructions_must_show_the_traces() {
    let what = "instructions from clock to clock";
    for (median, agrees) in [(170, true), (169, false), (171, false)] {
        let counted = Seen { clock_median: Some(median), ..counted(300) };
        assert_eq!(row(&agreements(&counted, &Ok(summary())), what).agrees, agrees);
    }
    // QEMU counts the end of each repeated instruction as one more.
    let qemu = HostRecord { tsc_counts_ends_of_repeats: true, ..HostRecord::default() };
    for (median, agrees) in [(172, true), (170, false)] {
        let counted = Seen { host: &qemu, clock_median: Some(median), ..counted(300) };
        assert_eq!(row(&agreements(&counted, &Ok(summary())), what).agrees, agrees);
    }
    let without = Summary { clock_ticks: None, ..summary() };
    let rows = agreements(&Seen { clock_median: Some(170), ..counted(300) }, &Ok(without));
    assert!(rows.iter().all(|row| row.what != what));
}

proptest! {
    /// Hardware counters agree exactly within the stated slack, wherever they count.
    #[test]
    fn hardware_counters_agree_within_the_slack(
        round_trips in 1_u64..100_000,
        exits in 0_u64..1_000,
        off in -3_000_i64..3_000,
        which in 0_usize..3,
    ) {
        let (privilege, what, one, besides) = [
            (Privilege::All, "instructions", 230, 396),
            (Privilege::Kernel, "instructions in ring 0", 142, 396),
            (Privilege::User, "instructions in ring 3", 88, 0),
        ][which];
        let total = (one * round_trips + besides).saturating_add_signed(off);
        let result = pmu(total, privilege);
        let reading = Reading::Counted(result).to_value();
        let readings = LensReadings(BTreeMap::from([(pmu::NAME.to_owned(), reading)]));
        let rows = agreements(&Seen { exits, own_readings: vec![&readings], ..counted(round_trips) }, &Ok(summary()));
        let row = row(&rows, what);
        let exact = (one * round_trips + besides) as i64;
        prop_assert_eq!(row.agrees, (total as i64 - exact).unsigned_abs() <= 512 + exits);
        prop_assert_eq!((row.slack, row.per_round_trip), (512 + exits, one as f64));
    }
}
