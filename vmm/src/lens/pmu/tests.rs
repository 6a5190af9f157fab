//! Choosing, judging and modelling, without a guest.

use std::collections::{BTreeMap, BTreeSet};

use abi::pmu::{
    PmuCounterTest, PmuCounts, PmuReport, PmuSelfTest, SELF_TEST_BEFORE_WRAP, SELF_TEST_INSTRUCTIONS,
    SELF_TEST_VALUE, bank, selector, status,
};
use proptest::prelude::*;

use crate::host::CoreKind;
use crate::lens::pmu::event::{BY_IMPORTANCE, Event};
use crate::lens::pmu::result::Case;
use crate::lens::pmu::software::model::{Model, Work, weight};
use crate::lens::pmu::{
    Counters, EventTable, HostPmu, PmuAvailability, Privilege, Program, Selector, Shape, architectural,
    for_core, for_shape, judge, program, tables,
};
use crate::machine::probe::Fault;

fn intel(version: u32, model: u32) -> Shape {
    let fixed = if version >= 2 { 3 } else { 0 };
    Shape {
        family: 6,
        model,
        stepping: 4,
        counters: Counters::Intel { version, missing_events: !0x7f },
        general: 4,
        width: 48,
        fixed,
        fixed_width: if fixed > 0 { 48 } else { 0 },
    }
}

fn amd(counters: Counters, family: u32, model: u32) -> Shape {
    let general = if counters == Counters::AmdLegacy { 4 } else { 6 };
    Shape { family, model, stepping: 1, counters, general, width: 48, fixed: 0, fixed_width: 0 }
}

#[test]
fn families_and_models_are_read_as_the_manuals_say() {
    use crate::lens::pmu::shape::identity;
    assert_eq!(identity(0x0005_0654), (6, 0x55, 4));
    assert_eq!(identity(0x00a0_0f11), (0x19, 1, 1));
    assert_eq!(identity(0x00a1_0f11), (0x19, 0x11, 1));
    assert_eq!(identity(0x0083_0f10), (0x17, 0x31, 0));
}

#[test]
fn tables_go_by_vendor_family_and_model() {
    let name = |shape: &Shape| for_shape(shape).name.as_str();
    for (model, expected) in [
        (0x3c, "haswell"),
        (0x9e, "skylake"),
        (0x55, "skylakex"),
        (0x6a, "icelakex"),
        (0xa7, "rocketlake"),
        (0x8f, "sapphirerapids"),
        (0xbe, "alderlaken"),
        (0x97, "architectural"),
        (0x2a, "architectural"),
    ] {
        assert_eq!(name(&intel(2, model)), expected);
    }
    assert_eq!(name(&Shape { stepping: 7, ..intel(2, 0x55) }), "cascadelakex");
    for (family, model, expected) in [
        (0x17, 0x01, "amdzen1"),
        (0x17, 0x31, "amdzen2"),
        (0x19, 0x01, "amdzen3"),
        (0x19, 0x11, "amdzen4"),
        (0x1a, 0x02, "amdzen5"),
        (0x15, 0x02, "architectural"),
    ] {
        assert_eq!(name(&amd(Counters::AmdCore, family, model)), expected);
    }
    // The vendor counts: Intel's family 0x19 would not be a Zen.
    assert_eq!(for_shape(&Shape { family: 0x19, ..intel(2, 1) }), architectural(&intel(2, 1)));
}

#[test]
fn each_kind_of_core_has_its_table() {
    let walks = |core, model| for_core(core, 6, model)?.selector(Event::DtlbLoadWalks);
    for model in [0x97, 0x9a, 0xb7, 0xba, 0xbf, 0xaa, 0xac, 0xbd, 0xc5, 0xc6] {
        assert_eq!(walks("cpu_core", model), Some(Selector(0x0e12)), "{model:#x}");
        assert_eq!(walks("cpu_atom", model), Some(Selector(0x0e08)), "{model:#x}");
    }
    assert_eq!(walks("cpu_core", 0x9e), None, "one kind of core");
    assert_eq!(walks("cpu_gpu", 0x97), None);
}

