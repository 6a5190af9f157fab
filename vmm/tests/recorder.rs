//! `inkbed record`: programs that fork, thread, execute others, get signals, end badly.

#[path = "support/kvm.rs"]
mod kvm;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Output};

use inkbed::requests::descriptor::Descriptor;
use inkbed::requests::read::Reader;
use inkbed::requests::recording::{End, Request};

struct Recorded {
    output: Output,
    requests: Vec<Request>,
    end: End,
}

impl Recorded {
    fn count(&self, kind: &str) -> usize {
        self.requests.iter().filter(|request| request.kind == kind).count()
    }
}

fn inkbed(file: &Path, command: &[&str]) -> Output {
    let mut inkbed = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"));
    inkbed.arg("record").arg("-o").arg(file).arg("--").args(command).output().unwrap()
}

fn record(command: &[&str]) -> Recorded {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.requests");
    let output = inkbed(&file, command);
    let mut reader = Reader::new(BufReader::new(File::open(file).unwrap())).unwrap();
    let requests: Vec<Request> = reader.by_ref().map(Result::unwrap).collect();
    let end = reader.end().unwrap().clone();
    Recorded { output, requests, end }
}

/// A program in Perl, which every Debian has: it can call what a shell cannot.
fn perl(text: &str) -> Recorded {
    record(&["perl", "-e", text])
}

#[test]
fn the_exit_code_is_the_programs() {
    for code in [0, 1, 77, 255] {
        let recorded = record(&["sh", "-c", &format!("exit {code}")]);
        assert_eq!(recorded.output.status.code(), Some(code));
        assert_eq!(recorded.end.exit_code.map(i32::from), Some(code));
        let last = recorded.requests.last().unwrap();
        assert!(last.kind == "exit_group" && last.duration.is_none());
    }
    let killed = record(&["sh", "-c", "kill -SEGV $$"]);
    assert_eq!(killed.end.exit_code, Some(128 + 11));
}

#[test]
fn what_cannot_start_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.requests");
    let output = inkbed(&file, &["/nowhere/no-such-program"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("cannot start `/nowhere/no-such-program`"), "{text}");
    assert!(!file.exists());
}

#[test]
fn children_and_their_programs_are_seen() {
    let recorded = record(&["sh", "-c", "echo a | /bin/cat | /bin/cat > /dev/null; exec /bin/true"]);
    assert!(recorded.output.status.success());
    let processes: BTreeMap<u32, usize> =
        recorded.requests.iter().fold(BTreeMap::new(), |mut counts, one| {
            *counts.entry(one.process).or_default() += 1;
            counts
        });
    assert!(processes.len() >= 3, "{processes:?}");
    // Both cats and `true`; the recording begins after the program's own.
    assert_eq!(recorded.count("execve"), 3);
    assert!(recorded.end.page_faults.unwrap().minor > 0);
}

#[test]
fn each_call_is_there_once_with_its_bytes() {
    let recorded = perl("open my $f, '>', '/dev/null'; for (1..1000) { syswrite $f, 'x' x $_ }");
    let writes: Vec<u64> =
        recorded.requests.iter().filter(|one| one.kind == "write").filter_map(|one| one.size).collect();
    assert_eq!(writes, (1..=1000).collect::<Vec<u64>>());
    // Each begins after the answer to the one before, by exactly the gap.
    let mut answered = None;
    for request in &recorded.requests {
        assert_eq!(
            request.gap.zip(answered).map(|(gap, answered)| answered + gap),
            answered.map(|_| request.start)
        );
        answered = request.duration.map(|duration| request.start + duration);
    }
}

#[test]
fn signals_arrive_once_and_real_time_signals_too() {
    let recorded = perl(
        "use POSIX; my $n = 0; $SIG{USR1} = sub { $n++ }; $SIG{NUM40} = sub { $n += 100 }; $SIG{TRAP} = sub { $n += 1000 };
         kill USR1 => $$ for 1..5; kill 40, $$; kill TRAP => $$; exit($n == 1105 ? 0 : 1)",
    );
    assert_eq!(recorded.output.status.code(), Some(0), "{:?}", recorded.output);
}

