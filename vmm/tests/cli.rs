//! The command line without guests: help, lists, errors with their fixes, exit codes, reports of stored runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use assert_cmd::Command;
use predicates::prelude::*;

fn inkbed() -> Command {
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("inkbed");
    command.current_dir(workspace());
    command
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A folder with the record of a small finished run.
fn stored_run() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/results.json");
    fs::copy(stored, folder.path().join("results.json")).unwrap();
    folder
}

/// An experiment file with one case, changed by `change`.
fn experiment(change: impl FnOnce(&str) -> String) -> tempfile::NamedTempFile {
    let text = "# Why?\nname = \"small\"\nquestion = \"Why?\"\n\n[[case]]\nworkload = \"call\"\nclient = \"user\"\n\
                server = \"kernel\"\nwords = 4\n";
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    fs::write(file.path(), change(text)).unwrap();
    file
}

#[test]
fn help_names_all_commands_and_exit_codes() {
    let commands = [
        "run",
        "trace",
        "boot",
        "new",
        "record",
        "requests",
        "advise",
        "doctor",
        "selftest",
        "list",
        "show",
        "report",
        "compare",
        "completions",
        "man",
    ];
    let assert =
        inkbed().arg("--help").assert().success().stdout(predicate::str::contains("130  interrupted"));
    let text = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    for command in commands {
        assert!(text.contains(&format!("\n  {command} ")), "{command} is not in:\n{text}");
        inkbed().args([command, "--help"]).assert().success();
    }
}

/// `inkbed` with no more address space than so many MiB.
fn inkbed_within(mebibytes: u32) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -v {}; exec \"$0\" \"$@\"", u64::from(mebibytes) << 10));
    command.arg(assert_cmd::cargo::cargo_bin!("inkbed"));
    command
}

#[test]
fn a_file_without_end_is_refused_in_bounded_memory() {
    let long = tempfile::NamedTempFile::new().unwrap();
    long.as_file().set_len(1 << 40).unwrap();
    let long = long.path().to_str().unwrap();
    let cases: [(&[&str], u32, i32, &str); 6] = [
        (&["run", "/dev/zero", "--dry-run"], 256, 2, "no regular file"),
        (&["run", long, "--dry-run"], 256, 2, "it is longer than"),
        (&["run", long], 256, 2, "it is longer than"),
        (&["report", "/dev/zero"], 1024, 4, "no regular file"),
        (&["report", long], 1024, 4, "it is longer than"),
        (&["boot", "--kernel", "/dev/zero"], 512, 2, "no regular file"),
    ];
    for (arguments, mebibytes, code, reason) in cases {
        let refused = predicate::str::contains(reason);
        inkbed_within(mebibytes).args(arguments).assert().code(code).stderr(refused);
    }
    let file = experiment(|text| format!("{text}tlb_models = [\"/dev/zero\"]\ntrace_round_trips = 1\n"));
    let refused = predicate::str::contains("no regular file");
    inkbed_within(256).arg("run").arg(file.path()).arg("--dry-run").assert().code(2).stderr(refused);
}

#[test]
fn no_command_shows_help_and_is_a_wrong_use() {
    inkbed().assert().code(2).stderr(predicate::str::contains("Usage: inkbed"));
    inkbed().arg("runn").assert().code(2).stderr(predicate::str::contains("run"));
}

#[test]
fn the_experiments_are_listed_with_their_questions_everywhere() {
    let elsewhere = tempfile::tempdir().unwrap();
    inkbed().current_dir(&elsewhere).arg("list").assert().success().stdout(
        predicate::str::contains("ipc (up to")
            .and(predicate::str::contains("working-set"))
            .and(predicate::str::contains("What does an IPC call cost")),
    );
    let output = inkbed().current_dir(&elsewhere).args(["list", "--json"]).output().unwrap();
    let built_in: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!built_in.as_array().unwrap().is_empty());
    let output = inkbed().args(["list", "--json", "bench-config"]).output().unwrap();
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(list.as_array().unwrap().len(), built_in.as_array().unwrap().len());
    for entry in list.as_array().unwrap() {
        let text = fs::read_to_string(workspace().join(entry["file"].as_str().unwrap())).unwrap();
        let first_line = text.lines().next().unwrap();
        assert_eq!(first_line, format!("# {}", entry["question"].as_str().unwrap()));
    }
}

