//! Tests of the report for people.

use unicode_width::UnicodeWidthStr;

use std::collections::BTreeMap;

use super::*;
use crate::host::Timing;
use crate::lens::agree::tests::summary;
use crate::record::channel::Undisturbed;
use crate::record::outcome::OutcomeRecord;
use crate::record::relate::relate;
use crate::record::run::Absent;
use crate::record::run::{LensRecord, RunState};
use crate::reduce::tests::run_record;
use crate::tlb::{Counts, Model, SideCounts, WhatIf};
use crate::workload;

fn run() -> RunRecord {
    let mut run = run_record();
    relate(&mut run);
    run
}

/// The text in the repository; `INKBED_BLESS=1` writes it anew.
fn assert_golden(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/testdata").join(name);
    if std::env::var_os("INKBED_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "differs from {}; INKBED_BLESS=1 accepts:\n{text}", path.display());
}

#[test]
fn the_table_is_what_it_was() {
    assert_golden("table.txt", &render(&run(), FILE_WIDTH, Ticks::Meaningful));
    assert_golden("table.md", &render_markdown(&run(), Ticks::Meaningful));
}

/// Everything that can go wrong in one run.
fn troubled_run() -> RunRecord {
    let mut run = run();
    run.state = RunState::Interrupted;
    (run.cases_planned, run.launches_planned) = (9, 9);
    run.host.timing_problem = Some("ring 0 is emulated by KVM on this host".to_owned());
    for case in &mut run.cases[1..] {
        case.timing = Timing::invalid(run.host.timing_problem.as_deref().unwrap());
    }
    run.cases[2].outcome = OutcomeRecord::Deadlock;
    run.cases[2].ticks.clear();
    run.cases[3].expected.agrees = Some(false);
    run.cases[4].disturbed_samples = Some(4_321);
    let channel = run.cases[4].ticks.get_mut("round_trip").unwrap();
    channel.undisturbed = Some(Undisturbed { count: 2, median: Some(1_490) });
    run.absent = vec![Absent { what: "cases with pcid = on".to_owned(), reason: "no PCIDs".to_owned() }];
    run.experiment.overrides.insert("samples".to_owned(), "3".to_owned());
    run
}

#[test]
fn what_cannot_be_trusted_says_so() {
    let text = render(&troubled_run(), FILE_WIDTH, Ticks::All);
    assert_golden("troubled.txt", &text);
    for part in [
        "FAILED",
        "no time",
        "(!)",
        "5 of 9",
        "4,321 of 24",
        "1,490 (2 of 6)",
        "cases with pcid = on",
        "samples = 3",
        "median*",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
}

#[test]
fn counted_instructions_are_not_called_ticks() {
    let mut run = run();
    run.host.tsc_counts_instructions = true;
    for case in &mut run.cases {
        case.timing = Timing::invalid("the time-stamp counter advances by one for every instruction");
    }
    let text = render(&run, FILE_WIDTH, Ticks::Meaningful);
    assert!(text.contains("median*") && !text.contains("ticks\n") && !text.contains(" ns"), "{text}");
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [60, 80, 110, 200] {
        let text = render(&troubled_run(), width, Ticks::All);
        assert!(text.lines().all(|line| line.width() <= width), "{width}:\n{text}");
    }
    assert!(render(&troubled_run(), 80, Ticks::All).contains("Left out for lack of width"));
}

#[test]
fn a_run_without_cases_can_be_shown() {
    let mut run = run();
    run.cases.clear();
    run.state = RunState::Running;
    assert!(render(&run, FILE_WIDTH, Ticks::Meaningful).contains("0 of 5 cases"));
    assert!(!render_markdown(&run, Ticks::Meaningful).is_empty());
}

/// A run on a host that emulates ring 0, with a trace of each call but one, which varies.
fn emulated_run() -> RunRecord {
    let mut run = run();
    run.host.timing_problem =
        Some("ring 0 is emulated by KVM on this host (549 ns per instruction)".to_owned());
    run.host.absent_lenses = BTreeMap::from([("pmu".to_owned(), "no counters".to_owned())]);
    for (index, case) in run.cases.iter_mut().enumerate().skip(1) {
        case.timing = Timing::invalid(run.host.timing_problem.as_deref().unwrap());
        case.parameters.trace_round_trips = 4;
        let mut traced = summary();
        (traced.counts.path_instructions, traced.counts.instructions) = (119, 1_202);
        if index == 4 {
            traced.varying = 1;
        }
        let readings = vec![serde_json::to_value(&traced).unwrap()];
        let lens = LensRecord { available: true, reason: None, hz: None, readings };
        case.lenses.insert("trace".to_owned(), lens);
        let side = SideCounts { first_level_misses: 1_013, walks: 7, ..SideCounts::default() };
        let mut counts = Counts::default();
        counts.user.data = side;
        let mut report = WhatIf::AsRecorded.run(&Model::load("skylake-sp").unwrap(), &[]);
        report.steady = Some(counts);
        case.tlb_models = vec![report];
    }
    run
}

#[test]
fn where_ring_0_is_emulated_counts_lead_and_no_tick_is_shown() {
    let text = render(&emulated_run(), FILE_WIDTH, Ticks::Meaningful);
    assert_golden("emulated.txt", &text);
    let call = text.split("call: ").nth(1).unwrap().split("lenses side by side").next().unwrap();
    for part in ["page-table", "kernel + stubs", "misses/walks", "119", "1,202", "1,013/7"] {
        assert!(call.contains(part), "{part} is missing:\n{text}");
    }
    for part in ["median", "p99", "×", "±", "2,000"] {
        assert!(!call.contains(part), "{part} is no count:\n{text}");
    }
    let dashes = call.lines().find(|line| line.starts_with("user, one space")).unwrap();
    assert_eq!(dashes.matches('–').count(), 3, "a trace that varies has no figure: {dashes}");
    assert!(text.contains("– call/same-space/words=0/pcid=off: traced round trips vary."));
}

#[test]
fn ticks_that_are_no_time_are_shown_and_marked_when_asked_for() {
    let text = render(&emulated_run(), 200, Ticks::All);
    assert!(text.contains("median*") && text.contains("2,000") && text.contains("* no time:"), "{text}");
    let markdown = render_markdown(&emulated_run(), Ticks::Meaningful);
    assert!(!markdown.contains("2,000") && markdown.contains("1,202"), "{markdown}");
}

#[test]
fn doubts_stand_once_below_times() {
    let mut run = run();
    for case in &mut run.cases {
        case.timing = Timing::with_doubts(vec!["turbo is on".to_owned(), "SMT is on".to_owned()]);
    }
    let text = render(&run, FILE_WIDTH, Ticks::Meaningful);
    assert_golden("doubtful.txt", &text);
    assert!(text.contains("2,000") && text.contains("1000.0"), "{text}");
    assert_eq!(text.matches("valid, with doubts: turbo is on; SMT is on.").count(), 1, "{text}");
    run.cases.iter_mut().for_each(|case| case.timing = Timing::Valid);
    assert!(!render(&run, FILE_WIDTH, Ticks::Meaningful).contains("doubts"));
}

#[test]
fn headings_never_break_inside_a_word() {
    let mut run = emulated_run();
    for workload in workload::ALL.iter().copied() {
        run.cases.iter_mut().for_each(|case| case.parameters.workload = workload);
        for (ticks, width) in [(Ticks::Meaningful, 110), (Ticks::All, 110), (Ticks::Meaningful, 500)] {
            for mut section in sections(&shown(&run, ticks)) {
                grid::fit(&mut section.columns, width);
                let text = grid::text(&section.columns, width);
                for heading in section.columns.iter().map(|column| &column.heading) {
                    assert!(!heading.contains("-\n"), "{heading}");
                    assert!(heading.split_whitespace().all(|word| text.contains(word)), "{heading}:\n{text}");
                }
            }
        }
    }
}