/// What is read from and written to, of each kind that there is, and that is still known when it is closed.
#[test]
fn descriptors_are_seen_for_what_they_are() {
    let recorded = perl(
        "use Socket; pipe my $r, my $w; socketpair my $a, my $b, AF_UNIX, SOCK_STREAM, 0; open my $n, '+<', '/dev/null';
         open my $f, '+>', undef; opendir my $d, '/'; readdir $d;
         for ($w, $b, $n, $f) { syswrite $_, 'x' x 7 } for ($r, $a, $n) { sysread $_, my $x, 7 }
         close $r; close $a; close $n; close $f; closedir $d",
    );
    assert_eq!(recorded.output.status.code(), Some(0), "{:?}", recorded.output);
    let of = |kind: &str| {
        let those = recorded.requests.iter().filter(|one| one.kind == kind);
        those.filter_map(|one| one.descriptor).collect::<Vec<Descriptor>>()
    };
    let last = |kind: &str, count: usize| of(kind)[of(kind).len() - count..].to_owned();
    let [pipe, socket, device] = [Descriptor::Pipe, Descriptor::Socket, Descriptor::Device];
    assert_eq!(last("write", 4), [pipe, socket, device, Descriptor::File]);
    assert_eq!(last("read", 3), [pipe, socket, device]);
    assert!(of("getdents64").contains(&Descriptor::Directory));
    let closed = of("close");
    let found = |descriptor| closed.contains(&descriptor);
    assert!(found(pipe) && found(socket) && found(device) && found(Descriptor::Directory), "{closed:?}");
    assert!(recorded.requests.iter().any(|one| one.kind == "mmap" && one.descriptor.is_none()));
}

/// The gate of 32-bit programs has numbers of its own: 20 is `getpid` there, and `writev` for 64 bits.
#[test]
fn calls_of_32_bits_have_their_own_numbers() {
    let (_folder, program) = c_program(
        "int main(void) { long result; for (int i = 0; i < 9; i++) __asm__ volatile(\"int $0x80\" : \"=a\"(result) : \"a\"(20L));\n\
         return result > 0 ? 0 : 1; }\n",
    );
    let recorded = record(&[&program]);
    match recorded.output.status.code() {
        Some(0) => assert_eq!((recorded.count("getpid"), recorded.count("writev")), (9, 0)),
        other => eprintln!("skipped: this host has no 32-bit programs ({other:?})"),
    }
}

/// A log of strace says what the recorder says, call by call.
#[test]
fn a_log_of_strace_is_a_recording_too() {
    let folder = tempfile::tempdir().unwrap();
    let (log, file) = (folder.path().join("x.log"), folder.path().join("x.requests"));
    let program = "pipe my $r, my $w; if (!fork) { syswrite $w, 'abc'; exit 3 } wait; sysread $r, my $x, 9; getppid for 1..9";
    let strace = Command::new("strace")
        .args(["-f", "-ttt", "-T", "-y", "-o"])
        .arg(&log)
        .args(["perl", "-e", program])
        .status();
    if strace.is_err() {
        eprintln!("skipped: there is no strace");
        return;
    }
    let import = || {
        let mut inkbed = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"));
        inkbed
            .arg("record")
            .arg("--overwrite")
            .arg("-o")
            .arg(&file)
            .arg("--import")
            .arg(&log)
            .output()
            .unwrap()
    };
    let output = import();
    assert!(output.status.success(), "{output:?}");
    let mut reader = Reader::new(BufReader::new(File::open(&file).unwrap())).unwrap();
    let imported: Vec<Request> = reader.by_ref().map(Result::unwrap).collect();
    assert_eq!((reader.header().program.as_str(), reader.end().unwrap().exit_code), ("perl", Some(0)));
    let recorded = perl(program);
    // Of each process on its own: their order is Linux's. The recorder begins after the `execve` that strace has seen.
    let of = |requests: &[Request], process: u32| -> Vec<(String, Option<u64>, Option<Descriptor>)> {
        let those = requests.iter().filter(|one| one.process == process && one.kind != "execve");
        let those =
            those.filter(|one| !matches!(one.kind.as_str(), "openat" | "newfstatat" | "fcntl" | "lseek"));
        those.map(|one| (one.kind.clone(), one.size, one.descriptor)).collect()
    };
    let kinds = |requests: &[Request], process| -> Vec<String> {
        of(requests, process).into_iter().map(|(kind, ..)| kind).collect()
    };
    for process in [0, 1] {
        assert_eq!(kinds(&imported, process), kinds(&recorded.requests, process));
    }
    let child = |requests: &[Request]| of(requests, 1).into_iter().find(|one| one.0 == "write");
    assert_eq!(child(&imported), Some(("write".to_owned(), Some(3), Some(Descriptor::Pipe))));
    assert_eq!(child(&imported), child(&recorded.requests));

    std::fs::write(&log, "no log at all\n").unwrap();
    std::fs::remove_file(&file).unwrap();
    let output = import();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && error.contains("line 1 of the log") && error.contains("strace -f"),
        "{error}"
    );
    assert!(!file.exists());
}

