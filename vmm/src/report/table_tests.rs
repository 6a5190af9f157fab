//! Tests of the report for people.

use unicode_width::UnicodeWidthStr;

use super::super::channel::Undisturbed;
use super::super::outcome::OutcomeRecord;
use super::super::record::RunState;
use super::super::relate::relate;
use super::super::tests::run_record;
use super::*;
use crate::experiment::expand::Absent;

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
    assert_golden("table.txt", &render(&run(), FILE_WIDTH));
    assert_golden("table.md", &render_markdown(&run()));
}

/// Everything that can go wrong in one run.
fn troubled_run() -> RunRecord {
    let mut run = run();
    run.state = RunState::Interrupted;
    (run.cases_planned, run.launches_planned) = (9, 9);
    run.host.timing_problem =
        Some("ring 0 is emulated by KVM on this host: cycle figures are not hardware timing".to_owned());
    for case in &mut run.cases[1..] {
        case.timing_valid = false;
        case.timing_reason = run.host.timing_problem.clone();
    }
    run.cases[2].outcome = OutcomeRecord::Deadlock;
    run.cases[2].cycles.clear();
    run.cases[3].expected.agrees = Some(false);
    run.cases[4].disturbed_samples = Some(4_321);
    let channel = run.cases[4].cycles.get_mut("round_trip").unwrap();
    channel.undisturbed = Some(Undisturbed { count: 2, median: Some(1_490) });
    run.absent = vec![Absent { what: "cases with pcid = on".to_owned(), reason: "no PCIDs".to_owned() }];
    run.experiment.overrides.insert("samples".to_owned(), "3".to_owned());
    run
}

#[test]
fn what_cannot_be_trusted_says_so() {
    let text = render(&troubled_run(), FILE_WIDTH);
    assert_golden("troubled.txt", &text);
    for part in [
        "FAILED",
        "not hardware timing",
        "(!)",
        "5 of 9",
        "4,321 of 30",
        "1,490 (2 of 6)",
        "no PCIDs",
        "samples = 3",
        "median*",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
}

#[test]
fn counted_instructions_are_not_called_cycles() {
    let mut run = run();
    run.host.tsc_counts_instructions = true;
    let text = render(&run, FILE_WIDTH);
    assert!(text.contains("instructions") && !text.contains("cycles") && !text.contains(" ns"), "{text}");
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [60, 80, 110, 200] {
        let text = render(&troubled_run(), width);
        assert!(text.lines().all(|line| line.width() <= width), "{width}:\n{text}");
    }
    assert!(render(&troubled_run(), 80).contains("Left out for lack of width"));
}

#[test]
fn a_run_without_cases_can_be_shown() {
    let mut run = run();
    run.cases.clear();
    run.state = RunState::Running;
    assert!(render(&run, FILE_WIDTH).contains("0 of 5 cases"));
    assert!(!render_markdown(&run).is_empty());
}