#[test]
fn a_built_in_experiment_runs_everywhere_and_can_be_changed() {
    let elsewhere = tempfile::tempdir().unwrap();
    let inkbed = || {
        let mut command = inkbed();
        command.current_dir(&elsewhere);
        command
    };
    let text = fs::read_to_string(workspace().join("bench-config/chain.toml")).unwrap();
    inkbed().args(["show", "chain"]).assert().success().stdout(text.clone());
    inkbed()
        .args(["show", "chian"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("did you mean `chain`?"));
    let cases = |arguments: &[&str]| inkbed().args(["run", "--dry-run"]).args(arguments).output().unwrap();
    let built_in = cases(&["chain"]);
    assert!(built_in.status.success() && !built_in.stdout.is_empty());
    inkbed().args(["run", "--dry-run", "chan"]).assert().code(2).stderr(
        predicate::str::contains("did you mean the experiment `chain`?")
            .and(predicate::str::contains("inkbed list")),
    );
    // A folder of that name is no experiment, and a file of that name wins.
    fs::create_dir(elsewhere.path().join("chain")).unwrap();
    assert_eq!(cases(&["chain"]).stdout, built_in.stdout);
    fs::write(elsewhere.path().join("faults"), text).unwrap();
    assert_eq!(cases(&["faults"]).stdout, built_in.stdout);
}

/// Two committed runs, and a copy of one in which a count is another.
#[test]
fn runs_are_compared_and_conditions_decide_the_exit_code() {
    let run = workspace().join("results/ipc-kvm-pvm");
    let compare = |second: &Path, arguments: &[&str]| {
        inkbed().arg("compare").arg(&run).arg(second).args(arguments).assert()
    };
    let condition = ["--fail-if", "page_table_loads>0"];
    compare(&run, &condition).success().stdout(predicate::str::contains("are the same"));

    let changed = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(run.join("results.json")).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
    let is_call = |case: &&mut serde_json::Value| case["name"] == "call/user-user/words=0/pcid=off";
    let case = record["cases"].as_array_mut().unwrap().iter_mut().find(is_call).unwrap();
    case["counters"]["page_table_loads"]["per_round_trip"] = 3.into();
    fs::write(changed.path().join("results.json"), record.to_string()).unwrap();
    let changed = changed.path();
    compare(changed, &[])
        .success()
        .stdout(predicate::str::contains("page table loads").and(predicate::str::contains("+1")));
    compare(changed, &condition).code(6).stderr(predicate::str::contains("has 3, 2 before"));
    // What is met is told, whatever else cannot be.
    compare(changed, &["--fail-if", "segment_loads>0", "--fail-if", "page_table_loads>0"]).code(6);
    compare(changed, &["--fail-if", "page_table_loads>0", "--fail-if", "segment_loads>0"]).code(6);
    compare(changed, &["--fail-if", "page_table_loads>1"]).success();
    let json = compare(changed, &["--format", "json"]).success().get_output().stdout.clone();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["differences"][0]["second"], 3.0);

    // Ticks are no time where these runs are from.
    compare(&run, &["--fail-if", "ticks>2%"])
        .code(5)
        .stdout(predicate::str::contains(
            "Times are not compared in 42 cases: ticks are no time here: ring 0",
        ))
        .stderr(predicate::str::contains("ticks>2%: cannot be told of"));

    // Programs of one's own are others.
    let own = tempfile::tempdir().unwrap();
    record["guest"]["servers_folder"] = "mine".into();
    record["guest"]["programs_sha256"] = "ab".repeat(32).into();
    record["guest"]["sha256"] = "cd".repeat(32).into();
    fs::write(own.path().join("results.json"), record.to_string()).unwrap();
    compare(own.path(), &[]).code(2).stdout("").stderr(
        predicate::str::contains("the first run has built-in ones, the second those of mine")
            .and(predicate::str::contains("--allow-programs")),
    );
    compare(own.path(), &["--allow-programs"]).success();

    // More than two make a matrix, and a condition names the run that meets it.
    inkbed()
        .arg("compare")
        .args([&run, &run, &changed.to_owned()])
        .args(condition)
        .assert()
        .code(6)
        .stdout(predicate::str::contains("run 3").and(predicate::str::contains("3 (+1)")))
        .stderr(
            predicate::str::contains("run 3: page_table_loads>0")
                .and(predicate::str::contains("run 2:").not()),
        );
    inkbed().arg("compare").arg(&run).assert().code(2).stderr(predicate::str::contains("--peers"));
    let junit = ["--format", "junit", "--fail-if", "page_table_loads>0"];
    compare(changed, &junit)
        .code(6)
        .stdout(predicate::str::contains("<failure message=\"page_table_loads&gt;0"));

    // One run beside other kernels.
    inkbed()
        .args(["compare", "--peers"])
        .arg(&run)
        .assert()
        .success()
        .stdout(predicate::str::contains("seL4 16.0.0").and(predicate::str::contains("1,300").not()));
    inkbed().args(["compare", "--peers"]).args([&run, &run]).assert().code(2);

    // Another experiment has no case of these.
    compare(&workspace().join("results/chain-kvm-pvm"), &[]).code(5);
    compare(changed, &["--fail-if", "loads>0"])
        .code(2)
        .stderr(predicate::str::contains("there is no count `loads`"));
    compare(&changed.join("nowhere"), &[]).code(4);
}

