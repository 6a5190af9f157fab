use std::path::Path;

use proptest::prelude::*;

use super::condition::{Condition, Verdict};
use super::*;
use crate::record::store::read_record;

/// A committed run with traces.
fn reference() -> RunRecord {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/ipc-kvm-pvm");
    read_record(&folder).unwrap()
}

/// Changes the trace of a case.
fn retrace(case: &mut CaseRecord, change: impl FnOnce(&mut Summary)) {
    let mut summary = Summary::of_record(case).unwrap();
    change(&mut summary);
    case.lenses.get_mut("trace").unwrap().readings = vec![serde_json::to_value(summary).unwrap()];
}

fn case<'a>(run: &'a mut RunRecord, name: &str) -> &'a mut CaseRecord {
    run.cases.iter_mut().find(|case| case.name == name).unwrap()
}

const CALL: &str = "call/user-user/words=0/pcid=off";

#[test]
fn a_run_is_the_same_as_itself() {
    let run = reference();
    let comparison = compare(&run, &run);
    assert_eq!((comparison.differences, comparison.not_compared), (Vec::new(), Vec::new()));
    assert_eq!(comparison.cases, run.cases.len());
    assert!(comparison.compared["page_table_loads"] == run.cases.len());
}

#[test]
fn ten_instructions_more_are_found_with_their_phase_and_function() {
    let (mut first, mut second) = (reference(), reference());
    let stacks = |more: u64| {
        let entry = "ring 0;kernel entry;kernel entry".to_owned();
        BTreeMap::from([(entry, 20 + more), ("ring 3;client;client run".to_owned(), 70)])
    };
    retrace(case(&mut first, CALL), |summary| summary.stacks = stacks(0));
    retrace(case(&mut second, CALL), |summary| {
        summary.stacks = stacks(10);
        summary.counts.instructions += 10;
        summary.counts.path_instructions += 10;
        summary.counts.ring_0 += 10;
        *summary.counts.phases.get_mut(&crate::lens::trace::phase::Phase::Entry).unwrap() += 10;
    });
    second.guest.sha256 = "another".to_owned();
    let comparison = compare(&first, &second);
    let counts: Vec<_> = comparison.differences.iter().map(|one| (one.count, one.change())).collect();
    assert_eq!(counts, [("path_instructions", 10.0), ("instructions", 10.0), ("ring_0_instructions", 10.0)]);
    for difference in &comparison.differences {
        let parts: Vec<_> =
            difference.parts.iter().map(|part| (part.kind, part.name.as_str(), part.change)).collect();
        let expected = [(PartKind::Phase, "kernel entry", 10), (PartKind::Function, "kernel entry", 10)];
        assert_eq!((difference.case.as_str(), parts), (CALL, expected.to_vec()));
    }
    let text = present::text(&comparison, 200);
    assert!(text.contains("+10 kernel entry") && text.contains("3 of "), "{text}");
    assert!(!text.contains("same guest"), "{text}");
    let markdown = present::markdown(&comparison);
    assert!(markdown.split('|').any(|cell| cell.trim() == "+10"), "{markdown}");

    let judge = |condition: &str| condition.parse::<Condition>().unwrap().judge(&comparison);
    assert!(matches!(judge("path_instructions>0"), Verdict::MetBy(by) if by.case == CALL));
    assert!(matches!(judge("path_instructions>=10"), Verdict::MetBy(_)));
    assert_eq!(judge("path_instructions>10"), Verdict::NotMet);
    assert!(matches!(judge("path_instructions>6%"), Verdict::MetBy(_)), "10 of 150 are 6.7 %");
    assert_eq!(judge("path_instructions>7%"), Verdict::NotMet);
    assert_eq!(judge("page_table_loads>0"), Verdict::NotMet);
    // Fewer are no more.
    let back = compare(&second, &first);
    assert_eq!("instructions>0".parse::<Condition>().unwrap().judge(&back), Verdict::NotMet);
}