/// The file and the extract of Linux's event files that was made with it.
#[test]
fn tables_are_those_of_linux() {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
        None if text.is_empty() => 0,
        None => text.parse().unwrap(),
    };
    let mut extract = BTreeMap::new();
    let text = include_str!("data/events-extract.csv");
    for row in csv::Reader::from_reader(text.as_bytes()).deserialize() {
        let row: [String; 7] = row.unwrap();
        let [processor, core, event, linux, code, unit_mask, counter_mask] = &row;
        let (code, mask) = (number(code), number(unit_mask));
        // Unit masks and AMD's event numbers have their upper bits elsewhere.
        let bits =
            code & 0xff | (mask & 0xff) << 8 | number(counter_mask) << 24 | code >> 8 << 32 | mask >> 8 << 40;
        let (selector, names): &mut (u64, Vec<String>) =
            extract.entry((processor.clone(), core.clone(), event.clone())).or_default();
        *selector |= bits;
        names.push(linux.clone());
    }
    let mut tabled = BTreeMap::new();
    for table in tables() {
        for (event, found) in &table.events {
            let core = table.core.clone().unwrap_or_default();
            let names = found.linux.split(" + ").map(str::to_owned).collect();
            tabled.insert((table.name.clone(), core, event.name().to_owned()), (found.selector.0, names));
        }
    }
    assert_eq!(tabled, extract);
    let name = |table: &EventTable| (table.name.clone(), table.core.clone());
    let names: BTreeSet<_> = tables().iter().map(name).collect();
    assert_eq!(names.len(), tables().len(), "each once");
}

#[test]
fn selectors_have_the_bits_of_the_manuals() {
    let zen4 = amd(Counters::AmdPerfmonV2, 0x19, 0x11);
    let bits = |shape, event| for_shape(shape).selector(event).unwrap().0;
    assert_eq!(bits(&zen4, Event::ReferenceCycles), 0x1_0000_0120);
    assert_eq!(bits(&zen4, Event::DtlbWalks), 0xf045);
    assert_eq!(bits(&intel(2, 0x8f), Event::DtlbLoadWalks), 0x0e12);
    let program = program(&amd(Counters::AmdCore, 0x19, 1), Privilege::All, 0);
    assert_eq!(program.plan.counters[1].selector, 0x43_00c0);
    assert_eq!(program.plan.instructions_selector, 0x43_00c0);
}

#[test]
fn reserved_counters_stay_free_and_what_is_left_out_says_why() {
    let all = program(&intel(2, 0x55), Privilege::All, 0);
    let fewer = program(&intel(2, 0x55), Privilege::All, 2);
    let general = |program: &Program| {
        program.plan.counters().iter().filter(|counter| counter.bank == bank::GENERAL).count()
    };
    assert_eq!((general(&all), general(&fewer)), (4, 2));
    for program in [all, fewer] {
        assert_eq!(program.events.len() + program.left_out.len(), BY_IMPORTANCE.len());
    }
    // Architectural event 0, cycles, is not there.
    let mut shape = intel(1, 0x55);
    shape.counters = Counters::Intel { version: 1, missing_events: 1 };
    let program = program(&shape, Privilege::Kernel, 0);
    assert_eq!(program.events[0], Event::Instructions);
    assert!(program.plan.counters().iter().all(|counter| counter.selector & selector::USER == 0));
}

fn good_host() -> HostPmu {
    HostPmu {
        core_kinds: Vec::new(),
        capability: 1,
        is_enabled: Some(true),
        has_nmi_watchdog: Some(false),
        is_mediated: None,
        registers: [0x186, 0xc1, 0xc001_0000, 0xc001_0004, 0xc001_0200, 0xc001_0201].into(),
    }
}

