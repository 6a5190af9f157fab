//! Runs without KVM, in QEMU: their counts are those of every other machine, and its clock shows what KVM's single steps count.
//! Where QEMU is not installed, what needs it is skipped.

#[path = "support/kvm.rs"]
mod kvm;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use inkbed::elsewhere::qemu::Qemu;
use inkbed::record::run::RunRecord;
use inkbed::record::store::read_record;
use kvm::require_kvm;

/// Whether QEMU is there; says so if not.
fn require_qemu() -> bool {
    let found = Qemu::find();
    if let Err(error) = &found {
        println!("skipped: {error}");
    }
    found.is_ok()
}

fn inkbed() -> Command {
    Command::new(assert_cmd::cargo::cargo_bin!("inkbed"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs an experiment in QEMU, and returns its record with what it said.
fn run(experiment: &str, arguments: &[&str]) -> (RunRecord, String) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let output = inkbed()
        .args([
            "run",
            experiment,
            "--machine",
            "qemu",
            "--set",
            "launches=1",
            "--set",
            "deadline_seconds=600",
        ])
        .args(arguments)
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    (read_record(&out).unwrap(), said)
}

#[test]
fn the_placement_matrix_has_the_counts_of_the_reference_and_takes_the_same_instructions_each_time() {
    if !require_qemu() {
        return;
    }
    let (record, said) = run("ipc", &["--samples", "10", "--no-trace"]);
    assert!(said.contains("counts: as in the reference run, in all 43 cases"), "{said}");
    assert_eq!((record.cases.len(), record.failures().count()), (43, 0));
    assert!(record.host.tsc_counts_instructions && record.host.summary.starts_with("QEMU "));
    assert!(record.host.timing_problem.is_some(), "no tick of it is time");
    for case in &record.cases {
        assert!(!case.ticks.is_empty(), "{}", case.name);
        for figures in case.ticks.values() {
            assert_eq!(figures.summary.min, figures.summary.max, "{}", case.name);
        }
    }
}

/// Two ways of counting that share nothing: a translator's counter, and a processor that stops behind each instruction.
#[test]
fn qemus_clock_shows_what_kvms_single_steps_count() {
    if !require_qemu() || !require_kvm() {
        return;
    }
    let (record, _) = run("path-length", &["--samples", "8", "--case", "words=0", "--case", "words=8"]);
    for case in &record.cases {
        let row = case.agreements.iter().find(|row| row.what == "instructions from clock to clock");
        let row = row.unwrap_or_else(|| panic!("{}: nothing compared", case.name));
        assert!(row.agrees, "{}: {:?}", case.name, row.counts);
        assert_eq!(row.counts.keys().map(String::as_str).collect::<Vec<_>>(), ["trace", "tsc"]);
    }
}

/// Other CPUs start, take calls from each other, and their time slices end.
#[test]
fn guests_of_several_cpus_run() {
    if !require_qemu() {
        return;
    }
    let (record, _) = run("scaling", &["--samples", "4", "--vcpus", "4", "--no-trace"]);
    assert!(record.cases.iter().all(|case| case.parameters.vcpus == 4));
    assert!(record.cases.iter().any(|case| case.counters["ipc_remote"].total > 0));
}

#[test]
fn what_cannot_be_run_there_is_named_with_the_reason() {
    if !require_qemu() {
        return;
    }
    let several = inkbed().args(["run", "density", "--machine", "qemu"]).output().unwrap();
    assert_eq!(several.status.code(), Some(2));
    assert!(text(&several.stderr).contains("several guests at once are not run on QEMU"));
    let pinned = inkbed().args(["run", "ipc", "--machine", "qemu", "--pin", "auto"]).output().unwrap();
    assert_eq!(pinned.status.code(), Some(2));
    assert!(text(&pinned.stderr).contains("say --machine kvm"));
}

/// A case in QEMU that never ends by itself.
#[test]
fn a_deadline_ends_qemu() {
    if !require_qemu() {
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let output = inkbed()
        .args(["run", "ipc", "--machine", "qemu", "--case", "call/user-user/words=0", "--no-trace"])
        .args(["--set", "warm_up=1000000000", "--set", "deadline_seconds=1", "--set", "launches=1", "--out"])
        .arg(out.path().join("out"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("the deadline of 1 s passed"), "{}", text(&output.stderr));
}

/// Runs a case with this script in the place of QEMU.
fn with_stand_in(script: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("qemu-system-x86_64");
    let first = "#!/bin/sh\n[ \"$1\" != --version ] || { echo 'QEMU emulator version 99'; exit 0; }\n";
    fs::write(&program, first.to_owned() + script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let mut command = inkbed();
    command.args(["run", "ipc", "--machine", "qemu", "--case", "call/user-user/words=0", "--no-trace"]);
    command.args(["--set", "launches=1"]).env("PATH", path);
    command.arg("--out").arg(folder.path().join("out")).output().unwrap()
}

#[test]
fn a_qemu_that_fails_is_told_with_its_own_words() {
    let cases = [
        ("echo 'no such machine' >&2; exit 1", "QEMU did not start the guest: no such machine"),
        ("exit 0", "triple fault"),
        ("kill -9 $$", "QEMU was ended by signal 9"),
        ("exit 2", "QEMU ended with code 2"),
    ];
    for (script, words) in cases {
        let output = with_stand_in(script);
        assert_eq!(output.status.code(), Some(1), "{script}");
        let said = text(&output.stderr);
        assert!(said.contains(words), "{script}: {said}");
    }
}

#[test]
fn without_qemu_the_error_names_the_package() {
    let output = inkbed().args(["run", "ipc", "--machine", "qemu"]).env("PATH", "/nowhere").output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("apt install qemu-system-x86"), "{}", text(&output.stderr));
}

/// Hides `/dev/kvm` from a command, where this user may: in a mount namespace with another `/dev`.
fn without_kvm(arguments: &[&str], out: &Path) -> Option<Output> {
    let hide = "mount -t tmpfs none /dev && mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9 && exec \"$@\"";
    let can = Command::new("unshare").args(["--mount", "sh", "-c", hide, "sh", "true"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        println!("skipped: this user may not hide /dev/kvm");
        return None;
    }
    let program = assert_cmd::cargo::cargo_bin!("inkbed");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", hide, "sh"]).arg(program).args(arguments).arg("--out").arg(out);
    Some(command.output().unwrap())
}

#[test]
fn where_there_is_no_kvm_qemu_runs_the_guests_and_the_run_says_so() {
    if !require_qemu() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["run", "ipc", "--samples", "6", "--case", "call/user-*/words=0", "--set", "launches=1"];
    let out = folder.path().join("out");
    let Some(output) = without_kvm(&arguments, &out) else { return };
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("there is no /dev/kvm: QEMU "), "{said}");
    let record = read_record(&out).unwrap();
    assert!(record.host.summary.ends_with("without KVM"));
    assert!(text(&output.stdout).lines().nth(1).unwrap().contains("without KVM"), "at the top of the table");
}