#[test]
fn what_cannot_be_compared_is_told_and_decides_nothing() {
    let (first, mut second) = (reference(), reference());
    retrace(case(&mut second, CALL), |summary| summary.varying = 1);
    second.cases.retain(|case| !case.name.starts_with("empty/"));
    case(&mut second, "call/user-kernel/words=0/pcid=off").expected.agrees = Some(false);
    case(&mut second, "call/kernel-user/words=0/pcid=off").parameters.vcpus = 2;
    let comparison = compare(&first, &second);
    assert_eq!(comparison.differences, []);
    let reasons: Vec<&str> = comparison.not_compared.iter().map(|one| one.reason.as_str()).collect();
    for reason in [
        "only the first run has this case",
        "the second run did not count it",
        "it failed in the second run",
        "several CPUs or guests measure, so counts differ from run to run, in the second run",
    ] {
        assert!(reasons.contains(&reason), "{reason}: {reasons:?}");
    }
    let mut untraced = [first.clone(), second];
    untraced.iter_mut().flat_map(|run| &mut run.cases).for_each(|case| case.lenses.clear());
    let untraced = compare(&untraced[0], &untraced[1]);
    assert_eq!("instructions>0".parse::<Condition>().unwrap().judge(&untraced), Verdict::CannotTell(None));
}

/// A guest that hangs in one case passes no condition.
#[test]
fn a_case_that_the_second_run_lacks_leaves_a_condition_open() {
    let condition: Condition = "page_table_loads>0".parse().unwrap();
    let lacks: [fn(&mut RunRecord); 3] = [
        |run| run.cases.retain(|case| case.name != CALL),
        |run| case(run, CALL).expected.agrees = Some(false),
        |run| _ = case(run, CALL).counters.remove("page_table_loads"),
    ];
    for lack in lacks {
        let (first, mut second) = (reference(), reference());
        lack(&mut second);
        let comparison = compare(&first, &second);
        let Verdict::CannotTell(Some(missed)) = condition.judge(&comparison) else {
            panic!("{comparison:?}")
        };
        assert!(missed.what.starts_with(CALL), "{missed:?}");
        // What the first run never had is missed by nobody.
        assert_eq!(condition.judge(&compare(&second, &first)), Verdict::NotMet);
        // And a condition that another case meets is met.
        case(&mut second, "call/user-kernel/words=0/pcid=off")
            .counters
            .get_mut("page_table_loads")
            .unwrap()
            .per_round_trip = Some(1.0);
        assert!(matches!(condition.judge(&compare(&first, &second)), Verdict::MetBy(_)));
    }
}

/// Counts of threads that take turns by the timer are those of a machine's speed.
#[test]
fn runs_of_different_machines_are_the_same_but_for_what_a_machine_lets_servers_reach() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results");
    let run = |name: &str| read_record(&results.join(name)).unwrap();
    let experiments = ["chain", "flush-threshold", "ipc", "migrate", "slots", "working-set"];
    for experiment in experiments {
        for machine in ["amd-in-qemu", "intel-in-bochs"] {
            let comparison =
                compare(&run(&format!("{experiment}-kvm-pvm")), &run(&format!("{experiment}-kvm-{machine}")));
            let of_kernel = comparison.differences.iter().filter(|one| one.parts.is_empty()).count();
            assert_eq!(of_kernel, 0, "{experiment} on {machine}: {:?}", comparison.differences);
            assert!(comparison.counts() > 10, "{experiment}");
        }
    }
}

#[test]
fn a_run_is_held_against_the_reference_runs() {
    let mut run = reference();
    let held = reference::hold(&run).unwrap();
    assert_eq!((held.cases, held.differences), (run.cases.len(), Vec::new()));
    case(&mut run, CALL).counters.get_mut("page_table_loads").unwrap().per_round_trip = Some(2.5);
    let differences = reference::hold(&run).unwrap().differences;
    let [only] = &differences[..] else { panic!("{differences:?}") };
    assert_eq!(
        (only.case.as_str(), only.count, only.first, only.second),
        (CALL, "page_table_loads", 2.0, 2.5)
    );
    run.experiment.name = "mine".to_owned();
    assert_eq!(reference::hold(&run), None);
}

proptest! {
    /// Every change of a phase or a function is a part, and no other.
    #[test]
    fn parts_are_the_changes(
        first in proptest::collection::btree_map("[a-d]", 0_u64..4, 0..4),
        second in proptest::collection::btree_map("[a-d]", 0_u64..4, 0..4),
    ) {
        let parts = changes(PartKind::Function, &first, &second);
        for name in ["a", "b", "c", "d"] {
            let count = |of: &BTreeMap<String, u64>| of.get(name).copied().unwrap_or(0) as i64;
            let change = parts.iter().find(|part| part.name == name).map_or(0, |part| part.change);
            prop_assert_eq!(change, count(&second) - count(&first));
        }
        prop_assert!(parts.iter().all(|part| part.change != 0));
        prop_assert!(parts.is_sorted_by_key(|part| std::cmp::Reverse(part.change.abs())));
    }
}