#[test]
fn ten_thousand_descriptors_are_no_hurdle() {
    let recorded = record(&[
        "sh",
        "-c",
        "ulimit -n 10100 || exit 3; exec perl -e 'for (1..10000) { open my $f, q(<), q(/dev/null) or die; push @f, $f }'",
    ]);
    if recorded.output.status.code() == Some(3) {
        eprintln!("this host allows fewer than 10,000 descriptors");
        return;
    }
    assert!(recorded.output.status.success(), "{:?}", recorded.output);
    assert!(recorded.count("openat") >= 10_000);
}

/// A C program, compiled here: threads, an exec from a thread that is not the first, seccomp.
fn c_program(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("x.c"), folder.path().join("x"));
    std::fs::write(&source, text).unwrap();
    let built = Command::new("cc").arg("-pthread").arg("-o").arg(&program).arg(&source).status().unwrap();
    assert!(built.success());
    (folder, program.to_str().unwrap().to_owned())
}

#[test]
fn threads_share_a_process_and_one_may_execute_a_program() {
    let (_folder, program) = c_program(
        "#include <pthread.h>\n#include <unistd.h>\n\
         static void *count(void *x) { for (int i = 0; i < 100; i++) getppid(); return x; }\n\
         static void *leave(void *x) { execl(\"/bin/sh\", \"sh\", \"-c\", \"exit 7\", (char *)0); return x; }\n\
         int main(void) { pthread_t t[4]; for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, count, 0);\n\
         for (int i = 0; i < 4; i++) pthread_join(t[i], 0); pthread_create(t, 0, leave, 0); pause(); }\n",
    );
    let recorded = record(&[&program]);
    assert_eq!(recorded.output.status.code(), Some(7));
    let counting =
        |thread| recorded.requests.iter().filter(|one| one.thread == thread && one.kind == "getppid").count();
    for thread in 1..=4 {
        assert_eq!(counting(thread), 100);
    }
    assert!(recorded.requests.iter().all(|one| one.process == 0));
    assert_eq!(recorded.count("execve"), 1);
}

/// All call all the time; the program ends by itself only when each has been answered often enough.
#[test]
fn no_thread_waits_for_ever_while_others_call() {
    let (_folder, program) = c_program(
        "#include <pthread.h>\n#include <stdlib.h>\n#include <unistd.h>\nstatic volatile int left = 32;\n\
         static void *call(void *x) { for (int i = 0; i < 20; i++) getppid(); __sync_fetch_and_sub(&left, 1);\n\
         for (;;) getppid(); return x; }\n\
         int main(void) { pthread_t t; alarm(60); for (int i = 0; i < 32; i++) pthread_create(&t, 0, call, 0);\n\
         while (left) usleep(1000); exit(5); }\n",
    );
    assert_eq!(record(&[&program]).output.status.code(), Some(5));
}

#[test]
fn a_program_under_seccomp_runs_as_without_the_recorder() {
    let (_folder, program) = c_program(
        "#include <linux/seccomp.h>\n#include <sys/prctl.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n\
         int main(void) { if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) return 1; write(1, \"in\", 2);\n\
         syscall(SYS_exit, 9); }\n",
    );
    let recorded = record(&[&program]);
    assert_eq!(
        (recorded.output.status.code(), recorded.output.stdout.as_slice()),
        (Some(9), b"in".as_slice())
    );
    let (_folder, killed) = c_program(
        "#include <linux/seccomp.h>\n#include <sys/prctl.h>\n#include <unistd.h>\n\
         int main(void) { prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT); getppid(); }\n",
    );
    assert_eq!(record(&[&killed]).end.exit_code, Some(128 + 9));
}

