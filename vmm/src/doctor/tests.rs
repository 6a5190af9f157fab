//! What is judged, on made-up hosts and on this one.

use std::time::Instant;

use super::*;
use crate::host::{SegmentFacts, Status};

#[test]
fn segments_are_judged_by_what_small_spaces_need() {
    let judge = |segments: Fact<SegmentFacts>| {
        let checks = Diagnosis::of(HostFacts { segments, ..HostFacts::probe() }).checks.into_iter();
        let of_segments = checks.filter(|check| check.name.starts_with("segment"));
        of_segments.map(|check| (check.status, check.detail)).collect::<Vec<_>>()
    };
    let facts = |bases, limits| Fact::Known(SegmentFacts { bases, limits, sysenter: false, syscall: true });
    let statuses = |checks: &[(Status, String)]| checks.iter().map(|check| check.0).collect::<Vec<_>>();
    let enforced = judge(facts(true, true));
    assert_eq!(statuses(&enforced), [Status::Ok, Status::Ok]);
    assert!(enforced[0].1.contains("INT and SYSCALL"), "{enforced:?}");
    assert_eq!(statuses(&judge(facts(true, false))), [Status::Ok, Status::Warning]);
    assert_eq!(statuses(&judge(facts(false, false))), [Status::Warning]);
    assert_eq!(judge(HostFacts::probe().segments), [], "nobody has asked");
}

#[test]
fn the_probe_never_fails_and_every_problem_has_a_detail() {
    let start = Instant::now();
    let diagnosis = Diagnosis::probe();
    println!("probed in {:?}", start.elapsed());
    assert_eq!(diagnosis.lenses.len(), 6);
    assert!(diagnosis.checks.iter().all(|check| !check.detail.is_empty()), "{:?}", diagnosis.checks);
    let json = serde_json::to_string_pretty(&diagnosis).unwrap();
    println!("{json}");
    let facts = &diagnosis.facts;
    if facts.kvm.usable.known().is_some() {
        let ring0 = facts.ring0.known().unwrap();
        assert!(ring0.ns_per_instruction > 0.0);
        assert!(facts.kvm.guest_features.known().is_some());
    }
}
