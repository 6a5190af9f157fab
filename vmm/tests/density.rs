//! Many guests at once, on real guests: who counts, who is reported, what is left when something dies. No time is asserted.

#[path = "support/kvm.rs"]
mod kvm;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use inkbed::record::outcome::OutcomeRecord;
use inkbed::record::run::{CaseRecord, RunRecord, RunState};
use inkbed::record::store::read_record;
use kvm::require_kvm;

/// An experiment with these lines for its only case.
fn experiment(folder: &Path, lines: &str) -> PathBuf {
    let file = folder.join("many.toml");
    let usual = [("samples", "20"), ("warm_up", "2")];
    let missing = usual.iter().filter(|(key, _)| !lines.contains(key));
    let missing: String = missing.map(|(key, value)| format!("{key} = {value}\n")).collect();
    let text = format!(
        "# Many?\nname = \"many\"\nquestion = \"Many?\"\n[[case]]\nworkload = \"call\"\nclient = \"user\"\n\
         memory = \"32M\"\npcid = \"off\"\n{missing}{lines}"
    );
    fs::write(&file, text).unwrap();
    file
}

fn command(file: &Path, out: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"));
    command.arg("run").arg(file).arg("--out").arg(out).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The processes that a process has started.
fn children(process: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_ascii_whitespace().map(|number| number.parse().unwrap()).collect()
}

/// Waits until the run has started so many guests.
fn wait_for_guests(run: &mut Child, count: usize) -> Vec<u32> {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(60) {
        let guests = children(run.id());
        if guests.len() == count {
            return guests;
        }
        assert!(run.try_wait().unwrap().is_none(), "the run has ended");
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("no {count} guests within a minute");
}

fn signal(process: u32, signal: i32) {
    // SAFETY: kill has no memory effects here; the process is a child of one that has not waited for it.
    unsafe { libc::kill(process as i32, signal) };
}

fn is_gone(process: u32) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(20) {
        let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        if status.is_empty() || status.contains(") Z ") {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

fn guest_index(case: &CaseRecord, launch: usize) -> u32 {
    case.launches[launch].process.as_ref().unwrap().guest
}

/// Two guests share a CPU and one has another for itself: it is faster, and goes on until the others have measured. What it does
/// then is in no count.
#[test]
fn guests_of_different_pace_call_until_the_last_one_has_measured() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let lines = "server = \"kernel\"\nguests = 3\nsamples = 1500\n";
    let (file, out) = (experiment(folder.path(), lines), folder.path().join("out"));
    let output = command(&file, &out, &["--pin", "auto"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let run = read_record(&out).unwrap();
    let case = &run.cases[0];
    let parts = case.launches.iter().map(|launch| {
        let process = launch.process.as_ref().unwrap();
        (process.began_at_ns.unwrap() + launch.measured_ns.unwrap(), process.called_until_ns.unwrap())
    });
    let (ends, called_until): (Vec<u64>, Vec<u64>) = parts.unzip();
    let last_end = *ends.iter().max().unwrap();
    assert!(called_until.iter().all(|until| *until >= last_end), "{called_until:?}: {ends:?}");
    // The marks of all hold what was asked for, and nothing of what came behind.
    assert_eq!((case.round_trips, case.expected.agrees), (4_500, Some(true)));
    assert_eq!(case.per_round_trip("ipc_fast"), Some(2.0));
    assert!(case.launches.iter().all(|launch| launch.round_trips == 1_500));
    // All that keeps it from 1 is that they do not begin in the same instant.
    let begins = case.launches.iter().map(|launch| launch.process.as_ref().unwrap().began_at_ns.unwrap());
    let last_begin = begins.max().unwrap();
    let longest = case.launches.iter().map(|launch| launch.measured_ns.unwrap()).max().unwrap();
    let complete = ((last_end - last_begin) as f64 / longest as f64).min(1.0);
    let overlap = case.density.as_ref().unwrap().overlap.unwrap();
    assert!((overlap - complete).abs() < 0.001, "{overlap} of {complete}");
}

#[test]
fn four_guests_measure_together_and_each_has_a_row() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (file, out) =
        (experiment(folder.path(), "server = \"kernel\"\nguests = [1, 4]\n"), folder.path().join("out"));
    let output = command(&file, &out, &["--pin", "auto"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let run = read_record(&out).unwrap();
    let [lone, four] = run.cases.as_slice() else { panic!("two cases") };
    assert_eq!(four.name, "call/user-kernel/words=0/pcid=off/guests=4");
    let density = four.density.as_ref().unwrap();
    assert_eq!((density.guests, density.finished, density.failed), (4, 4, 0));
    assert_eq!(four.round_trips, 80);
    // The counts of each guest are those of a guest alone.
    assert_eq!(four.expected.agrees, Some(true));
    assert_eq!(
        four.per_round_trip("page_table_loads_elided"),
        lone.per_round_trip("page_table_loads_elided")
    );
    assert_eq!(lone.ticks["round_trip"].ratio_to_lone_guest, Some(1.0));
    assert!(four.ticks["round_trip"].ratio_to_lone_guest.is_some());
    for (index, launch) in four.launches.iter().enumerate() {
        let process = launch.process.as_ref().unwrap();
        assert_eq!(process.guest as usize, index);
        let memory = process.memory.expect("the guests were measured");
        assert!(memory.guest_rss_bytes > 0 && memory.overhead_pss_bytes > 0);
        assert!(process.entered_ns < process.created_ns && process.created_ns < process.started_ns);
        assert!(process.started_ns < process.first_mark_ns, "the times are in their order");
        assert!(process.began_at_ns.is_some());
        assert!(out.join(launch.samples_file.as_ref().unwrap()).exists());
    }
    let rows = fs::read_to_string(out.join("guests.csv")).unwrap();
    assert_eq!(rows.lines().count(), 1 + 5);
    let table = fs::read_to_string(out.join("table.txt")).unwrap();
    assert!(table.contains("call, all guests together"), "{table}");
    // There is a throughput of all, or a reason why not; how far they overlapped is known in any case.
    assert_eq!(density.round_trips_per_second.is_none(), density.not_at_once.is_some());
    if let Some(reason) = density.not_at_once {
        // The table breaks lines between words.
        let words: Vec<&str> = table.split_whitespace().collect();
        assert!(words.join(" ").contains(&reason.to_string()), "{reason}: {table}");
    }
    assert!(density.overlap.is_some_and(|overlap| (0.0..=1.0).contains(&overlap)));
    assert!(density.round_trips_at_once.is_none_or(|done| (4.0..=80.0).contains(&done)));
    let alone = lone.density.as_ref().unwrap();
    assert_eq!((alone.overlap, alone.round_trips_at_once, alone.not_at_once), (Some(1.0), Some(20.0), None));
}

#[test]
fn a_guest_that_is_killed_is_reported_and_the_others_go_on() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Long enough to be killed in the middle.
    let lines = "server = \"user\"\nguests = 4\nwarm_up = 1000\n";
    let (file, out) = (experiment(folder.path(), lines), folder.path().join("out"));
    let mut run = command(&file, &out, &[]).spawn().unwrap();
    let guests = wait_for_guests(&mut run, 4);
    signal(guests[2], libc::SIGKILL);
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(text.contains("guest 2: its process was killed (signal 9)"), "{text}");
    let record = read_record(&out).unwrap();
    let case = &record.cases[0];
    let density = case.density.as_ref().unwrap();
    assert_eq!((density.finished, density.failed, case.round_trips), (3, 1, 60));
    assert!(matches!(case.launches[2].outcome, OutcomeRecord::Lost { .. }));
    assert_eq!(guest_index(case, 2), 2);
    assert!(String::from_utf8_lossy(&output.stdout).contains("FAILED call/user-user"));
}

#[test]
fn guests_that_die_of_themselves_leave_their_last_words() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Not even the first one comes to its mark, so nobody may wait there for ever.
    let lines = "server = \"user\"\nguests = 2\nwarm_up = 1000000000\ndeadline_seconds = 1\n";
    let (file, out) = (experiment(folder.path(), lines), folder.path().join("out"));
    let output = command(&file, &out, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(
        text.contains("guest 0: hang") && text.contains("guest 1: hang") && text.contains("rip"),
        "{text}"
    );
    let record = read_record(&out).unwrap();
    assert!(record.cases[0].launches.iter().all(|launch| launch.outcome.last_words().is_some()));
}

#[test]
fn ctrl_c_ends_all_guests_and_keeps_what_is_done() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let lines = "server = [\"kernel\", \"user\"]\nguests = [1, 3]\nsamples = 100000\n";
    let (file, out) = (experiment(folder.path(), lines), folder.path().join("out"));
    let mut run = command(&file, &out, &["--set", "deadline_seconds=300"]).spawn().unwrap();
    let guests = wait_for_guests(&mut run, 1);
    signal(run.id(), libc::SIGINT);
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(guests.into_iter().all(is_gone));
    assert_eq!(read_record(&out).unwrap().state, RunState::Interrupted);
}

#[test]
fn no_guest_outlives_a_run_that_is_killed() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let lines = "server = \"user\"\nguests = 3\nsamples = 100000\n";
    let (file, out) = (experiment(folder.path(), lines), folder.path().join("out"));
    let mut run = command(&file, &out, &[]).spawn().unwrap();
    let guests = wait_for_guests(&mut run, 3);
    signal(run.id(), libc::SIGKILL);
    run.wait().unwrap();
    assert!(guests.into_iter().all(is_gone), "they die with their parent");
}

#[test]
fn a_guests_process_has_no_privileges_while_it_runs() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let lines = "server = \"user\"\nguests = 1\nsamples = 100000\n";
    let (file, out) = (experiment(folder.path(), lines), folder.path().join("out"));
    let mut run = command(&file, &out, &[]).spawn().unwrap();
    let guest = wait_for_guests(&mut run, 1)[0];
    let begin = Instant::now();
    let field = |text: &str, name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    // Every thread of it, once the guest runs.
    let all_confined = || {
        let tasks = fs::read_dir(format!("/proc/{guest}/task")).unwrap();
        let states: Vec<String> = tasks
            .map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default())
            .collect();
        let confined = |text: &String| {
            field(text, "Seccomp:").as_deref() == Some("2")
                && field(text, "NoNewPrivs:").as_deref() == Some("1")
                && field(text, "CapEff:").is_some_and(|value| value.chars().all(|digit| digit == '0'))
                && field(text, "CapPrm:").is_some_and(|value| value.chars().all(|digit| digit == '0'))
        };
        states.len() >= 2 && states.iter().all(confined)
    };
    while !all_confined() {
        assert!(begin.elapsed() < Duration::from_secs(30), "the process is not confined");
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(run.id(), libc::SIGINT);
    run.wait().unwrap();
}

#[test]
fn numbers_of_guests_that_make_no_sense_are_refused_before_any_starts() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for number in ["0", "10000", "-1"] {
        let file = experiment(folder.path(), &format!("server = \"user\"\nguests = {number}\n"));
        let output = command(&file, &folder.path().join("out"), &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{number}: {}", stderr(&output));
        assert!(stderr(&output).contains("1 to 1024"), "{}", stderr(&output));
    }
    assert!(!folder.path().join("out").exists());
}

#[test]
fn the_soft_limit_of_open_files_does_not_limit_guests() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path(), "server = \"kernel\"\nguests = 16\n");
    let out = folder.path().join("out");
    // So few are enough for the run itself, but not for two files of each guest.
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "ulimit -Sn 30 && exec \"$0\" \"$@\"",
        assert_cmd::cargo::cargo_bin!("inkbed").to_str().unwrap(),
    ]);
    let output = command.arg("run").arg(&file).arg("--out").arg(&out).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(read_record(&out).unwrap().cases[0].density.as_ref().unwrap().finished, 16);
}

