//! `inkbed selftest` on this host, in its short form.

#[path = "support/kvm.rs"]
mod kvm;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output};

use inkbed::selftest::{CHECKS, SelftestRecord, Verdict};
use kvm::require_kvm;

fn selftest(file: &std::path::Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"));
    command.args(["selftest", "--short", "--out"]).arg(file).args(arguments).output().unwrap()
}

#[test]
fn a_host_answers_what_it_can_and_says_what_it_cannot() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answers.json");
    let output = selftest(&file, &[]);
    let record: SelftestRecord = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let verdicts: BTreeMap<&str, Verdict> =
        record.checks.iter().map(|check| (check.name.as_str(), check.verdict)).collect();
    for check in &record.checks {
        assert_ne!(check.verdict, Verdict::Differs, "{}: {}", check.name, check.found);
        assert!(!check.found.is_empty(), "{}", check.name);
    }
    assert!(record.checks.iter().map(|check| check.name.as_str()).eq(CHECKS.iter().map(|check| check.name)));
    for name in ["page-table-loads", "trace", "faults", "shootdowns", "remote-call"] {
        assert_eq!(verdicts[name], Verdict::Agrees, "{name}");
    }
    assert_eq!(verdicts["flags"], Verdict::NotPossibleHere);
    let loads = &record.checks.iter().find(|check| check.name == "page-table-loads").unwrap();
    assert!(loads.cases.iter().all(|case| case.expected.agrees == Some(true)));
    assert!(record.host.facts["kvm"].is_object() && record.guest.sha256.len() == 64);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("not possible here"));
    // It is the only file, and nobody loses it to a second run.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let again = selftest(&file, &[]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("--overwrite"));
}
