//! A server outside of the tree: the commands of the page, word for word.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::copy::{said, workspace};
use crate::kvm::require_kvm;

/// The lines of the page's first block of this kind.
fn block(kind: &str) -> Vec<String> {
    let page = fs::read_to_string(workspace().join("docs/adding-a-server.md")).unwrap();
    let (_, block) = page.split_once(&format!("```{kind}\n")).unwrap();
    let (block, _) = block.split_once("```").unwrap();
    block.lines().map(|line| line.strip_prefix("$ ").unwrap_or(line).to_owned()).collect()
}

/// A shell of a user who has `inkbed` in PATH, and no settings of cargo's.
fn shell(folder: &Path, commands: &[String]) -> Output {
    let mut shell = Command::new("bash");
    shell.current_dir(folder).arg("-ec").arg(commands.join("\n"));
    let kept = ["CARGO_HOME", "RUSTUP_HOME", "RUSTUP_AUTO_INSTALL"];
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if (text.starts_with("CARGO") || text.starts_with("RUST")) && !kept.contains(&text.as_ref()) {
            shell.env_remove(&name);
        }
    }
    let program = Path::new(env!("CARGO_BIN_EXE_inkbed"));
    let mut path = vec![program.parent().unwrap().to_owned()];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap()));
    // A server needs nothing from the network.
    shell.env("PATH", env::join_paths(path).unwrap()).env("CARGO_NET_OFFLINE", "true");
    shell.output().unwrap()
}

/// Runs commands that have to succeed.
fn run(folder: &Path, commands: &[String]) -> Output {
    let output = shell(folder, commands);
    assert!(output.status.success(), "{commands:?}\n{}", said(&output));
    output
}

/// The record of the only run below a folder.
fn record(folder: &Path) -> Value {
    let runs: Vec<PathBuf> =
        fs::read_dir(folder.join("results")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    serde_json::from_slice(&fs::read(runs[0].join("results.json")).unwrap()).unwrap()
}

/// A count of a case's traced round trip.
fn traced(case: &Value, count: &str) -> u64 {
    let reading = &case["lenses"]["trace"]["readings"][0];
    reading["counts"][count].as_u64().unwrap_or_else(|| panic!("{}", case["lenses"]))
}

#[test]
#[ignore = "builds a server"]
fn the_commands_of_the_page_make_and_measure_it() {
    if !require_kvm() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let commands = block("console");
    assert_eq!(commands.len(), 3, "{commands:?}");
    let output = run(place.path(), &commands);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    for command in &commands[1..] {
        assert!(printed.contains(&format!("\n  {command}\n")), "{command} is not in:\n{printed}");
    }
    assert!(!said(&output).contains("warning"), "{}", said(&output));
    assert!(!said(&output).contains("not taken as programs"), "{}", said(&output));

    let folder = place.path().join("busy");
    let record = record(&folder);
    let cases = record["cases"].as_array().unwrap();
    let names: Vec<&str> = cases.iter().map(|case| case["name"].as_str().unwrap()).collect();
    assert_eq!(cases.len(), 4, "{names:?}");
    for (case, loads) in cases.iter().zip([2, 0, 2, 0]) {
        assert_eq!(case["parameters"]["server_program"], "busy", "{}", case["parameters"]);
        assert_eq!(case["outcome"]["kind"], "finished", "{}", case["outcome"]);
        assert_eq!(case["expected"]["page_table_loads_per_round_trip"], loads, "{}", case["name"]);
        assert_eq!(case["expected"]["agrees"], true, "{}", case["name"]);
    }
    // The argument reaches the server. Its turns are the same instructions in both placements, and the call takes no more.
    let [idle_user, idle_kernel, busy_user, busy_kernel] = cases.as_slice() else { unreachable!() };
    let added = |idle, busy, count| traced(busy, count) - traced(idle, count);
    let turns = added(idle_user, busy_user, "instructions");
    assert!(turns >= 2 * 100, "{turns} instructions for 100 turns");
    assert_eq!(added(idle_kernel, busy_kernel, "instructions"), turns);
    assert_eq!(added(idle_user, busy_user, "path_instructions"), 0);
    assert_eq!(added(idle_kernel, busy_kernel, "path_instructions"), 0);

    // What it made is as formatted code is, and is still there.
    run(&folder, &["cargo fmt --check".to_owned()]);
    let again = shell(place.path(), &commands[..1]);
    assert_eq!(again.status.code(), Some(2), "{}", said(&again));
    assert!(said(&again).contains("busy is there already"), "{}", said(&again));
    assert!(folder.join("Cargo.lock").is_file());
}

/// Another folder, which a shell has to be told with care; its source comes from a repository. Then its build for 32 bits.
#[test]
#[ignore = "builds a server"]
fn a_repository_is_enough() {
    if !require_kvm() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let clone = place.path().join("clone");
    run(&workspace(), &[format!("git clone --quiet --no-hardlinks . {}", clone.display())]);
    let command = format!("inkbed new server busy --path 'a b/c' --inkbed file://{}", clone.display());
    let output = run(place.path(), &[command]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let commands: Vec<String> =
        printed.lines().filter_map(|line| line.strip_prefix("  ")).map(str::to_owned).collect();
    assert_eq!(commands[0], "cd 'a b/c' && cargo build --release");
    // Into a folder of cargo's own: the repository is soon gone.
    let settings = format!("export CARGO_NET_OFFLINE=false CARGO_HOME={}/cargo", place.path().display());
    run(place.path(), &[settings.clone(), commands[0].clone()]);
    let folder = place.path().join("a b/c");
    run(&folder, &[vec![settings], block("sh")].concat());
    let program = fs::read(folder.join("target/x86_64-unknown-none/release/busy-32")).unwrap();
    assert_eq!(program[4], 1, "an ELF file of 32 bits");
    // inkbed takes both, and refuses a build for another width than its name says.
    let dry_run = [format!("{} --dry-run", commands[1])];
    run(&folder, &dry_run);
    run(&folder, &["cd target/x86_64-unknown-none/release && cp busy busy-32".to_owned()]);
    let refused = shell(&folder, &dry_run);
    assert!(said(&refused).contains("busy-32 is no 32-bit ELF file"), "{}", said(&refused));
}