#[test]
fn all_experiments_are_named_with_fewer_cases_where_it_is_to_be_quick() {
    let names = |arguments: &[&str]| -> Vec<String> {
        let output = inkbed().args(["run", "--all", "--dry-run"]).args(arguments).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    let (all, quick) = (names(&[]), names(&["--quick"]));
    assert!(quick.len() < all.len() && quick.iter().any(|name| name.starts_with("one/")), "{quick:?}");
    // What the user says counts more.
    assert!(
        names(&["--quick", "--vcpus", "3", "--case", "one/"]).iter().all(|name| name.contains("vcpus=3"))
    );
    let file = experiment(str::to_owned);
    inkbed()
        .args(["run", "--quick"])
        .arg(file.path())
        .assert()
        .code(2)
        .stderr(predicate::str::contains("--samples 10"));
    inkbed().args(["run", "--all", "ipc"]).assert().code(2);
}

#[test]
fn a_broken_file_does_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(workspace().join("bench-config/ipc.toml"), folder.path().join("good.toml")).unwrap();
    fs::write(folder.path().join("bad.toml"), "nam = \"x\"\n").unwrap();
    inkbed()
        .arg("list")
        .arg(folder.path())
        .assert()
        .code(2)
        .stdout(predicate::str::contains("good.toml"))
        .stderr(
            predicate::str::contains("bad.toml:1:1").and(predicate::str::contains("did you mean `name`?")),
        );
}

