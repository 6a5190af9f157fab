//! Tests of merging, on records that no guest made.

use super::*;
use crate::record::relate::relate;
use crate::record::run::ShardRecord;
use crate::reduce::tests::run_record;

/// The run as part `index` of two on this host: the pair of clock reads, and every second case.
fn part(index: u32, host: &str) -> Source {
    let mut run = run_record();
    relate(&mut run);
    let cases = run.cases.iter().map(|case| case.name.clone()).collect();
    let mut number = 0;
    run.cases.retain(|_| {
        number += 1;
        number == 1 || number % 2 == index % 2
    });
    run.shard = Some(ShardRecord { index, of: 2, cases });
    run.experiment.overrides.insert("shard".to_owned(), format!("{index}/2"));
    run.host.name = host.to_owned();
    Source { folder: PathBuf::from(format!("part-{index}-{host}")), run }
}

/// The whole run on this host.
fn whole(host: &str) -> Source {
    let mut run = run_record();
    relate(&mut run);
    run.host.name = host.to_owned();
    Source { folder: PathBuf::from(host), run }
}

fn refused(sources: &[Source]) -> String {
    let MergeError { message, fix } = merge(sources).unwrap_err();
    assert!(!fix.is_empty());
    message
}

#[test]
fn the_parts_of_a_run_are_the_run_in_whatever_order() {
    for order in [[1, 2], [2, 1]] {
        let merged = merge(&order.map(|index| part(index, "box"))).unwrap();
        assert_eq!(merged.run.merged.as_ref().unwrap().sources.len(), 2);
        let expected = whole("box").run;
        assert_eq!(RunRecord { merged: None, ..merged.run }, expected);
    }
}

#[test]
fn each_case_tells_its_host_where_there_are_several() {
    let merged = merge(&[part(1, "a"), part(2, "b")]).unwrap().run;
    let named: Vec<(&str, &str)> =
        merged.cases.iter().map(|case| (case.name.as_str(), case.host.as_deref().unwrap())).collect();
    let expected = [
        ("empty/user/pcid=off", "a"),
        ("empty/user/pcid=off@b", "b"),
        ("call/user-user/words=0/pcid=off", "b"),
        ("call/user-kernel/words=0/pcid=off", "a"),
        ("call/kernel-user/words=0/pcid=off", "b"),
        ("call/same-space/words=0/pcid=off", "a"),
    ];
    assert_eq!(named, expected);
    assert_eq!(merged.host.name, "a; b");
    let mut csv = Vec::new();
    crate::report::csv::write_csv(&mut csv, &merged).unwrap();
    let hosts = String::from_utf8(csv).unwrap();
    let hosts: Vec<&str> = hosts.lines().map(|line| line.rsplit(',').next().unwrap()).collect();
    assert_eq!(hosts, ["host", "a", "b", "b", "a", "b", "a"]);
    let table = crate::report::table::render(&merged, 200, crate::report::ticks::Ticks::All);
    assert!(table.lines().any(|line| line.contains("host") && line.contains("server")), "{table}");
}

#[test]
fn a_count_that_two_hosts_do_not_agree_on_is_a_finding() {
    assert_eq!(merge(&[whole("a"), whole("b")]).unwrap().run.merged.unwrap().findings, []);
    let mut other = whole("b");
    other.run.cases[1].counters.get_mut("page_table_loads").unwrap().per_round_trip = Some(3.0);
    let merged = merge(&[whole("a"), other, whole("c")]).unwrap().run;
    let finding = FindingRecord {
        case: "call/user-user/words=0/pcid=off".to_owned(),
        count: "page_table_loads".to_owned(),
        first_host: "a".to_owned(),
        first: 2.0,
        second_host: "b".to_owned(),
        second: 3.0,
    };
    assert_eq!(merged.merged.as_ref().unwrap().findings, [finding]);
    let table = crate::report::table::render(&merged, 400, crate::report::ticks::Ticks::All);
    assert!(table.contains("2 page table loads per round trip on a, 3 on b"), "{table}");
}

#[test]
fn what_does_not_belong_together_is_refused() {
    assert!(refused(&[]).contains("no run"));
    let changed = |change: fn(&mut RunRecord)| {
        let mut other = whole("b");
        change(&mut other.run);
        refused(&[whole("a"), other])
    };
    assert!(changed(|run| run.guest.sha256 = "0".to_owned()).contains("SHA-256 of the guest is cdcd"));
    assert!(changed(|run| run.inkbed.abi_version = 9).contains("ABI version is 1 in a, 9 in b"));
    assert!(changed(|run| run.state = RunState::Interrupted).contains("the run in b has 5 of 5 launches"));
    assert!(
        changed(|run| run.host.tsc_counts_instructions = true).contains("ticks are not the same in a and b")
    );
    let qemu = changed(|run| run.host.tsc_counts_ends_of_repeats = true);
    assert!(qemu.contains("ticks are not the same"), "{qemu}");
    assert!(changed(|run| run.host.name = "a".to_owned()).contains("both have call/user-user"));
    assert!(changed(|run| run.merged = Some(MergedRecord::default())).contains("merged already"));
    assert!(refused(&[part(1, "a"), whole("b")]).contains("not parts of the same cases"));
    let missing = refused(&[part(1, "a")]);
    assert!(missing.contains("2 cases are missing") && missing.contains("no shard 2/2"), "{missing}");
}
