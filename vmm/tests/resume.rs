//! `inkbed run --resume` on real guests: a run that is killed, and killed again, becomes what it would have become.

#[path = "support/kvm.rs"]
mod kvm;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use inkbed::record::run::{CaseRecord, RunRecord, RunState};
use inkbed::record::store::read_record;
use kvm::require_kvm;

const FILE: &str = "# On?\nname = \"on\"\nquestion = \"On?\"\n[defaults]\nsamples = 40\nwarm_up = 1\nlaunches = 3\npcid = \"off\"\n\
    trace_round_trips = 0\n[[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = [\"user\", \"kernel\"]\n\
    [[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = \"user\"\nguests = 2\n";

/// The command that begins or goes on with the run in the folder `out`, all in this folder.
fn command(folder: &Path, out: &str) -> Command {
    let file = folder.join("on.toml");
    if !file.exists() {
        fs::write(&file, FILE).unwrap();
    }
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"));
    command.arg("run").arg(&file).arg("--out").arg(folder.join(out)).arg("--resume");
    command
}

/// Ends it without a chance to write anything when so many launches are in its journal.
fn kill_behind(mut run: Child, out: &Path, launches: usize) {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        let journal = fs::read_to_string(out.join("launches.jsonl")).unwrap_or_default();
        if journal.lines().count() >= launches {
            break;
        }
        assert!(run.try_wait().unwrap().is_none() && Instant::now() < until, "it has ended before");
        sleep(Duration::from_millis(1));
    }
    run.kill().unwrap();
    run.wait().unwrap();
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What is the same in each run of these cases: round trips and counts of each.
fn exact(run: &RunRecord) -> Vec<(&str, u64, [u64; 5])> {
    const COUNTERS: [&str; 5] =
        ["page_table_loads", "page_table_loads_elided", "ipc_fast", "ipc_slow", "tlb_full_flushes"];
    let counts = |case: &CaseRecord| COUNTERS.map(|name| case.counters[name].total);
    run.cases.iter().map(|case| (&*case.name, case.round_trips, counts(case))).collect()
}

#[test]
fn a_run_that_is_killed_twice_has_the_counts_of_one_that_was_not() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(command(folder.path(), "whole").output().unwrap().status.success());
    let whole = read_record(&folder.path().join("whole")).unwrap();
    assert_eq!((whole.launches_done(), whole.resumed.len()), (9, 0));

    let out = folder.path().join("killed");
    for launches in [2, 5] {
        let run = command(folder.path(), "killed").stderr(Stdio::null()).spawn().unwrap();
        kill_behind(run, &out, launches);
        assert_eq!(read_record(&out).unwrap().state, RunState::Running);
    }
    let output = command(folder.path(), "killed").output().unwrap();
    assert!(output.status.success() && errors(&output).contains("going on behind"), "{output:?}");
    let record = read_record(&out).unwrap();
    assert_eq!((record.state, record.launches_done(), record.failures().count()), (RunState::Finished, 9, 0));
    assert_eq!(exact(&record), exact(&whole));
    for (one, other) in record.cases.iter().zip(&whole.cases) {
        let counts = |case: &CaseRecord| -> Vec<(String, u64)> {
            case.ticks.iter().map(|(name, channel)| (name.clone(), channel.summary.count)).collect()
        };
        assert_eq!(counts(one), counts(other));
        assert_eq!(one.launches.len(), other.launches.len());
    }
    assert_eq!(record.resumed.len(), 2);
    assert!(
        record.resumed[0].launches_done >= 2 && record.resumed[1].launches_done >= 5,
        "{:?}",
        record.resumed
    );

    // Nothing is left to do.
    let (before, table) = (fs::read(out.join("results.json")).unwrap(), output.stdout);
    let output = command(folder.path(), "killed").output().unwrap();
    assert!(output.status.success() && errors(&output).contains("finished already"), "{output:?}");
    assert_eq!(output.stdout, table);
    assert_eq!(fs::read(out.join("results.json")).unwrap(), before);
}

#[test]
fn another_option_file_or_guest_is_refused_by_name() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    kill_behind(command(folder.path(), "out").stderr(Stdio::null()).spawn().unwrap(), &out, 1);
    let left = |name: &str| fs::read(out.join(name)).unwrap();
    let before = (left("results.json"), left("launches.jsonl"));
    let name = read_record(&out).unwrap().host.name;
    let refused = |arguments: &[&str]| {
        let output = command(folder.path(), "out").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!((left("results.json"), left("launches.jsonl")), before);
        errors(&output)
    };
    assert!(refused(&["--samples", "41"]).contains("the option `samples` was not set, now 41"));
    assert!(refused(&["--pin", "auto"]).contains("the option `pin` was not set, now auto"));
    assert!(refused(&["--case", "kernel"]).contains("the option `case` was not set, now kernel"));

    // Any ELF file is another kernel; it never runs.
    assert!(refused(&["--kernel", "/bin/sh"]).contains("SHA-256 of the guest was"));

    fs::write(folder.path().join("on.toml"), FILE.replace("samples = 40", "samples = 41")).unwrap();
    assert!(refused(&[]).contains("SHA-256 of the experiment file was"));

    // The same on another host: the folder came from there.
    fs::write(folder.path().join("on.toml"), FILE).unwrap();
    let record = String::from_utf8(before.0.clone()).unwrap();
    let host = |name: &str| format!("\"host\": {{\n    \"name\": \"{name}\"");
    assert!(record.contains(&host(&name)));
    fs::write(out.join("results.json"), record.replace(&host(&name), &host("elsewhere"))).unwrap();
    let output = command(folder.path(), "out").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(errors(&output).contains(&format!("host was elsewhere, now {name}")), "{output:?}");
}