/// A file that invents kinds takes no memory for each.
#[test]
fn a_recording_of_too_many_kinds_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let (log, file) = (folder.path().join("x.log"), folder.path().join("x.requests"));
    let invented: String =
        (0..5000).map(|number| format!("1.{number:06} kind{number}() = 0 <0.1>\n")).collect();
    std::fs::write(&log, invented).unwrap();
    let inkbed = |arguments: &[&str]| {
        let mut inkbed = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"));
        inkbed.current_dir(folder.path()).args(arguments).output().unwrap()
    };
    assert!(
        inkbed(&["record", "-o", file.to_str().unwrap(), "--import", log.to_str().unwrap()]).status.success()
    );
    for command in ["requests", "advise"] {
        let output = inkbed(&[command, file.to_str().unwrap()]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(4) && error.contains("more than 4096 kinds"), "{error}");
    }
}

#[test]
fn a_recording_is_counted_and_advised_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.requests");
    inkbed(&file, &["perl", "-e", "open my $f, '<', '/etc/passwd'; sysread $f, my $x, 1 for 1..5000"]);
    let ask = |arguments: &[&str]| {
        let mut inkbed = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"));
        let output = inkbed.args(arguments).arg(&file).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, text, _) = ask(&["requests"]);
    assert!(code == Some(0) && text.contains("file_system → block_cache"), "{text}");
    // Reads pass two servers; nothing else comes close.
    let (code, text, _) = ask(&["advise", "--limit", "2"]);
    let moved: Vec<&str> =
        text.lines().skip(4).take(3).filter_map(|line| line.split_whitespace().nth(4)).collect();
    assert_eq!((code, moved), (Some(0), vec!["none", "file_system", "block_cache"]), "{text}");
    let trust = folder.path().join("trust.toml");
    std::fs::write(&trust, "trusted = [\"memory\"]").unwrap();
    let (_, text, _) = ask(&["advise", "--trust", trust.to_str().unwrap()]);
    assert!(text.contains("pager") && !text.contains("file_system"), "{text}");
    std::fs::write(&trust, "trusted = [\"moon\"]").unwrap();
    let (code, _, error) = ask(&["advise", "--trust", trust.to_str().unwrap()]);
    assert!(code == Some(2) && error.contains("no server is in the group `moon`"), "{error}");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let (code, text, error) = ask(&["advise"]);
    assert!(
        code == Some(4) && text.is_empty() && error.contains("the end of the recording is missing"),
        "{error}"
    );
}

/// The table of bench-config/recordings says of each recording what the commands say of it.
#[test]
fn the_table_of_recordings_is_what_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("bench-config/recordings");
    let table = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let files = std::fs::read_dir(&folder).unwrap().filter_map(Result::ok);
    assert_eq!(
        rows.len(),
        files.filter(|file| file.path().extension().is_some_and(|end| end == "requests")).count()
    );
    for row in rows {
        let file = folder.join(row[0].trim_matches('`')).with_extension("requests");
        let ask = |arguments: &[&str]| {
            let mut inkbed = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"));
            let output = inkbed.args(arguments).arg(&file).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let mut reader = Reader::new(BufReader::new(File::open(&file).unwrap())).unwrap();
        assert_eq!(reader.header().program_version.as_deref(), Some(row[1]));
        assert!(reader.by_ref().all(|request| request.is_ok()));
        assert_eq!(reader.end().unwrap().exit_code, Some(0), "{row:?}");
        let requests = ask(&["requests"]);
        assert!(
            requests.lines().next().unwrap().contains(&format!(": {} requests", row[2].replace(',', ""))),
            "{row:?}"
        );
        for (said, line) in row[3].split(", ").zip(requests.lines().skip(3)) {
            let (kind, count) = said.rsplit_once(' ').unwrap();
            let rest = line.strip_prefix(kind).unwrap_or_else(|| panic!("{said}: {line}"));
            assert_eq!(
                rest.split_whitespace().next(),
                Some(count.replace(',', "").as_str()),
                "{said}: {line}"
            );
        }
        let advice = ask(&["advise", "--limit", "3"]);
        let steps: Vec<Vec<&str>> =
            advice.lines().skip(4).take(4).map(|line| line.split_whitespace().collect()).collect();
        let moved: Vec<&str> = steps[1..].iter().filter_map(|step| step.get(4).copied()).collect();
        assert_eq!(moved.join(", "), row[4], "{row:?}");
        let (loads, share) = row[5].split_once(" (−").unwrap();
        let (before, after) = loads.split_once(" → ").unwrap();
        assert_eq!(
            [steps[0][1], steps[3][1]],
            [before, after].map(|loads| loads.replace(',', "")),
            "{row:?}"
        );
        assert_eq!(steps[3][2], share.trim_end_matches(" %)"), "{row:?}");
    }
}

