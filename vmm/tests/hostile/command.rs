//! Hostile kernels under the command line tool: what it says, what it writes, and when it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use inkbed::record::outcome::OutcomeRecord;
use inkbed::record::run::CaseRecord;
use inkbed::record::store::read_record;

use super::*;

const EXPERIMENT: &str = "# Why?\nname = \"hostile\"\nquestion = \"Why?\"\n[defaults]\nsamples = 20\nwarm_up = 2\npcid = \"off\"\n\
    [[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = \"kernel\"\n";

/// The folder of a test, with a kernel as a file.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(write: impl FnOnce(&mut CodeAssembler) -> Assembled) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("kernel"), &kernel(write).kernel.bytes[..]).unwrap();
        fs::write(folder.path().join("hostile.toml"), EXPERIMENT).unwrap();
        Scene { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"));
        command.current_dir(self.folder.path()).args(arguments).args(["--kernel", "kernel"]);
        command
    }

    fn run(&self) -> (Output, CaseRecord) {
        let output = self.command(&["run", "hostile.toml", "--out", "out"]).output().unwrap();
        let record = read_record(&self.path("out")).unwrap();
        (output, record.cases.into_iter().next().unwrap())
    }
}

/// Rings the doorbell.
fn ring(a: &mut CodeAssembler, value: u32) -> Assembled {
    out(a, port::DOORBELL, value)
}

/// A kernel that says that it has made so many round trips, of those that it has announced; at its end it says that it announced
/// them.
fn claim_of(a: &mut CodeAssembler, round_trips: u32, announced: u32) -> Assembled {
    write_report(a)?;
    set(a, offset_of!(Report, round_trips_announced), announced)?;
    for value in [doorbell::STARTED, doorbell::MEASURE_BEGIN] {
        ring(a, value)?;
    }
    set(a, offset_of!(Report, round_trips), round_trips)?;
    set(a, offset_of!(Report, sample_count), round_trips)?;
    set(a, offset_of!(Report, round_trips_announced), round_trips)?;
    ring(a, doorbell::MEASURE_END)?;
    out(a, port::EXIT, exit_code::FINISHED)
}

/// A kernel that says that it has made so many round trips of 20.
fn claim(a: &mut CodeAssembler, round_trips: u32) -> Assembled {
    claim_of(a, round_trips, 20)
}

#[test]
fn a_kernel_that_measures_less_than_it_was_asked_to_has_failed() {
    if !require_kvm() {
        return;
    }
    for round_trips in [3, 0] {
        let (output, case) = Scene::new(|a| claim(a, round_trips)).run();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(&format!("{round_trips} of 20 round trips")), "{stderr}");
        assert_eq!(case.outcome, OutcomeRecord::Incomplete { round_trips: round_trips.into(), asked: 20 });
        assert!(case.ticks.is_empty(), "no figure is made of it");
    }
    let (output, case) = Scene::new(|a| claim(a, 21)).run();
    assert_eq!(output.status.code(), Some(1));
    assert!(matches!(case.outcome, OutcomeRecord::Corrupt { .. }), "{}", case.outcome);
    // So it is the number that fails them.
    let (output, case) = Scene::new(|a| claim(a, 20)).run();
    assert_eq!(output.status.code(), Some(0), "{}", case.outcome);
}

/// Where the guest finds out the number itself, it is held to what it said when it began.
#[test]
fn a_kernel_that_changes_its_number_after_it_has_begun_has_failed() {
    if !require_kvm() {
        return;
    }
    let run = |round_trips, announced| {
        let scene = Scene::new(|a| claim_of(a, round_trips, announced));
        let text = EXPERIMENT.replace("samples = 20", "seconds = 0.1");
        fs::write(scene.path("hostile.toml"), text).unwrap();
        scene.run()
    };
    let (output, case) = run(7, 20);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(case.outcome, OutcomeRecord::Incomplete { round_trips: 7, asked: 20 });
    for (round_trips, announced) in [(20, 7), (20, 0), (20, u32::MAX)] {
        let (output, case) = run(round_trips, announced);
        assert_eq!(output.status.code(), Some(1));
        assert!(matches!(case.outcome, OutcomeRecord::Corrupt { .. }), "{}", case.outcome);
    }
    let (output, case) = run(20, 20);
    assert_eq!((output.status.code(), case.round_trips), (Some(0), 20), "{}", case.outcome);
}

/// What a terminal would obey, and a line that looks like one of the tool's own.
const ORDERS: &str = "\u{1b}[2J\u{1b}]0;pwned\u{7}\u{9b}31m\u{202e}gnorw\r\nresults: forged\u{2028}\u{85}";