#[test]
fn huge_pages_are_used_or_refused_with_the_fix() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let lines = "server = \"user\"\nguests = 1\nhuge_pages = [\"transparent\", \"reserved\"]\n";
    let (file, out) = (experiment(folder.path(), lines), folder.path().join("out"));
    let output = command(&file, &out, &[]).output().unwrap();
    let run: RunRecord = read_record(&out).unwrap();
    for case in &run.cases {
        match &case.outcome {
            OutcomeRecord::Finished { status: 0 } => {
                let memory = case.launches[0].process.as_ref().unwrap().memory.unwrap();
                println!("{}: {} bytes in huge pages", case.name, memory.guest_huge_bytes);
            }
            OutcomeRecord::NotStarted { reason } => {
                assert!(reason.contains("huge_pages = false"), "{reason}");
                println!("skipped: {reason}");
            }
            other => panic!("{}: {other}; {}", case.name, stderr(&output)),
        }
    }
}

#[test]
fn quotas_hold_or_are_refused_with_the_reason() {
    if !require_kvm() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quota.toml");
    let text = "# Quota?\nname = \"quota\"\nquestion = \"Quota?\"\n[guests]\ncpus = [0.25, 1]\nweight = [50, 100]\n\
                [[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = \"user\"\nguests = 2\npcid = \"off\"\n\
                memory = \"32M\"\nsamples = 100\n";
    fs::write(&file, text).unwrap();
    let out = folder.path().join("out");
    let output = command(&file, &out, &[]).output().unwrap();
    if !output.status.success() {
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("quotas need"), "{}", stderr(&output));
        assert!(std::env::var_os("INKBED_REQUIRE_QUOTAS").is_none(), "{}", stderr(&output));
        println!("skipped: {}", stderr(&output).trim());
        return;
    }
    let run = read_record(&out).unwrap();
    let quotas = run.cases[0].launches.iter().map(|launch| launch.process.as_ref().unwrap().cgroup.unwrap());
    let quotas: Vec<_> = quotas.collect();
    assert_eq!((quotas[0].quota.cpus, quotas[1].quota.cpus), (Some(0.25), Some(1.0)));
    assert_eq!((quotas[0].quota.weight, quotas[1].quota.weight), (Some(50), Some(100)));
    assert!(quotas.iter().all(|quota| quota.usage_us > 0), "{quotas:?}");
    assert!(quotas[0].throttled_periods > 0, "a quarter of a CPU is less than it wants: {quotas:?}");
}