#[test]
fn a_dry_run_names_the_cases() {
    let file = experiment(|text| text.replace("words = 4", "words = [4, 512]\npcid = \"off\""));
    inkbed()
        .args(["run", "--dry-run"])
        .arg(file.path())
        .assert()
        .success()
        .stdout("call/user-kernel/words=4/pcid=off\ncall/user-kernel/words=512/pcid=off\n");
    inkbed()
        .args(["run", "--dry-run", "--case", "words=512"])
        .arg(file.path())
        .assert()
        .success()
        .stdout("call/user-kernel/words=512/pcid=off\n");
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_place_and_fix() {
    let wrong = [
        ("words = 4", "wrds = 4", ":9:1: unknown key `wrds`", "did you mean `words`?"),
        ("words = 4", "words = 4000", ":9:9: `words = 4000` is out of range", "from 0 to 512"),
        ("\"kernel\"", "\"kernle\"", ":8:10: unknown value `kernle`", "did you mean `kernel`?"),
        ("\"call\"", "\"cal", ":6:", "docs/experiment-files.md"),
        (
            "words = 4",
            "server_program = \"ecco\"",
            ":9:18: there is no program `ecco`",
            "did you mean `echo`?",
        ),
        ("words = 4", "same_space = true", ":9:14: only user placements", "without `same_space`"),
        ("words = 4", "samples = 0", ":9:11: `samples = 0`", "from 1 to"),
        ("words = 4", "vcpus = 100000", ":9:9: `vcpus = 100000`", "from 1 to"),
    ];
    for (from, to, message, fix) in wrong {
        let file = experiment(|text| text.replace(from, to));
        inkbed()
            .args(["run", "--dry-run"])
            .arg(file.path())
            .assert()
            .code(2)
            .stdout("")
            .stderr(predicate::str::contains("error: ").and(predicate::str::contains(message)))
            .stderr(predicate::str::contains("fix: ").and(predicate::str::contains(fix)));
    }
}

#[test]
fn what_is_wrong_with_the_command_line_is_said_with_the_fix() {
    let file = experiment(str::to_owned);
    let path = file.path().to_str().unwrap();
    let wrong: [(&[&str], &str); 9] = [
        (&["run", "no-such-file.toml"], "inkbed list"),
        (&["run", path, "--set", "sample=3"], "did you mean `samples`?"),
        (&["run", path, "--set", "samples"], "--set samples=1000"),
        (&["boot", "--server", "null@user", "--pin", "8000"], "--pin auto"),
        (&["run", path, "--samples", "0"], "from 1 to"),
        (&["run", path, "--memory", "64X"], "64M or 1G"),
        (&["run", path, "--case", "nothing"], "--dry-run"),
        (&["run", path, "--pin", "a"], "0-3,5, or `auto`"),
        (&["run", path, "--kernel", "/dev/null"], "ELF"),
    ];
    for (arguments, fix) in wrong {
        inkbed().args(arguments).assert().code(2).stdout("").stderr(predicate::str::contains(fix));
    }
    inkbed().args(["boot", "--server", "nul"]).assert().code(2).stderr(predicate::str::contains("`null`"));
    inkbed()
        .args(["boot", "--server", "null@moon"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("@kernel"));
    inkbed().args(["man", "rnu"]).assert().code(2).stderr(predicate::str::contains("`run`"));
    inkbed().args(["man", "new", "sever"]).assert().code(2).stderr(predicate::str::contains("`server`"));
    inkbed().args(["man", "run", "x"]).assert().code(2).stderr(predicate::str::contains("leave `x` out"));
}

#[test]
fn a_stored_run_is_shown_in_every_form() {
    let run = stored_run();
    let report = |format: &str| {
        let output = inkbed().arg("report").arg(run.path()).args(["--format", format]).output().unwrap();
        assert!(output.status.success(), "{format}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let table = report("table");
    assert!(table.contains("user → kernel") && !table.contains('\u{1b}'), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 110), "{table}");
    assert!(report("markdown").contains("| client → server |"));
    assert!(report("csv").starts_with("case,workload,"));
    let json: serde_json::Value = serde_json::from_str(&report("json")).unwrap();
    assert_eq!(json["schema"], "inkbed-results");
    inkbed().arg("report").arg(run.path()).arg("--json").assert().success();
}

#[test]
fn an_unfinished_run_is_shown_as_far_as_it_came() {
    let run = stored_run();
    let file = run.path().join("results.json");
    let mut record: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    record["state"] = "running".into();
    record["cases"].as_array_mut().unwrap().truncate(1);
    record.as_object_mut().unwrap().remove("finished_utc");
    fs::write(&file, record.to_string()).unwrap();
    inkbed()
        .arg("report")
        .arg(run.path())
        .assert()
        .success()
        .stdout(predicate::str::contains("1 of 3 cases"));
}

#[test]
fn what_is_no_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let report = || inkbed().arg("report").arg(folder.path()).assert();
    report().code(4).stderr(predicate::str::contains("fix: "));
    fs::write(folder.path().join("results.json"), "{\"schema\": \"inkbed-results\", \"version\": 99}")
        .unwrap();
    report().code(4).stderr(predicate::str::contains("version 99"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let run = stored_run();
    let program = assert_cmd::cargo::cargo_bin!("inkbed");
    let run_path = run.path().to_str().unwrap();
    for arguments in [&["report", run_path, "--json"][..], &["completions", "bash"], &["man"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Process::new(program);
        let output = command.args(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
        assert!(output.status.success(), "{arguments:?}: {}", output.status);
    }
}

#[test]
fn a_full_disk_is_an_error_of_its_own() {
    let run = stored_run();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Process::new(assert_cmd::cargo::cargo_bin!("inkbed"));
    let output = command.arg("report").arg(run.path()).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"), "{output:?}");
}

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        inkbed().args(["completions", shell]).assert().success().stdout(predicate::str::contains("doctor"));
    }
    inkbed().arg("man").assert().success().stdout(predicate::str::contains(".TH inkbed 1"));
    inkbed().args(["man", "run"]).assert().success().stdout(predicate::str::contains("inkbed\\-run"));
    let of_two_words = predicate::str::contains("inkbed\\-new\\-server");
    inkbed().args(["man", "new", "server"]).assert().success().stdout(of_two_words);
}

#[test]
fn doctor_tells_what_this_host_is() {
    let assert = inkbed().arg("doctor").assert();
    let code = assert.get_output().status.code();
    assert!(matches!(code, Some(0 | 3)), "{code:?}");
    let text = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert!(text.contains("/dev/kvm") && text.contains("lens kernel"), "{text}");
    let output = inkbed().args(["doctor", "--json"]).output().unwrap();
    let facts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(facts["timing"]["verdict"].is_string() && facts["tuning"].is_object(), "{facts}");
    let segments = &facts["segments"];
    assert!(segments["bases"].is_boolean() || segments["absent"].is_string(), "{segments}");
    if code == Some(0) {
        assert!(text.contains("segment bases"), "{text}");
    }
}
