//! Experiments on real guests: exact counts, and what is left when a run is stopped. Times are never asserted.

#[path = "support/kvm.rs"]
mod kvm;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use inkbed::lens::trace::Summary;
use inkbed::record::run::{CaseRecord, RunRecord, RunState};
use inkbed::record::store::{PAGE_FILE, read_record};
use inkbed::report::html::figures;
use kvm::require_kvm;

fn bench_config(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench-config").join(name)
}

fn run(file: &Path, out: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"));
    command.arg("run").arg(file).arg("--out").arg(out).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn loads(case: &CaseRecord) -> f64 {
    case.per_round_trip("page_table_loads").unwrap()
}

/// The cases of a run without PCIDs, by name without that.
fn without_pcid(run: &RunRecord) -> BTreeMap<&str, &CaseRecord> {
    run.cases.iter().filter_map(|case| Some((case.name.strip_suffix("/pcid=off")?, case))).collect()
}

#[test]
fn page_tables_are_loaded_exactly_when_the_rule_says() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("ipc");
    let output =
        run(&bench_config("ipc.toml"), &out, &["--samples", "8", "--set", "warm_up=3"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let run = read_record(&out).unwrap();
    assert_eq!((run.state, run.cases.len()), (RunState::Finished, run.cases_planned));
    let cases = without_pcid(&run);
    for words in [0, 4, 8, 64, 512] {
        assert_eq!(loads(cases[format!("call/user-user/words={words}").as_str()]), 2.0);
        for way in ["user-kernel", "kernel-user", "kernel-kernel", "same-space"] {
            assert_eq!(loads(cases[format!("call/{way}/words={words}").as_str()]), 0.0, "{way} {words}");
        }
    }
    assert_eq!(loads(cases["alternate/user-user-user"]), 6.0);
    assert_eq!(loads(cases["alternate/user-kernel-user"]), 2.0);
    assert_eq!(loads(cases["relay/user-user-user/words=0"]), 4.0);
    assert_eq!(loads(cases["relay/user-kernel-user/words=0"]), 2.0);
    assert_eq!(loads(cases["relay/user-user-kernel/words=0"]), 2.0);
    assert_eq!(loads(cases["relay/user-kernel-kernel/words=0"]), 0.0);
    let direct = cases["call/user-kernel/words=4/transfer=direct"];
    assert_eq!((loads(direct), direct.per_round_trip("context_switches")), (0.0, Some(0.0)));
    for case in &run.cases {
        assert_eq!(case.expected.agrees, Some(true), "{}", case.name);
        assert_eq!(case.round_trips, 8, "{}", case.name);
        let file = case.launches[0].samples_file.as_ref().unwrap();
        let array = npyz::NpyFile::new(fs::File::open(out.join(file)).unwrap()).unwrap();
        assert_eq!(array.shape(), [8, case.parameters.workload.channels().len() as u64], "{}", case.name);
    }
}

/// The page is that of this very run: it has the run's figures and links to the files beside it.
#[test]
fn a_run_leaves_its_page() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("calls");
    let arguments = ["--case", "call/user-*words=0/pcid=off", "--samples", "8", "--set", "launches=1"];
    let output = run(&bench_config("path-length.toml"), &out, &arguments).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let document = scraper::Html::parse_document(&fs::read_to_string(out.join(PAGE_FILE)).unwrap());
    let select = |text: &str| scraper::Selector::parse(text).unwrap();
    let record = read_record(&out).unwrap();
    let drawn = figures::of(&record);
    assert!(
        drawn.iter().any(|(definition, _)| definition.name == "flame"),
        "a traced call has a flame graph"
    );
    let claims: Vec<String> =
        document.select(&select("figure svg.wide title")).map(|title| title.text().collect()).collect();
    for (definition, figure) in
        drawn.iter().filter(|(definition, _)| ["flame", "phases"].contains(&definition.name))
    {
        assert!(claims.contains(&figure.claim), "{}: {claims:?}", definition.name);
    }
    let links: Vec<&str> =
        document.select(&select("a[href]")).filter_map(|link| link.value().attr("href")).collect();
    assert!(links.contains(&"results.json"), "{links:?}");
}

#[test]
fn pages_are_touched_in_both_placements_and_launches_are_separate_guests() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("working-set");
    let arguments = ["--samples", "3", "--case", "pages=4/", "--case", "pages=256/", "--set", "launches=2"];
    let output = run(&bench_config("working-set.toml"), &out, &arguments).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    // In a pipe each case has one line that counts it, and the last one leaves nothing to wait for.
    let lines: Vec<String> =
        stderr(&output).lines().filter(|line| line.starts_with('[')).map(str::to_owned).collect();
    for (number, line) in (1..).zip(&lines) {
        assert!(line.starts_with(&format!("[{number}/{}] ", lines.len())), "{lines:#?}");
        assert!(line.ends_with(" left"), "{lines:#?}");
    }
    assert!(lines.last().is_some_and(|line| line.ends_with(", 0.0 s left")), "{lines:#?}");
    let run = read_record(&out).unwrap();
    assert_eq!(lines.len(), run.cases.len());
    let cases = without_pcid(&run);
    assert_eq!(loads(cases["touch/user-user/pages=256"]), 2.0);
    assert_eq!(loads(cases["touch/user-kernel/pages=256"]), 0.0);
    for case in &run.cases {
        assert_eq!((case.launches.len(), case.round_trips), (2, 6), "{}", case.name);
    }
}