#[test]
fn the_command_of_guests_is_not_for_people() {
    let output = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"))
        .arg("guest-process")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("`inkbed run` starts this command"), "{}", stderr(&output));
}

/// Slow: half a minute and more. `cargo test -- --ignored` runs it.
#[test]
#[ignore = "64 guests of 4 vCPUs"]
fn sixty_four_guests_of_four_vcpus_finish() {
    if !require_kvm() {
        return;
    }
    let begin = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let lines =
        "server = [\"user\", \"kernel\"]\nwords = [0, 4]\nvcpus = 4\nguests = 64\ndeadline_seconds = 600\n";
    let (file, out) = (experiment(folder.path(), lines), folder.path().join("out"));
    let output = command(&file, &out, &[]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let run = read_record(&out).unwrap();
    assert_eq!(run.cases.len(), 4);
    for case in &run.cases {
        let density = case.density.as_ref().unwrap();
        assert_eq!((density.finished, density.failed, case.round_trips), (64, 0, 64 * 20), "{}", case.name);
        assert_eq!(case.expected.agrees, Some(true), "{}", case.name);
        // The goal: at most 2 MiB of PSS for an idle guest beyond what it has touched.
        let overhead = density.overhead_pss_bytes.unwrap();
        assert!(overhead.max <= 2 << 20, "{}: {overhead:?}", case.name);
    }
    println!("4 × 64 guests of 4 vCPUs: {:.1} s", begin.elapsed().as_secs_f64());
}