/// The command line in a folder: exit code, what it prints, and what it says beside.
fn inkbed_in(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut inkbed = Command::new(assert_cmd::cargo::cargo_bin!("inkbed"));
    let output = inkbed.current_dir(folder).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn advice_is_verified_by_a_replay() {
    if !kvm::require_kvm() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench-config/recordings");
    let (code, text, error) =
        inkbed_in(&folder, &["advise", "git-status.requests", "--limit", "2", "--verify"]);
    assert!(code == Some(0) && text.contains("as many page tables as predicted"), "{text}{error}");
    let counted = |title: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.trim_start().starts_with(title)).unwrap();
        let words = line.trim_start()[title.len()..].split_whitespace();
        words.map(|word| word.trim_end_matches(',').to_owned()).collect()
    };
    let (advised, next) = (counted("advised"), counted("next best"));
    assert_eq!((&advised[0], &next[0]), (&advised[1], &next[1]));
    let loads = |row: &[String]| row[0].parse::<u64>().unwrap();
    assert!(loads(&advised) < loads(&next) && advised[2..] != next[2..] && advised.len() == 4, "{text}");
}

/// From a program of one's own to an answer: recorded, replayed in an experiment, gone on with.
#[test]
fn a_recording_of_ones_own_is_replayed_in_an_experiment() {
    let folder = tempfile::tempdir().unwrap();
    let record = |bytes: &str| {
        let text = format!("open my $f, '<', '/etc/passwd'; sysread $f, my $x, {bytes} for 1..50");
        inkbed(&folder.path().join("mine.requests"), &["perl", "-e", &text])
    };
    record("1");
    let experiment = "name = \"own\"\nquestion = \"What for mine?\"\n[defaults]\nsamples = 1\nwarm_up = 1\nlaunches = 1\n\
                      pcid = \"off\"\n[[case]]\nworkload = \"replay\"\nrecording = \"mine.requests\"\nin_kernel = [0, 3]\n";
    std::fs::write(folder.path().join("own.toml"), experiment).unwrap();
    let (code, text, error) = inkbed_in(folder.path(), &["run", "own.toml", "--dry-run"]);
    assert_eq!((code, text.lines().count()), (Some(0), 2), "{error}");
    if !kvm::require_kvm() {
        return;
    }
    let run = ["run", "own.toml", "--out", "out"];
    let (code, text, error) = inkbed_in(folder.path(), &run);
    assert!(code == Some(0) && text.contains("saved"), "{text}{error}");
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("out/results.json")).unwrap()).unwrap();
    let case = &json["cases"][1];
    assert_eq!(case["name"], "replay/user/mine/in-kernel=3/pcid=off");
    let recorded = case["parameters"]["recording"].as_str().unwrap();
    assert!(recorded.starts_with("mine@") && recorded.len() == "mine@".len() + 64, "{recorded}");
    assert!(case["replayed"]["requests"].as_u64() > Some(50) && case["expected"]["agrees"] == true, "{case}");
    assert!(case["replayed"]["page_table_loads_saved"].as_f64() > Some(0.5), "{case}");
    // Its report needs the file no more.
    std::fs::rename(folder.path().join("mine.requests"), folder.path().join("other.requests")).unwrap();
    let (code, text, error) = inkbed_in(folder.path(), &["report", "out"]);
    assert!(code == Some(0) && text.contains("mine"), "{text}{error}");
    let (code, _, error) = inkbed_in(folder.path(), &run);
    assert!(code == Some(2) && error.contains("mine.requests") && error.contains("fix: "), "{error}");
    // What has the same name now is another recording.
    record("2");
    let (code, _, error) = inkbed_in(folder.path(), &["run", "own.toml", "--out", "out", "--resume"]);
    assert!(code == Some(2) && error.contains("the recording `mine` was mine@"), "{error}");
}
