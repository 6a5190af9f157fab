//! Tests of the rule cause by cause: a busy machine fails nothing, a wrong kernel fails whatever happens beside it.

use crate::case::tests::parameters;
use crate::case::{Case, Parameters};
use crate::lens::Measured;
use crate::machine::guest::GuestRun;
use crate::record::run::{CaseRecord, HostRecord};
use crate::reduce::tests::{case_of, guest_run, run_record};
use crate::report::preemption::note;
use crate::system::placement::Placement;
use crate::workload::Call;

/// A call from user space to a server in `server`: three round trips, and what preemption adds.
fn preempted(server: Placement, change: impl FnOnce(&mut abi::report::Counters)) -> CaseRecord {
    let mut run: GuestRun = guest_run(vec![10; 3], if server == Placement::User { 6 } else { 0 });
    let end = &mut run.cpus[0].end;
    (end.timer_interrupts, end.preemptions) = (3, 2);
    (end.context_switches, end.context_switches_by_preemption) = (end.context_switches + 4, 4);
    if server == Placement::User {
        (end.page_table_loads, end.page_table_loads_by_preemption) = (end.page_table_loads + 4, 4);
    } else {
        end.page_table_loads_elided += 4;
    }
    change(end);
    let parameters = Parameters { server: Some(server), ..parameters(&Call) };
    let case = Case { name: "x".to_owned(), parameters };
    case_of(&case, vec![Measured::from(run).into()], &HostRecord::default())
}

#[test]
fn what_preemption_adds_fails_nothing_and_is_in_no_count_per_round_trip() {
    for (server, loads) in [(Placement::User, 2.0), (Placement::Kernel, 0.0)] {
        let case = preempted(server, |_| ());
        assert!(case.succeeded(), "{:?}", case.agreements);
        assert_eq!(case.expected.agrees, Some(true));
        let count = |name| case.without_preemption(name).unwrap();
        assert_eq!((count("page_table_loads"), count("context_switches")), (loads, 2.0));
        assert_eq!(count("page_table_loads_elided"), 2.0 - loads);
        assert_eq!(case.counters["context_switches"].total, 10, "the record has all of them");
    }
}

#[test]
fn one_load_too_many_by_messages_fails_whatever_preemption_does() {
    for server in [Placement::User, Placement::Kernel] {
        let case = preempted(server, |end| end.page_table_loads += 1);
        assert_eq!(case.expected.agrees, Some(false), "{server}");
        assert!(!case.succeeded());
        let one_too_few = preempted(server, |end| end.page_table_loads_by_preemption += 1);
        assert!(!one_too_few.succeeded(), "{server}");
    }
}

#[test]
fn preemption_must_be_explained_by_turns_and_turns_by_timer_interrupts() {
    type Change = fn(&mut abi::report::Counters);
    let wrong: [(&str, Change); 5] = [
        ("preemptions", |end| end.timer_interrupts = 1),
        // Two threads: each turn goes to the other one and back.
        ("thread switches by preemption", |end| end.context_switches_by_preemption = 5),
        ("thread switches by preemption", |end| end.context_switches_by_preemption = 1),
        ("page-table loads by preemption", |end| {
            (end.page_table_loads, end.page_table_loads_by_preemption) = (end.page_table_loads - 1, 3);
        }),
        ("page-table loads by lifecycle", |end| {
            (end.page_table_loads, end.page_table_loads_by_lifecycle) = (end.page_table_loads + 1, 1);
        }),
    ];
    for (what, change) in wrong {
        let case = preempted(Placement::User, change);
        assert!(case.disagreements().any(|row| row.what == what), "{what}: {:?}", case.agreements);
    }
    // Into the kernel no switch may load anything.
    let case = preempted(Placement::Kernel, |end| {
        (end.page_table_loads, end.page_table_loads_by_preemption) = (end.page_table_loads + 1, 1);
    });
    assert!(case.disagreements().any(|row| row.what == "page-table loads by preemption"));
}

#[test]
fn a_kernel_that_is_not_preempted_has_no_rows_of_it() {
    let run = guest_run(vec![10; 3], 6);
    let case = Case {
        name: "x".to_owned(),
        parameters: Parameters { server: Some(Placement::User), ..parameters(&Call) },
    };
    let record = case_of(&case, vec![Measured::from(run).into()], &HostRecord::default());
    assert_eq!(record.agreements.len(), 1);
    assert!(note(&run_record()).is_none());
}

#[test]
fn a_report_says_what_preemption_has_added() {
    let mut run = run_record();
    run.cases[1] = preempted(Placement::User, |_| ());
    let note = note(&run).unwrap();
    assert!(
        note.starts_with("Time slices ended 2 turns, which added 4 thread switches and 4 page-table"),
        "{note}"
    );
    assert!(note.ends_with("(1 of 5 cases)"), "{note}");
}