/// A guest that measures for a time finds out how many round trips fill it: its record, its samples and its counters have the same
/// number, and the rule's loads are of exactly so many.
#[test]
fn a_time_is_filled_by_a_number_on_which_everything_agrees() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("time.toml"), folder.path().join("out"));
    let case = |workload, rest| format!("[[case]]\nworkload = \"{workload}\"\nclient = \"user\"\n{rest}");
    let head = "# Long?\nname = \"time\"\nquestion = \"Long?\"\n[defaults]\nsamples = 20\nwarm_up = 3\npcid = \"off\"\n";
    let text = head.to_owned()
        + &case("empty", "seconds = 0.01\n")
        + &case("call", "server = [\"user\", \"kernel\"]\nseconds = 0.2\ntrace_round_trips = 2\n")
        + &case(
            "scaling",
            "server = \"user\"\nvcpus = 2\nserving = [\"pairs\", \"central\"]\nseconds = 0.2\n",
        )
        + &case("directions", "server = \"user\"\n");
    fs::write(&file, text).unwrap();
    let output = run(&file, &out, &[]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let run = read_record(&out).unwrap();
    let (counted, timed): (Vec<&CaseRecord>, Vec<&CaseRecord>) =
        run.cases.iter().partition(|case| case.parameters.seconds.is_none());
    assert_eq!((counted.len(), timed.len(), counted[0].round_trips), (1, 5, 20));
    for case in timed {
        let (name, launch) = (&case.name, &case.launches[0]);
        let threads = u64::from(case.parameters.measuring_threads());
        let count = case.round_trips;
        // Nobody has asked for a number, and the default is 300.
        assert!(![20, 300].contains(&(count / threads)) && count.is_multiple_of(threads), "{name}: {count}");
        assert!(count <= case.parameters.round_trips(), "{name}: {count}");
        assert_eq!(
            (launch.round_trips, case.ticks.values().next().unwrap().summary.count),
            (count, count),
            "{name}"
        );
        let every = launch.samples_every.unwrap();
        let array = fs::File::open(out.join(launch.samples_file.as_ref().unwrap())).unwrap();
        assert_eq!(npyz::NpyFile::new(array).unwrap().shape(), [count.div_ceil(every), 1], "{name}");
        let calls = if case.parameters.server.is_some() { 2 * count } else { 0 };
        let ipc = ["ipc_fast", "ipc_slow"].map(|name| case.counters[name].total);
        assert!(
            case.parameters.workload.name() == "scaling" || ipc == [calls, 0],
            "{name}: {ipc:?} of {count}"
        );
        assert_ne!(case.expected.agrees, Some(false), "{name}");
    }
    let calls = run.cases.iter().filter(|case| case.name.starts_with("call/"));
    assert!(calls.clone().count() == 2 && calls.clone().all(|case| case.expected.agrees == Some(true)));
    for case in calls {
        // A disagreement would have failed the case.
        let loads = case.agreements.iter().find(|row| row.what == "page-table loads").unwrap();
        assert!(["kernel", "rule", "trace"].iter().all(|lens| loads.counts.contains_key(*lens)), "{loads:?}");
    }
}

