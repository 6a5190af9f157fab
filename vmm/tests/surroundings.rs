//! What surrounds a run does not decide over it: terminals that cannot be written to, signals, other runs, odd hosts.

#[path = "support/kvm.rs"]
mod kvm;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use inkbed::record::run::{RunRecord, RunState};
use inkbed::record::store::read_record;
use kvm::require_kvm;

/// A failing case and two good ones.
const FIRST_FAILS: &str = "# Why?\nname = \"small\"\nquestion = \"Why?\"\n[defaults]\nsamples = 5\npcid = \"off\"\n\
    [[case]]\nname = \"bad\"\nworkload = \"call\"\nclient = \"user\"\nserver = \"user\"\nserver_program = \"client\"\n\
    [[case]]\nworkload = \"null_system_call\"\nclient = [\"user\", \"kernel\"]\n";

/// Cases that take some seconds.
const LONG: &str = "# Why?\nname = \"long\"\nquestion = \"Why?\"\n[defaults]\nsamples = 2000\npcid = \"off\"\n\
    [[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = [\"user\", \"kernel\"]\n";

/// A folder with an experiment file, and a place for its results.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(experiment: &str) -> Place {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x.toml"), experiment).unwrap();
        Place { folder }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// The run, below the command `before`.
    fn run_below(&self, before: &[&str], arguments: &[&str]) -> Command {
        let program = assert_cmd::cargo::cargo_bin!("inkbed");
        let mut words = before.iter().map(Path::new).chain([program]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg("run").arg(self.folder.path().join("x.toml"));
        command.arg("--out").arg(self.out()).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Command {
        self.run_below(&[], arguments)
    }

    fn record(&self) -> RunRecord {
        read_record(&self.out()).unwrap()
    }

    /// Waits until the run has written its first record.
    fn wait_for_record(&self, child: &mut Child) {
        let start = Instant::now();
        while read_record(&self.out()).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "it ended too early");
            assert!(start.elapsed() < Duration::from_secs(60), "no record within a minute");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn send(signal: libc::c_int, child: &Child) {
    // SAFETY: The child has not been waited for, so its number is still its own.
    assert_eq!(unsafe { libc::kill(child.id() as libc::pid_t, signal) }, 0);
}

#[test]
fn a_terminal_that_cannot_be_written_to_ends_no_run() {
    if !require_kvm() {
        return;
    }
    let place = Place::new(FIRST_FAILS);
    let output = place.run(&[]).stderr(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("system call"), "the table is shown");
    let record = place.record();
    assert_eq!((record.state, record.cases.len(), record.failures().count()), (RunState::Finished, 3, 1));

    let place = Place::new(&FIRST_FAILS.replace("\"client\"\n[", "\"echo\"\n["));
    let output = place.run(&[]).stdout(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("standard output"), "{}", stderr(&output));
    assert_eq!((place.record().state, place.record().failures().count()), (RunState::Finished, 0));
}

#[test]
fn an_error_that_nobody_can_read_still_has_its_exit_code() {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"));
    let status = command.args(["report", "no-such-folder"]).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(4));
}

#[test]
fn a_signal_that_the_starter_ignores_is_ignored() {
    if !require_kvm() {
        return;
    }
    for (name, signal) in [("HUP", libc::SIGHUP), ("INT", libc::SIGINT)] {
        let place = Place::new(LONG);
        let trap = format!("trap '' {name}; exec \"$@\"");
        let mut child = place.run_below(&["sh", "-c", &trap, "sh"], &[]).spawn().unwrap();
        place.wait_for_record(&mut child);
        send(signal, &child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
        assert_eq!(place.record().state, RunState::Finished, "{name}");
    }
    // The others still end it.
    let place = Place::new(LONG);
    let mut child = place.run_below(&["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"], &[]).spawn().unwrap();
    place.wait_for_record(&mut child);
    send(libc::SIGTERM, &child);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    assert_eq!(place.record().state, RunState::Interrupted);
}

#[test]
fn a_folder_belongs_to_one_run_at_a_time() {
    if !require_kvm() {
        return;
    }
    let place = Place::new(LONG);
    let mut first = place.run(&[]).spawn().unwrap();
    place.wait_for_record(&mut first);
    let output = place.run(&["--overwrite"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("under way"), "{}", stderr(&output));
    assert!(first.wait_with_output().unwrap().status.success());
    assert_eq!((place.record().state, place.record().cases.len()), (RunState::Finished, 2));
    // Now it may be replaced. What is not the run's stays.
    let foreign = place.out().join("samples/mine.npy");
    fs::write(&foreign, "mine").unwrap();
    let output = place.run(&["--overwrite", "--samples", "5"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(foreign).unwrap(), "mine");
    assert_eq!(place.record().cases[0].round_trips, 5);
}

#[test]
fn of_runs_that_start_together_one_gets_the_folder() {
    if !require_kvm() {
        return;
    }
    let place = Place::new(FIRST_FAILS);
    let runs: Vec<Child> = (0..4).map(|_| place.run(&["--case", "null"]).spawn().unwrap()).collect();
    let codes = runs.into_iter().map(|run| run.wait_with_output().unwrap().status.code().unwrap());
    let mut codes: Vec<i32> = codes.collect();
    codes.sort_unstable();
    assert_eq!(codes, [0, 2, 2, 2]);
    assert_eq!(place.record().state, RunState::Finished);
}

#[test]
fn interrupted_requests_are_repeated_and_folders_that_cannot_be_flushed_are_told() {
    if !require_kvm() {
        return;
    }
    let place = Place::new(FIRST_FAILS);
    let library = place.folder.path().join("odd_host.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/odd_host.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut build = Command::new(rustc);
    build.args(["--edition=2024", "--crate-type=cdylib", "-o"]).arg(&library).arg(&source);
    assert!(build.status().unwrap().success());
    let output = place.run(&["--case", "null"]).env("LD_PRELOAD", &library).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("cannot be flushed"), "{}", stderr(&output));
    assert_eq!((place.record().state, place.record().cases.len()), (RunState::Finished, 2));
}

#[test]
fn lists_that_multiply_without_end_are_refused_at_once() {
    let list = |count: u32| format!("{:?}", (0..count).collect::<Vec<_>>());
    let place = Place::new(&format!(
        "# Why?\nname = \"x\"\nquestion = \"Why?\"\n[[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = \"user\"\n\
         words = {}\nvcpus = {}\nguests = {}\n",
        list(513),
        list(1024),
        list(1024),
    ));
    let limit = "ulimit -v 4000000; exec \"$@\"";
    let output = place.run_below(&["sh", "-c", limit, "sh"], &["--dry-run"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(
        text.contains("`words` (513)") && text.contains("537919488 cases") && text.contains("fix: "),
        "{text}"
    );
}