#[test]
fn each_obstacle_has_its_reason_and_remedy() {
    let decide = |change: fn(&mut HostPmu), shape: Option<Shape>| {
        let mut host = good_host();
        change(&mut host);
        PmuAvailability::decide(shape, &host)
    };
    let shape = || Some(intel(2, 0x55));
    type Case = (fn(&mut HostPmu), Option<Shape>, &'static str);
    let hybrid = |host: &mut HostPmu| {
        let kind = |name, cpus| CoreKind { name, perf_type: 4, cpus };
        host.core_kinds = vec![kind("cpu_core", vec![0, 1]), kind("cpu_atom", vec![2])];
    };
    let cases: [Case; 5] = [
        (hybrid, shape(), "cpu_core, cpu_atom"),
        (|host| host.is_enabled = Some(false), shape(), "enable_pmu"),
        (|host| host.capability = 0, shape(), "KVM_CAP_PMU_CAPABILITY"),
        (|_| (), None, "CPUID"),
        (|host| host.registers.retain(|register| *register != 0xc1), shape(), "0xc1"),
    ];
    for (change, shape, expected) in cases {
        let PmuAvailability::Absent { reason, remedy } = decide(change, shape) else { panic!("{expected}") };
        assert!(reason.contains(expected), "{reason}");
        assert!(!remedy.is_empty());
    }
    let reserved = |change| match decide(change, shape()) {
        PmuAvailability::Available { reserved, warnings, .. } => (reserved, warnings.len()),
        PmuAvailability::Absent { reason, .. } => panic!("{reason}"),
    };
    assert_eq!(reserved(|_| ()), (1, 1));
    assert_eq!(reserved(|host| host.has_nmi_watchdog = Some(true)), (2, 2));
    assert_eq!(reserved(|host| host.is_mediated = Some(true)), (0, 0));
}

/// What a kernel reports whose counters are all in order.
fn honest(program: &Program, shape: &Shape) -> PmuReport {
    let mut test = PmuSelfTest { is_done: 1, ..PmuSelfTest::default() };
    let mut counts = PmuCounts::default();
    for (index, counter) in program.plan.counters().iter().enumerate() {
        let selector = match counter.bank {
            bank::FIXED => counter.selector << (4 * counter.index),
            _ => counter.selector & !selector::ENABLE,
        };
        test.counters[index] = PmuCounterTest {
            selector,
            counted: SELF_TEST_INSTRUCTIONS,
            stopped: 0,
            written: SELF_TEST_VALUE,
            wrapped: SELF_TEST_INSTRUCTIONS - SELF_TEST_BEFORE_WRAP,
        };
        counts.end[index] = 1000 + index as u64;
    }
    PmuReport {
        status: status::PROGRAMMED,
        counter_count: program.plan.counter_count,
        width: shape.width,
        fixed_width: shape.fixed_width,
        counts,
        empty: PmuCounts::default(),
        self_tests: [test; 2],
    }
}

fn judged(shape: &Shape, change: impl FnOnce(&mut PmuReport)) -> Result<Vec<u64>, String> {
    let program = program(shape, Privilege::All, 0);
    let mut report = honest(&program, shape);
    change(&mut report);
    let case =
        Case { shape, program: &program, privilege: Privilege::All, round_trips: 10, tsc_cycles: 1_000_000 };
    judge(&case, &report).map(|results| results.iter().map(|result| result.total).collect())
}

#[test]
fn counts_are_differences_within_the_width() {
    let shape = intel(2, 0x55);
    assert_eq!(judged(&shape, |_| ()).unwrap()[..3], [1000, 1001, 1002]);
    let wrapped =
        judged(&shape, |report| (report.counts.begin[1], report.counts.end[1]) = ((1 << 48) - 10, 90));
    assert_eq!(wrapped.unwrap()[1], 100);
}

#[test]
fn every_lie_and_every_fault_is_named() {
    let shape = intel(2, 0x55);
    type Change = (fn(&mut PmuReport), &'static str);
    let cases: [Change; 14] = [
        (|report| report.status = status::MISMATCH, "CPUID promised"),
        (|report| report.status = 77, "not programmed"),
        (|report| report.counter_count = 3, "used 3 counters"),
        (|report| report.self_tests[0].is_done = 0, "before the case: was not made"),
        (|report| report.self_tests[1].is_done = 0, "after the case: was not made"),
        (|report| report.self_tests[1].counters[2].counted = 0, "counter 2 (dtlb_load_walks)"),
        (|report| report.self_tests[0].counters[2].counted += 1, "counted 517 of 516"),
        (|report| report.self_tests[0].counters[3].stopped = 5, "while it was stopped"),
        (|report| report.self_tests[0].counters[3].written = 0, "reads 0x0 after"),
        (|report| report.self_tests[0].counters[3].selector = 0, "its selector reads 0x0"),
        (|report| report.self_tests[0].counters[3].wrapped = u64::MAX, "ran over its end"),
        (|report| report.counts.end[3] = 1 << 48, "more than its 48 bits"),
        (|report| report.counts.global_status = 1, "ran over between the marks"),
        (|report| report.counts.end[0] = 0, "stood still"),
    ];
    for (change, expected) in cases {
        let error = judged(&shape, change).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    assert!(judged(&shape, |report| report.counts.end[0] = 1 << 40).unwrap_err().contains("cannot be"));
}

#[test]
fn amd_may_count_a_little_more() {
    let shape = amd(Counters::AmdCore, 0x19, 1);
    let counted = |more| judged(&shape, move |report| report.self_tests[0].counters[1].counted += more);
    assert!(counted(16).is_ok());
    assert!(counted(17).is_err());
}

#[test]
fn intel_refuses_reserved_bits_and_amd_drops_them() {
    let mut intel_model = Model::new(&intel(2, 0x55), None);
    assert_eq!(intel_model.write(0x186, 1 << 21), Err(Fault), "AnyThread");
    assert_eq!(intel_model.write(0x186, 1 << 32), Err(Fault));
    assert_eq!(intel_model.write(0x38d, 1 << 2), Err(Fault), "AnyThread of a fixed counter");
    assert_eq!(intel_model.write(0x38d, 1 << 12), Err(Fault), "there is no fourth");
    assert_eq!(intel_model.write(0x38f, 1 << 35), Err(Fault));
    assert_eq!(intel_model.write(0x38e, 0), Err(Fault), "read-only");
    assert_eq!(intel_model.read(0x18a), Err(Fault), "there is no fifth");
    let mut amd_model = Model::new(&amd(Counters::AmdCore, 0x19, 1), None);
    assert_eq!(amd_model.write(0xc001_0200, u64::MAX), Ok(()));
    assert_eq!(amd_model.read(0xc001_0200), Ok(!0xffff_fff0_0028_0000));
    assert_eq!(amd_model.write(0xc000_0301, 1), Err(Fault), "only PerfMonV2 has a global switch");
    assert_eq!(Model::new(&intel(1, 0x55), None).read(0x38f), Err(Fault), "version 1 has none");
}

#[test]
fn a_counter_runs_only_with_both_switches_and_at_its_levels() {
    let mut model = Model::new(&intel(2, 0x55), None);
    let work = Work { kernel: 10, user: 100 };
    let mut after = |global: u64, chosen: u64| {
        model.write(0x38f, global).unwrap();
        model.write(0x186, 0xc0 | chosen).unwrap();
        model.write(0xc1, 0).unwrap();
        model.advance(work);
        model.read(0xc1).unwrap()
    };
    let all = selector::ENABLE | selector::KERNEL | selector::USER;
    assert_eq!(after(1, all), 110);
    assert_eq!(after(1, selector::ENABLE | selector::KERNEL), 10);
    assert_eq!(after(1, selector::ENABLE | selector::USER), 100);
    assert_eq!(after(1, all & !selector::ENABLE), 0);
    assert_eq!(after(2, all), 0);
}

#[test]
fn general_counters_extend_signs_and_wrap_at_48_bits() {
    let mut model = Model::new(&intel(2, 0x55), None);
    model.write(0xc1, 0xffff_fff0).unwrap();
    assert_eq!(model.read(0xc1), Ok(0xffff_ffff_fff0));
    model.write(0x186, 0x43_00c0).unwrap();
    model.advance(Work { kernel: 20, user: 0 });
    assert_eq!((model.read(0xc1), model.read(0x38e)), (Ok(4), Ok(1)));
    model.write(0x390, 1).unwrap();
    assert_eq!(model.read(0x38e), Ok(0));
    model.write(0x38d, 0x3).unwrap();
    model.write(0x38f, 1 << 32).unwrap();
    model.write(0x309, (1 << 48) - 1).unwrap();
    model.advance(Work { kernel: 2, user: 0 });
    assert_eq!((model.read(0x309), model.read(0x38e)), (Ok(1), Ok(1 << 32)));
}

#[test]
fn no_two_events_of_the_model_weigh_the_same() {
    let weights: std::collections::BTreeSet<u64> = BY_IMPORTANCE.iter().map(|event| weight(*event)).collect();
    assert_eq!(weights.len(), BY_IMPORTANCE.len());
}

proptest! {
    /// Whatever a guest reports: a verdict, no panic, and never a figure beyond a counter's width.
    #[test]
    fn any_report_is_judged(words in prop::collection::vec(any::<u64>(), size_of::<PmuReport>() / 8), seed in 0usize..1000) {
        let shape = intel(2, 0x55);
        let verdict = judged(&shape, |report| {
            let values = words.iter().cycle().skip(seed);
            let begin = report.counts.begin.iter_mut();
            let fields = begin.chain(&mut report.counts.end).chain(&mut report.empty.end);
            fields.zip(values).for_each(|(field, value)| *field = *value >> (value % 64));
        });
        if let Ok(totals) = verdict {
            prop_assert!(totals.iter().all(|total| *total < 1 << 48));
        }
    }

    /// Any access to the model's registers is an answer or a fault.
    #[test]
    fn the_model_takes_anything(accesses in prop::collection::vec((any::<u32>(), any::<u64>(), 0u32..0x400), 1..200), kind in 0u32..4) {
        let shape = match kind {
            0 => intel(1, 0x55),
            1 => intel(2, 0x55),
            2 => amd(Counters::AmdLegacy, 0x19, 1),
            _ => amd(Counters::AmdPerfmonV2, 0x19, 0x11),
        };
        let mut model = Model::new(&shape, None);
        for (far, value, near) in accesses {
            for register in [far, near, 0xc000_0000 + near, 0xc001_0000 + near] {
                let _ = model.write(register, value);
                model.advance(Work { kernel: value >> 16, user: 1 });
                if let Ok(value) = model.read(register) {
                    prop_assert!(value < 1 << 48);
                }
            }
        }
    }
}
