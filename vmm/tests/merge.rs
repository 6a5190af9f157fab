//! Parts of a run on real guests: what they make together is the run, even if one of them was killed and gone on with.

#[path = "support/kvm.rs"]
mod kvm;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use inkbed::record::run::{CaseRecord, RunRecord};
use inkbed::record::store::read_record;
use kvm::require_kvm;

const FILE: &str = "# Parts?\nname = \"parts\"\nquestion = \"Parts?\"\n[defaults]\nsamples = 40\nwarm_up = 1\nlaunches = 2\n\
    pcid = \"off\"\ntrace_round_trips = 0\n[[case]]\nworkload = \"empty\"\nclient = \"user\"\n\
    [[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = [\"user\", \"kernel\"]\nwords = [0, 4, 8]\n";

fn inkbed(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"));
    command.current_dir(folder).args(arguments);
    command
}

fn done(command: &mut Command, code: i32) -> Output {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    output
}

/// What is the same in each run of these cases, in their order: round trips, launches and counts of each.
fn exact(run: &RunRecord) -> Vec<(&str, u64, usize, [u64; 4])> {
    const COUNTERS: [&str; 4] = ["page_table_loads", "page_table_loads_elided", "ipc_fast", "ipc_slow"];
    let counts = |case: &CaseRecord| COUNTERS.map(|name| case.counters[name].total);
    run.cases.iter().map(|case| (&*case.name, case.round_trips, case.launches.len(), counts(case))).collect()
}

#[test]
fn merged_parts_have_the_counts_of_one_run() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("parts.toml"), FILE).unwrap();
    done(&mut inkbed(path, &["run", "parts.toml", "--out", "whole"]), 0);
    let part = |number: u32| {
        let (shard, out) = (format!("{number}/3"), number.to_string());
        inkbed(path, &["run", "parts.toml", "--resume", "--shard", &shard, "--out", &out])
    };
    let mut killed = part(2).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(120);
    let launches = || fs::read_to_string(path.join("2/launches.jsonl")).unwrap_or_default().lines().count();
    while launches() == 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    done(&mut part(1), 0);
    done(&mut part(3), 0);

    // The killed one is missing.
    let unfinished = done(&mut inkbed(path, &["merge", "1", "2", "3", "--out", "merged"]), 2);
    assert!(String::from_utf8_lossy(&unfinished.stderr).contains("the run in 2 has"), "{unfinished:?}");
    let other =
        done(&mut inkbed(path, &["run", "parts.toml", "--resume", "--shard", "1/3", "--out", "2"]), 2);
    assert!(String::from_utf8_lossy(&other.stderr).contains("the option `shard` was 2/3, now 1/3"));
    done(&mut part(2), 0);
    let merged = done(&mut inkbed(path, &["merge", "3", "1", "2", "--out", "merged"]), 0);
    assert!(String::from_utf8_lossy(&merged.stdout).contains("parts: Parts?"), "{merged:?}");

    let (merged, whole) =
        (read_record(&path.join("merged")).unwrap(), read_record(&path.join("whole")).unwrap());
    assert_eq!(exact(&merged), exact(&whole));
    assert_eq!(
        (merged.cases_planned, merged.launches_planned),
        (whole.cases_planned, whole.launches_planned)
    );
    assert!(merged.merged.as_ref().unwrap().sources[2].resumed.len() == 1);
    for launch in merged.cases.iter().flat_map(|case| &case.launches) {
        assert!(path.join("merged").join(launch.samples_file.as_ref().unwrap()).exists());
    }
    assert!(path.join("merged/report.html").exists());
    let csv =
        |folder: &str| fs::read_to_string(path.join(folder).join("results.csv")).unwrap().lines().count();
    assert_eq!(csv("merged"), csv("whole"));
}

#[test]
fn a_count_of_another_host_that_is_not_the_same_ends_with_its_name() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("parts.toml"), FILE).unwrap();
    for out in ["here", "there"] {
        done(&mut inkbed(path, &["run", "parts.toml", "--case", "words=0", "--out", out]), 0);
    }
    let file = path.join("there/results.json");
    let mut record: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    record["host"]["name"] = "elsewhere".into();
    fs::write(&file, record.to_string()).unwrap();
    done(&mut inkbed(path, &["merge", "here", "there", "--out", "same"]), 0);
    let same = read_record(&path.join("same")).unwrap();
    let samples = |name: &str| {
        let case = same.cases.iter().find(|case| case.name == name).unwrap();
        fs::read(path.join("same").join(case.launches[0].samples_file.as_ref().unwrap())).unwrap()
    };
    let name = same.cases[0].name.as_str();
    assert_ne!(samples(name), samples(&format!("{name}@elsewhere")), "each has its own");

    record["cases"][0]["counters"]["page_table_loads"]["per_round_trip"] = 7.0.into();
    fs::write(&file, record.to_string()).unwrap();
    let output = done(&mut inkbed(path, &["merge", "here", "there", "--out", "other"]), 1);
    let table = String::from_utf8_lossy(&output.stdout).replace("\n  ", " ");
    assert!(table.contains("7 on elsewhere"), "{table}");
    record["inkbed"]["abi_version"] = 99.into();
    fs::write(&file, record.to_string()).unwrap();
    let output = done(&mut inkbed(path, &["merge", "here", "there", "--out", "never"]), 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("ABI version is"), "{output:?}");
    assert!(!path.join("never").exists());
}