/// Prints the text on the console, and refuses the plan with it as the reason.
fn say_orders(a: &mut CodeAssembler) -> Assembled {
    write_report(a)?;
    for (index, byte) in ORDERS.bytes().enumerate() {
        a.mov(byte_ptr(rbx + offset_of!(Report, message) + index), u32::from(byte))?;
        a.mov(edx, u32::from(port::SERIAL))?;
        a.mov(eax, u32::from(byte))?;
        a.out(dx, al)?;
    }
    set(a, offset_of!(Report, message_size), ORDERS.len() as u32)?;
    out(a, port::EXIT, exit_code::REFUSED)
}

/// Whether a text for people gives no orders. Its own lines do not begin as the guest's do.
fn assert_harmless(what: &str, text: &[u8]) {
    let text = std::str::from_utf8(text).unwrap();
    let obeyed = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(obeyed), "{what}: {text:?}");
    assert!(text.contains("pwned") && text.contains("\\u{202e}"), "{what} shows it: {text:?}");
}

#[test]
fn what_a_guest_says_gives_a_terminal_no_orders() {
    if !require_kvm() {
        return;
    }
    let scene = Scene::new(say_orders);
    let (output, _) = scene.run();
    assert_eq!(output.status.code(), Some(1));
    for (what, text) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        assert_harmless(what, text);
        let text = String::from_utf8_lossy(text);
        // The console is shown line by line, each behind a margin; a message is one line.
        assert!(text.lines().all(|line| !line.starts_with("results: forged")), "{what}: {text}");
    }
    for file in ["table.txt", "results.csv"] {
        assert_harmless(file, &fs::read(scene.path("out").join(file)).unwrap());
    }
    let report = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"))
        .args(["report", "--format", "markdown"])
        .arg(scene.path("out"))
        .output()
        .unwrap();
    assert_harmless("Markdown", &report.stdout);
    let boot = scene.command(&["boot"]).output().unwrap();
    assert_harmless("the console of `boot`", &boot.stdout);
    assert_harmless("the end of `boot`", &boot.stderr);
}

/// Prints for ever.
fn flood(a: &mut CodeAssembler) -> Assembled {
    let mut again = a.create_label();
    a.set_label(&mut again)?;
    a.mov(edx, u32::from(port::SERIAL))?;
    a.mov(rsi, KERNEL_DATA)?;
    a.mov(ecx, 0x400)?;
    a.rep().outsb()?;
    a.jmp(again)
}

/// Waits for its end without reading what it prints.
fn end_of(child: &mut Child) -> ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begin.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            panic!("it waits for a reader");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_flood_that_nobody_reads_ends_at_its_deadline_and_at_ctrl_c() {
    if !require_kvm() {
        return;
    }
    let scene = Scene::new(flood);
    let boot = |deadline: &str| {
        let mut command = scene.command(&["boot", "--deadline", deadline]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut child = boot("1");
    assert_eq!(end_of(&mut child).code(), Some(1));
    let mut child = boot("600");
    // The pipe is full by then, or will be: the guest is to be stopped in either case.
    std::thread::sleep(Duration::from_secs(2));
    // SAFETY: The process is a child that has not been waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
    assert_eq!(end_of(&mut child).code(), Some(130));
}

/// Halts with interrupts off.
fn halt(a: &mut CodeAssembler) -> Assembled {
    a.hlt()
}

/// Only lower bounds of time are asserted: a busy machine makes nothing shorter.
#[test]
fn time_in_which_it_was_stopped_is_not_the_guests() {
    if !require_kvm() {
        return;
    }
    let scene = Scene::new(halt);
    let (deadline, stopped) = (Duration::from_secs(3), Duration::from_secs(6));
    let begin = Instant::now();
    let child = scene.command(&["boot", "--deadline", "3"]).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let signal = |signal| {
        // SAFETY: The process is a child that has not been waited for.
        unsafe { libc::kill(child.id() as i32, signal) };
    };
    signal(libc::SIGSTOP);
    std::thread::sleep(stopped);
    signal(libc::SIGCONT);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    // What is lost between two looks is the guest's.
    assert!(
        begin.elapsed() >= deadline + stopped - Duration::from_millis(600),
        "{:?}: {stderr}",
        begin.elapsed()
    );
    assert!(stderr.contains("stood still for"), "{stderr}");
    assert!(stderr.contains("hang: the deadline of 3 s passed"), "{stderr}");
}

/// Where the tool is started from says nothing about what it prints.
#[test]
fn a_path_gives_a_terminal_no_orders() {
    let folder = tempfile::tempdir().unwrap();
    let missing: &Path = &folder.path().join("pwned\u{202e}\n.toml");
    let output =
        Command::new(assert_cmd::cargo::cargo_bin!("inkbed")).arg("run").arg(missing).output().unwrap();
    assert_harmless("an error", &output.stderr);
}