/// A trace follows the thread on the first CPU, whichever CPU comes last to a mark.
#[test]
fn a_guest_that_measures_on_several_cpus_is_traced() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for vcpus in ["2", "4"] {
        let out = folder.path().join(vcpus);
        let arguments =
            ["--samples", "3", "--vcpus", vcpus, "--set", "handlers_per_cpu=2", "--set", "launches=1"];
        let output = run(&bench_config("monolith.toml"), &out, &arguments)
            .args(["--set", "trace_round_trips=2", "--case", "monolith"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        for case in &read_record(&out).unwrap().cases {
            let reason = case.lenses["trace"].reason.as_deref();
            match case.parameters.workload.nature().is_measured_once {
                true => assert_eq!(reason, Some("it is measured once and not traced"), "{}", case.name),
                false => assert_eq!(
                    (case.lenses["trace"].readings[0]["round_trips"].as_u64(), reason),
                    (Some(2), None),
                    "{}",
                    case.name
                ),
            }
        }
    }
}

/// An experiment whose cases take about a second each.
fn slow_experiment(folder: &Path) -> PathBuf {
    let file = folder.join("slow.toml");
    let text = "# Slow?\nname = \"slow\"\nquestion = \"Slow?\"\n[[case]]\nworkload = \"call\"\nclient = \"user\"\n\
                server = \"user\"\nwords = [0, 1, 2, 3, 4]\npcid = \"off\"\nsamples = 2000\n";
    fs::write(&file, text).unwrap();
    file
}

/// Waits until the run in `out` has a finished case.
fn wait_for_a_case(child: &mut Child, out: &Path) -> usize {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(60) {
        let done = read_record(out).map_or(0, |record| record.cases.len());
        if done > 0 {
            return done;
        }
        assert!(child.try_wait().unwrap().is_none(), "the run has ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("no case within a minute");
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: kill has no memory effects here; the child has not been waited for, so its id is still its own.
    let result = unsafe { libc::kill(child.id() as i32, signal) };
    assert_eq!(result, 0);
}

#[test]
fn a_killed_run_leaves_every_finished_case_readable() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut child = run(&slow_experiment(folder.path()), &out, &[]).spawn().unwrap();
    let done = wait_for_a_case(&mut child, &out);
    signal(&child, libc::SIGKILL);
    child.wait().unwrap();
    let record = read_record(&out).unwrap();
    assert_eq!(record.state, RunState::Running);
    assert!((done..5).contains(&record.cases.len()), "{}", record.cases.len());
    assert!(record.cases.iter().all(CaseRecord::succeeded));
}

#[test]
fn ctrl_c_keeps_what_is_done() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut child = run(&slow_experiment(folder.path()), &out, &[]).spawn().unwrap();
    let done = wait_for_a_case(&mut child, &out);
    signal(&child, libc::SIGINT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("interrupted: "), "{}", stderr(&output));
    let record = read_record(&out).unwrap();
    assert_eq!(record.state, RunState::Interrupted);
    assert!((done..5).contains(&record.cases.len()));
    assert!(out.join("table.txt").exists());
}

#[test]
fn a_hung_case_is_recorded_and_the_others_go_on() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hang.toml");
    let case = |name: &str, rest: &str| {
        format!(
            "[[case]]\nname = \"{name}\"\nworkload = \"call\"\nclient = \"user\"\nserver = \"user\"\npcid = \"off\"\n{rest}"
        )
    };
    let head =
        "# Hang?\nname = \"hang\"\nquestion = \"Hang?\"\n[defaults]\nsamples = 4\nwarm_up = 0\n".to_owned();
    let never = case("never", "deadline_seconds = 1\nwarm_up = 1000000000\n");
    fs::write(&file, head + &never + &case("fine", "")).unwrap();
    let out = folder.path().join("out");
    let output = run(&file, &out, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(
        text.contains("failed: never/user-user/words=0/pcid=off: hang") && text.contains("rip"),
        "{text}"
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("FAILED never"));
    let record = read_record(&out).unwrap();
    assert_eq!(record.cases.iter().map(CaseRecord::succeeded).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_folder_in_use_is_refused_before_anything_is_run() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (slow_experiment(folder.path()), folder.path().join("out"));
    let arguments = ["--samples", "2", "--case", "words=0", "--json"];
    let output = run(&file, &out, &arguments).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let printed: RunRecord = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, read_record(&out).unwrap());
    let output = run(&file, &out, &arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--overwrite"), "{}", stderr(&output));
    let output = run(&file, &out, &["--samples", "2", "--case", "words=4", "--overwrite"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(fs::read_dir(out.join("samples")).unwrap().count(), 1, "only the new run's samples");
}

#[test]
fn pcids_without_hardware_are_refused() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--samples", "2", "--set", "pcid=on", "--case", "call/user-user/words=0"];
    let output = run(&bench_config("ipc.toml"), &folder.path().join("out"), &arguments).output().unwrap();
    if output.status.success() {
        let run = read_record(&folder.path().join("out")).unwrap();
        assert!(run.cases[0].features.contains(&"pcid".to_owned()), "this host has them");
    } else {
        assert_eq!(output.status.code(), Some(2));
        assert!(
            stderr(&output).contains("no PCIDs") && stderr(&output).contains("auto"),
            "{}",
            stderr(&output)
        );
    }
}

/// Whether segments have bases, or limits, on the host of a run. Where `INKBED_REQUIRE_FEATURES` names it, they must.
fn segment_fact(run: &RunRecord, name: &str) -> bool {
    let has = run.host.facts["segments"][name].as_bool().unwrap_or(false);
    let required = std::env::var("INKBED_REQUIRE_FEATURES").unwrap_or_default();
    let is_required = required.split(',').any(|feature| feature.strip_prefix("segment-") == Some(name));
    assert!(has || !is_required, "segments must have {name} here");
    has
}

#[test]
fn small_spaces_load_what_the_kernel_does_where_segments_are_honoured() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("schemes");
    let arguments = ["--samples", "3", "--set", "warm_up=2", "--set", "trace_round_trips=2"];
    let output = run(&bench_config("schemes.toml"), &out, &arguments).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let run = read_record(&out).unwrap();
    let cases = without_pcid(&run);
    assert_eq!(loads(cases["call/user-user/words=0"]), 2.0);
    assert_eq!(loads(cases["call/user-kernel/words=0"]), 0.0);
    if !segment_fact(&run, "bases") {
        let absent =
            run.absent.iter().find(|absent| absent.what == "call/large-small/words=0/pcid=off").unwrap();
        assert!(absent.reason.contains("segments with a base"), "{}", absent.reason);
        println!("skipped: {}", absent.reason);
        return;
    }
    let per_round_trip = |case: &str, counter: &str| cases[case].per_round_trip(counter).unwrap();
    for (case, expected_loads, segment_loads) in [
        ("call/large-large/words=0", 2.0, 0.0),
        ("call/large-small/words=0", 0.0, 2.0),
        ("call/large-kernel/words=0", 0.0, 0.0),
        ("relay/large-large-large/words=0", 4.0, 0.0),
        ("relay/large-small-small/words=0", 0.0, 4.0),
        ("relay/large-kernel-kernel/words=0", 0.0, 0.0),
        ("alternate/large-large-large", 6.0, 0.0),
        ("alternate/large-small-large", 2.0, 4.0),
        ("alternate/large-kernel-large", 2.0, 0.0),
    ] {
        let flushes = per_round_trip(case, "tlb_full_flushes");
        assert_eq!((loads(cases[case]), flushes), (expected_loads, expected_loads), "{case}");
        assert_eq!(per_round_trip(case, "segment_loads"), segment_loads, "{case}");
    }
    for case in run.cases.iter().filter(|case| case.parameters.trace_round_trips > 0) {
        assert!(Summary::of_record(case).is_some(), "{}: {:?}", case.name, case.lenses["trace"].reason);
        assert_eq!(case.tlb_models.len(), 3, "{}", case.name);
    }
    let gates = run.cases.iter().filter(|case| case.name.starts_with("gates/"));
    assert_eq!(gates.count(), 2, "INT, and the one that the processor's maker has");
    // Its neighbour is out of a small server's reach only where limits are checked.
    let gets_it = |case: &str| cases[case].other_calls.unwrap().answered_meanwhile.total > 0;
    assert_eq!(gets_it("reach/large-small/target=neighbour"), !segment_fact(&run, "limits"));
    assert_eq!(gets_it("reach/large-small/target=client"), !segment_fact(&run, "limits"));
    assert!(!gets_it("reach/large-large/target=neighbour"));
    assert!(gets_it("reach/large-kernel/target=neighbour") && gets_it("reach/large-kernel/target=kernel"));
    let table = fs::read_to_string(out.join("table.txt")).unwrap();
    assert!(table.contains("schemes side by side"), "{table}");
}

/// Nothing to measure is no success.
#[test]
fn small_spaces_alone_end_with_the_reason_where_segments_are_not_honoured() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let arguments = ["--samples", "2", "--set", "trace_round_trips=0", "--case", "call/large-small/words=0"];
    let output = run(&bench_config("schemes.toml"), &out, &arguments).output().unwrap();
    if output.status.success() {
        let run = read_record(&out).unwrap();
        let is_absent = run.absent.iter().any(|absent| absent.what.starts_with("call/"));
        assert!(segment_fact(&run, "bases") && !is_absent, "{:?}", run.absent);
        return;
    }
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("no case can run on this host") && text.contains("fix:"), "{text}");
    assert!(!out.exists(), "no results of nothing");
}

#[test]
fn chosen_servers_are_booted() {
    if !require_kvm() {
        return;
    }
    let boot = |arguments: &[&str]| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"));
        command.arg("boot").args(arguments).output().unwrap()
    };
    let output = boot(&["--verbose"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("server 1"),
        "the console is on standard output"
    );
    assert!(stderr(&output).contains("finished, 10 round trips"), "{}", stderr(&output));
    let output = boot(&["--server", "null", "--server", "echo@kernel", "--vcpus", "2", "--deadline", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("stopped after 1 s"), "{}", stderr(&output));
    let output = boot(&["--server", "client", "--server", "relay@user", "--server", "null@kernel"]);
    assert!(output.status.success(), "{}", stderr(&output));
}
