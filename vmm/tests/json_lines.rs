//! `inkbed run --json-lines` on real guests: the lines tell the run, and say what its record says.

#[path = "support/kvm.rs"]
mod kvm;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use inkbed::record::run::{RunRecord, RunState};
use inkbed::record::store::read_record;
use kvm::require_kvm;
use serde_json::{Value, json};

const HEAD: &str = "# Lines?\nname = \"lines\"\nquestion = \"Lines?\"\n[defaults]\nsamples = 4\nwarm_up = 0\nlaunches = 2\n\
                    trace_round_trips = 0\n";

fn case(name: &str, rest: &str) -> String {
    format!(
        "[[case]]\nname = \"{name}\"\nworkload = \"call\"\nclient = \"user\"\nserver = \"user\"\npcid = \"off\"\n{rest}"
    )
}

/// The command that runs these cases, and the folder of its results.
fn command(folder: &Path, cases: &str) -> (Command, PathBuf) {
    let (file, out) = (folder.join("lines.toml"), folder.join("out"));
    fs::write(&file, HEAD.to_owned() + cases).unwrap();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"));
    command.arg("run").arg(&file).arg("--out").arg(&out).arg("--json-lines");
    (command, out)
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The events in their order, each with its case and launch.
fn told(lines: &[Value]) -> Vec<String> {
    let word = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => format!(" {}", text.split('/').next().unwrap_or_default()),
        other => format!(" {other}"),
    };
    let told = |line: &Value| {
        format!("{}{}{}", line["event"].as_str().unwrap(), word(&line["case"]), word(&line["launch"]))
    };
    lines.iter().map(told).collect()
}

/// What a `case_ended` must say, by the record.
fn ended(record: &RunRecord, index: usize) -> Value {
    let case = &record.cases[index];
    json!({
        "event": "case_ended",
        "case": case.name,
        "succeeded": case.succeeded(),
        "outcome": case.outcome,
        "round_trips": case.round_trips,
        "counters": case.counters,
        "disagreements": [],
    })
}

#[test]
fn the_lines_tell_a_run_from_begin_to_end() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut command, out) = command(folder.path(), &(case("a", "") + &case("b", "launches = 1\n")));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let (lines, record) = (lines(&output), read_record(&out).unwrap());
    let order = [
        "run_begun",
        "launch_begun a 1",
        "launch_begun b 1",
        "case_ended b",
        "launch_begun a 2",
        "case_ended a",
        "run_ended",
    ];
    assert_eq!(told(&lines), order);
    let (a, b) = (&record.cases[0], &record.cases[1]);
    let plan = json!({
        "event": "run_begun",
        "schema": "inkbed-events",
        "version": 1,
        "experiment": "lines",
        "question": "Lines?",
        "host": record.host.name,
        "guest_sha256": record.guest.sha256,
        "folder": out,
        "cases": [{"name": a.name, "launches": 2}, {"name": b.name, "launches": 1}],
        "launches_planned": 3,
        "absent": record.absent,
    });
    assert_eq!(lines[0], plan);
    assert_eq!(lines[4], json!({"event": "launch_begun", "case": a.name, "launch": 2, "launches": 2}));
    assert_eq!((&lines[3], &lines[5]), (&ended(&record, 1), &ended(&record, 0)));
    assert_eq!(lines[5]["counters"]["page_table_loads"], json!({"total": 16, "per_round_trip": 2.0}));
    let end = json!({
        "event": "run_ended",
        "experiment": "lines",
        "state": "finished",
        "cases_planned": 2,
        "cases_complete": 2,
        "failed": [],
        "folder": out,
    });
    assert_eq!(lines[6], end);
}

#[test]
fn a_case_that_fails_is_told_with_its_last_words() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let never = case("never", "launches = 1\ndeadline_seconds = 1\nwarm_up = 1000000000\n");
    let (mut command, out) = command(folder.path(), &(never + &case("fine", "launches = 1\n")));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let (lines, record) = (lines(&output), read_record(&out).unwrap());
    let order = [
        "run_begun",
        "launch_begun never 1",
        "case_ended never",
        "launch_begun fine 1",
        "case_ended fine",
        "run_ended",
    ];
    assert_eq!(told(&lines), order);
    assert_eq!((&lines[2], &lines[4]), (&ended(&record, 0), &ended(&record, 1)));
    assert_eq!((&lines[2]["succeeded"], &lines[2]["outcome"]["kind"]), (&json!(false), &json!("hang")));
    assert!(lines[2]["outcome"]["last_words"]["registers"]["rip"].is_string(), "{}", lines[2]);
    assert_eq!(
        (&lines[5]["state"], &lines[5]["failed"]),
        (&json!("finished"), &json!([record.cases[0].name]))
    );
}

/// A case that is interrupted has no end; the run has.
#[test]
fn an_interrupted_run_is_told_to_its_end() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let never = case("never", "launches = 1\ndeadline_seconds = 600\nwarm_up = 1000000000\n");
    let (mut command, out) = command(folder.path(), &(case("fine", "launches = 1\n") + &never));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut told_so_far = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if line["event"] == "launch_begun" && line["case"].as_str().unwrap().starts_with("never") {
            // SAFETY: it only sends a signal, to a child that was not waited for.
            assert_eq!(unsafe { libc::kill(child.id().cast_signed(), libc::SIGINT) }, 0);
        }
        told_so_far.push(line);
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let order = ["run_begun", "launch_begun fine 1", "case_ended fine", "launch_begun never 1", "run_ended"];
    assert_eq!(told(&told_so_far), order);
    let end = &told_so_far[4];
    assert_eq!((&end["state"], &end["cases_planned"]), (&json!("interrupted"), &json!(2)));
    assert_eq!((&end["cases_complete"], &end["failed"]), (&json!(1), &json!([])));
    assert_eq!(read_record(&out).unwrap().state, RunState::Interrupted);
}

/// Lines that cannot be written end no run; the exit code says that they are missing.
#[test]
fn a_run_goes_on_without_a_reader_of_its_lines() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut command, out) = command(folder.path(), &case("a", ""));
    let output = command.stdout(File::create("/dev/full").unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text.matches("cannot write to standard output").count(), 1, "{text}");
    let record = read_record(&out).unwrap();
    assert_eq!((record.state, record.cases[0].round_trips), (RunState::Finished, 8));
}

#[test]
fn lines_are_asked_for_alone() {
    for other in ["--json", "--ticks", "--dry-run"] {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"));
        let output = command.args(["run", "ipc", "--json-lines", other]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{other}: {output:?}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("cannot be used with"),
            "{other}: {output:?}"
        );
    }
}
