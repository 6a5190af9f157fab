//! `inkbed trace` on real guests.

#[path = "support/kvm.rs"]
mod kvm;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use inkbed::lens::trace::timeline::Timeline;
use kvm::require_kvm;
use predicates::prelude::*;

fn inkbed() -> Command {
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("inkbed");
    command.current_dir(workspace());
    command
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A folder that somebody else writes to stays as it is.
#[test]
fn a_folder_of_a_run_under_way_is_refused() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let held = std::fs::File::create(folder.path().join("run.lock")).unwrap();
    held.lock().unwrap();
    inkbed()
        .args(["trace", "bench-config/ipc.toml", "--case", "call/user-user/words=0", "--out"])
        .arg(folder.path())
        .assert()
        .code(2)
        .stderr(predicate::str::contains("a run is under way"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was written");
}

#[test]
fn a_trace_has_a_table_a_listing_and_folded_stacks() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("traces");
    inkbed()
        .args(["trace", "bench-config/ipc.toml", "--case", "call/user-user/words=0", "--round-trips", "2"])
        .arg("--out")
        .arg(&out)
        .assert()
        .success()
        .stdout(predicate::str::contains("kernel entry").and(predicate::str::contains("page-table loads")));
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    let counted: serde_json::Value = serde_json::from_str(&read("trace.json")).unwrap();
    let (_, case) = counted["cases"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(case["round_trips"], 2);
    assert_eq!(case["counts"]["kinds"]["page_table_loads"], 2);
    let files = || std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
    let text = |extension: &str| {
        let is_it = |path: &PathBuf| path.to_string_lossy().ends_with(&format!(".{extension}"));
        std::fs::read_to_string(files().find(is_it).unwrap()).unwrap()
    };
    assert!(text("listing").contains("mov cr3"));
    assert!(text("svg").starts_with("<svg") && text("svg").contains("ring, phase, function"));
    let timeline: Timeline = serde_json::from_str(&text("timeline.json")).unwrap();
    assert!(timeline.trace_events.iter().any(|event| event.cat == "system call"));
    assert!(text("folded").lines().all(|line| line.starts_with("ring ")));
}

#[test]
fn a_case_without_calls_says_why_it_has_no_counts() {
    if !require_kvm() {
        return;
    }
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    let text = "name = \"none\"\nquestion = \"?\"\n\n[[case]]\nworkload = \"empty\"\nclient = \"user\"\n";
    std::fs::write(file.path(), text).unwrap();
    inkbed()
        .arg("trace")
        .arg(file.path())
        .assert()
        .success()
        .stdout(predicate::str::contains("no complete round trip"));
}

#[test]
fn a_pattern_that_no_case_matches_is_a_wrong_use() {
    inkbed()
        .args(["trace", "bench-config/ipc.toml", "--case", "nothing like it"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("no case matches"));
}
