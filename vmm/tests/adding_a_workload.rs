//! `docs/adding-a-workload.patch` adds a workload with two keys at four places, and it works.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::kvm::require_kvm;

#[path = "support/kvm.rs"]
mod kvm;

const PATCH: &str = "docs/adding-a-workload.patch";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The places: a file for the host, one for the guest, an entry in the interface, a line in the registry.
#[test]
fn four_places_are_enough() {
    let patch = fs::read_to_string(workspace().join(PATCH)).unwrap();
    let touched: BTreeSet<&str> = patch.lines().filter_map(|line| line.strip_prefix("+++ b/")).collect();
    let places = [
        "abi/src/workload.rs",
        "guest-servers/src/client/burst.rs",
        "vmm/src/workload/burst.rs",
        "vmm/src/workload/mod.rs",
    ];
    assert_eq!(touched, BTreeSet::from(places));
    let registry = patch.split("+++ b/vmm/src/workload/mod.rs").nth(1).unwrap();
    let added = |line: &&str| line.starts_with('+') && !line.starts_with("+++");
    assert_eq!(registry.lines().filter(added).count(), 2, "the module, and a line in the registry");
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    output
}

/// Applied to the files that are committed or would be, built, and run with both keys as lists.
#[test]
#[ignore = "builds everything once more"]
fn the_patch_applies_builds_and_runs() {
    if !require_kvm() {
        return;
    }
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("workload");
    let _ = fs::remove_dir_all(copy.join("files"));
    let files = copy.join("files");
    fs::create_dir_all(&files).unwrap();
    let list = run(Command::new("git").current_dir(workspace()).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]));
    for name in String::from_utf8(list.stdout).unwrap().split_terminator('\0') {
        let (from, to) = (workspace().join(name), files.join(name));
        if name.starts_with("results/") || !from.is_file() {
            continue;
        }
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&from, &to).unwrap();
    }
    run(Command::new("git").current_dir(&files).args(["init", "-q"]));
    run(Command::new("git").current_dir(&files).arg("apply").arg(workspace().join(PATCH)));
    let experiment = "# Rows?\nname = \"rows\"\nquestion = \"Rows?\"\n[[case]]\nworkload = \"burst\"\nclient = \"user\"\n\
                      server = \"user\"\ncalls = [1, 3]\npause = [0, 2]\nsamples = 20\npcid = \"off\"\ntrace_round_trips = 2\n";
    fs::write(files.join("rows.toml"), experiment).unwrap();
    let out = files.join("out");
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(&files).env("CARGO_TARGET_DIR", copy.join("target"));
    command.args(["run", "--locked", "-p", "inkbed", "--", "run", "rows.toml", "--out"]).arg(&out);
    run(&mut command);
    let record: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("results.json")).unwrap()).unwrap();
    let cases = record["cases"].as_array().unwrap();
    let name = |case: &serde_json::Value| case["name"].as_str().unwrap().to_owned();
    let names: Vec<String> = cases.iter().map(name).collect();
    let expected = [(1, 0), (1, 2), (3, 0), (3, 2)];
    let expected =
        expected.map(|(calls, pause)| format!("burst/user-user/calls={calls}/pause={pause}/pcid=off"));
    assert_eq!(names, expected);
    for (case, calls) in cases.iter().zip([1, 1, 3, 3]) {
        // By the rule there are two loads to a call, and the kernel has counted as many.
        assert_eq!(case["expected"]["page_table_loads_per_round_trip"], 2 * calls, "{}", name(case));
        assert_eq!(case["expected"]["agrees"], true, "{}", name(case));
    }
    let csv = fs::read_to_string(out.join("results.csv")).unwrap();
    let columns: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    assert!(columns.contains(&"calls") && columns.contains(&"pause"), "{columns:?}");
    let table = fs::read_to_string(out.join("table.txt")).unwrap();
    assert!(table.contains("several calls in a row") && table.contains("pause"), "{table}");
}
