//! Logs of strace, whole and damaged.

use super::*;
use crate::requests::descriptor::Descriptor;
use crate::requests::read::Reader;
use crate::requests::recording::{End, FORMAT, Header, Request, Source, VERSION};

fn imported(log: &str) -> Result<(Vec<Request>, Imported), ImportError> {
    let header = Header {
        format: FORMAT.into(),
        version: VERSION,
        inkbed: "0.1.0".into(),
        program: "x".into(),
        program_version: None,
        host: String::new(),
        source: Source::Strace,
        distortion: Vec::new(),
        run_time_without_recorder: None,
        instructions_absent: String::new(),
    };
    let mut writer = Writer::new(Vec::new(), &header)?;
    let imported = import(log.as_bytes(), &mut writer)?;
    let end = End { requests: 0, run_time_with_recorder: None, page_faults: None, exit_code: None };
    let bytes = writer.finish(end)?;
    let requests = Reader::new(bytes.as_slice())?.collect::<Result<_, _>>()?;
    Ok((requests, imported))
}

/// A process that forks, whose child's first line comes before the answer to the fork; then a thread, then a signal.
const LOG: &str = r#"10 5.000000 execve("/usr/bin/sh", ["sh"], 0x7 /* 35 vars */) = 0 <0.000100>
10 5.000200 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD <unfinished ...>
11 5.000210 read(3<pipe:[7]>,  <unfinished ...>
10 5.000220 <... clone resumed>) = 11 <0.000020>
10 5.000230 clone3({flags=CLONE_VM|CLONE_THREAD, stack_size=0x7}, 88) = 12 <0.000010>
12 5.000240 futex(0x7, FUTEX_WAIT, 1, NULL <unfinished ...>
11 5.000250 <... read resumed>"x", 100) = 1 <0.000040>
11 5.000260 exit_group(3)           = ?
11 5.000270 +++ exited with 3 +++
10 5.000280 --- SIGCHLD {si_signo=SIGCHLD, si_pid=11} ---
10 5.000300 kill(10, SIGKILL)       = 0 <0.000001>
10 5.000310 +++ killed by SIGKILL +++
"#;

#[test]
fn a_log_becomes_its_requests_in_the_order_of_answers() {
    let (requests, imported) = imported(LOG).unwrap();
    let seen: Vec<_> =
        requests.iter().map(|one| (one.process, one.thread, one.kind.as_str(), one.start)).collect();
    let expected = [
        (0, 0, "execve", 0),
        (0, 0, "clone", 200_000),
        (0, 0, "clone3", 230_000),
        (1, 1, "read", 210_000),
        (1, 1, "exit_group", 260_000),
        (0, 0, "kill", 300_000),
        // It waits for ever.
        (0, 2, "futex", 240_000),
    ];
    assert_eq!(seen, expected);
    let read = &requests[3];
    assert_eq!((read.size, read.duration, read.descriptor), (Some(1), Some(40_000), Some(Descriptor::Pipe)));
    assert_eq!(requests[1].gap, Some(100_000));
    assert_eq!(imported, Imported { run_time: 310_000, exit_code: Some(128 + 9) });
}

#[test]
fn a_thread_that_executes_a_program_goes_on_under_the_first_ones_name() {
    let log = "10 1.0 getpid() = 10 <0.1>\n10 2.0 clone(flags=CLONE_VM|CLONE_THREAD) = 11 <0.1>\n\
        11 3.0 execve(\"/bin/x\", [], 0x7 <unfinished ...>\n10 3.5 +++ superseded by execve in pid 11 +++\n\
        10 3.6 <... execve resumed>) = 0 <0.6>\n10 4.0 getuid() = 0 <0.1>\n";
    let (requests, _) = imported(log).unwrap();
    let last: Vec<_> = requests[2..].iter().map(|one| (one.process, one.thread, one.kind.as_str())).collect();
    assert_eq!(last, [(0, 1, "execve"), (0, 1, "getuid")]);
}

#[test]
fn what_is_no_log_says_which_line_and_what_makes_one() {
    let error = |log: &str| imported(log).unwrap_err().to_string();
    let other = error("hello world\n");
    assert!(other.starts_with("line 1 of the log") && other.contains("strace -f -ttt -T"), "{other}");
    assert!(error(&LOG[..LOG.len() - 40]).starts_with("line 11 of the log: it is cut"));
    assert!(
        error("10 5.0 getpid() = 1 <0.1>\n10 4.0 getpid() = 1 <0.1>\n")
            .contains("before that of the first line")
    );
    assert!(error("").contains("no system call"));
    assert!(error(&"x".repeat(2 << 20)).contains("line 1"));
}
