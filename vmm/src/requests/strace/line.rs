//! One line of strace's.

use std::path::Path;

use crate::requests::descriptor::{Descriptor, Named};

/// A line of the log: whose, when, and what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Linux's name of the thread; 0 in a log that names none, which is of one thread.
    pub(super) thread: i32,
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) event: Event<'a>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// A system call, with its answer unless that comes in a line of its own.
    Call {
        kind: &'a str,
        arguments: &'a str,
        answer: Option<Answer>,
    },
    /// The answer to the call before.
    Resumed(Answer),
    /// The thread has ended: the exit code, or the signal's name.
    Exited(u8),
    Killed(&'a str),
    /// Another thread of its process has executed a program and goes on under its name.
    Superseded {
        by: i32,
    },
    /// A signal, or what else strace says.
    Other,
}

/// The answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// None where there is no result, as of `exit_group`.
    pub(super) result: Option<i64>,
    /// Nanoseconds that the call took.
    pub(super) duration: Option<u64>,
}

impl<'a> Line<'a> {
    /// Nothing for what strace says of itself.
    pub(super) fn read(text: &'a str) -> Result<Option<Line<'a>>, &'static str> {
        if text.is_empty() || text.starts_with("strace: ") {
            return Ok(None);
        }
        let (thread, rest) = match text.strip_prefix("[pid") {
            Some(rest) => rest.split_once(']').ok_or("its thread has no end")?,
            None => match text.split_once(' ') {
                Some((word, rest)) if word.bytes().all(|byte| byte.is_ascii_digit()) => (word, rest),
                _ => ("0", text),
            },
        };
        let thread = thread.trim().parse().map_err(|_| "its thread is no number")?;
        let (time, what) = rest.trim_start().split_once(' ').ok_or("it has no time")?;
        let time = nanoseconds(time).ok_or("its time is not in seconds since 1970")?;
        Ok(Some(Line { thread, time, event: Event::read(what)? }))
    }
}

impl<'a> Event<'a> {
    fn read(text: &'a str) -> Result<Event<'a>, &'static str> {
        if let Some(text) = text.strip_prefix("+++ ") {
            return Ok(Event::end(text));
        }
        if text.starts_with("--- ") {
            return Ok(Event::Other);
        }
        if let Some(text) = text.strip_prefix("<... ") {
            return Answer::read(text).map(Event::Resumed);
        }
        let is_name = |kind: &str| {
            !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let (kind, rest) =
            text.split_once('(').filter(|(kind, _)| is_name(kind)).ok_or("it has no system call")?;
        let (arguments, answer) = match rest.strip_suffix("<unfinished ...>") {
            Some(arguments) => (arguments, None),
            None => (rest, Some(Answer::read(rest)?)),
        };
        Ok(Event::Call { kind, arguments, answer })
    }

    fn end(text: &'a str) -> Event<'a> {
        let word = |before: &str| text.strip_prefix(before)?.split_whitespace().next();
        let code = word("exited with ").and_then(|code| code.parse().ok()).map(Event::Exited);
        let by = || word("superseded by execve in pid ")?.parse().ok().map(|by| Event::Superseded { by });
        let signal = || word("killed by ").map(Event::Killed);
        code.or_else(by).or_else(signal).unwrap_or(Event::Other)
    }
}

impl Answer {
    /// From the end of a line: ` = 100 <0.000012>`.
    fn read(text: &str) -> Result<Answer, &'static str> {
        let (_, answer) = text.rsplit_once(" = ").ok_or("its call has no answer")?;
        let number = answer.split([' ', '<', '(']).next().unwrap_or_default();
        let result = match number.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok().map(u64::cast_signed),
            None => number.parse().ok(),
        };
        let duration = answer.rsplit_once('<').and_then(|(_, end)| nanoseconds(end.strip_suffix('>')?));
        if result.is_some() && duration.is_none() {
            return Err("it does not say how long the call took");
        }
        Ok(Answer { result, duration })
    }
}

/// Seconds with a fraction.
fn nanoseconds(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(seconds) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<9}").parse().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(fraction)
}

/// What the descriptor stands for, where strace's option -y has written it behind the number.
pub(super) fn descriptor(kind: &str, arguments: &str) -> Option<Descriptor> {
    let argument = match Named::by(kind)? {
        Named::First => arguments,
        Named::FirstWithoutPath { .. } if arguments.contains(">, \"\", ") => arguments,
        Named::FirstWithoutPath { .. } => return None,
        // Neither flags nor the result look like that.
        Named::Fifth => arguments.rsplit(", ").find(|argument| named(argument).is_some())?,
    };
    let rest = named(argument)?;
    let (protocol, _) = rest.split_once(":[").unwrap_or_default();
    Some(match protocol {
        "pipe" => Descriptor::Pipe,
        "anon_inode" => Descriptor::Event,
        _ if rest.starts_with("anon_inode:") => Descriptor::Event,
        // socket, or with -yy TCP, UNIX-STREAM and so on.
        protocol if !protocol.is_empty() && !protocol.contains('/') => Descriptor::Socket,
        _ if rest.starts_with("/dev/") && !rest.starts_with("/dev/shm/") => Descriptor::Device,
        _ if kind.starts_with("getdents") => Descriptor::Directory,
        _ => Descriptor::File,
    })
}

/// What stands behind a descriptor's number.
fn named(argument: &str) -> Option<&str> {
    let (number, rest) = argument.split_once('<')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(rest)
}

/// The file's name of the program that an `execve` starts, without its folder.
pub(super) fn program(arguments: &str) -> Option<&str> {
    let (path, _) = arguments.strip_prefix('"')?.split_once('"')?;
    Path::new(path).file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_read() {
        let read = |text| Line::read(text).unwrap().unwrap();
        let answer = |result, duration| Answer { result: Some(result), duration: Some(duration) };
        let line = read("12 5.000001 read(3</a = b>, \"x = 1 <2.0>\"..., 100) = 100 <0.000012>");
        let Event::Call { kind, answer: found, .. } = line.event else { panic!("{line:?}") };
        assert_eq!((line.thread, line.time, kind), (12, 5_000_001_000, "read"));
        assert_eq!(found, Some(answer(100, 12_000)));
        assert_eq!(read("7.5 mmap(NULL, 1) = 0x7f00 <0.5>").thread, 0);
        assert_eq!(read("[pid  9] 7.5 +++ exited with 3 +++").event, Event::Exited(3));
        assert_eq!(read("9 7.5 +++ killed by SIGSEGV (core dumped) +++").event, Event::Killed("SIGSEGV"));
        assert_eq!(read("9 7.5 +++ superseded by execve in pid 12 +++").event, Event::Superseded { by: 12 });
        assert_eq!(read("9 7.5 --- SIGCHLD {si_signo=SIGCHLD} ---").event, Event::Other);
        assert_eq!(
            read("9 7.5 <... dup2 resumed>) = 1<pipe:[8]> <0.000025>").event,
            Event::Resumed(answer(1, 25_000))
        );
        let Event::Call { answer: None, .. } = read("9 7.5 close(4 <unfinished ...>").event else { panic!() };
        let Event::Call { answer: Some(none), .. } = read("9 7.5 exit_group(0)  = ?").event else { panic!() };
        assert_eq!(none, Answer { result: None, duration: None });
        assert_eq!(Line::read("strace: Process 7 attached"), Ok(None));
    }

    #[test]
    fn other_logs_say_what_is_missing() {
        let why = |text| Line::read(text).unwrap_err();
        assert!(why("12:00:01 read(3) = 1 <0.1>").contains("1970"));
        assert!(why("9 7.5 read(3) = 1").contains("how long"));
        assert!(why("9 7.5 hello").contains("no system call"));
        assert!(why("hello").contains("no time"));
    }

    #[test]
    fn descriptors_are_those_of_option_y() {
        let cases = [
            ("read", "3</etc/passwd>, \"x\", 1) = 1", Some(Descriptor::File)),
            ("read", "0</dev/pts/0<char 136:0>>, \"x\", 1) = 1", Some(Descriptor::Device)),
            ("write", "1<pipe:[88]>, \"x\", 1) = 1", Some(Descriptor::Pipe)),
            ("write", "5<socket:[88]>, \"x\", 1) = 1", Some(Descriptor::Socket)),
            ("write", "5<TCP:[127.0.0.1:80->127.0.0.1:99]>, \"x\", 1) = 1", Some(Descriptor::Socket)),
            ("epoll_wait", "5<anon_inode:[eventpoll]>, [], 1) = 1", Some(Descriptor::Event)),
            ("getdents64", "3</srv>, [], 1) = 1", Some(Descriptor::Directory)),
            (
                "mmap",
                "NULL, 8, PROT_READ, MAP_PRIVATE, 3</lib/x.so>, 0) = 0x7f00 <0.1>",
                Some(Descriptor::File),
            ),
            ("mmap", "NULL, 8, PROT_READ, MAP_ANONYMOUS, -1, 0) = 0x7f00 <0.1>", None),
            ("read", "3, \"a<b\", 1) = 1", None),
            ("openat", "AT_FDCWD</srv>, \"x\", O_RDONLY) = 3</srv/x>", None),
        ];
        for (kind, arguments, expected) in cases {
            assert_eq!(descriptor(kind, arguments), expected, "{kind}({arguments}");
        }
        assert_eq!(program("\"/usr/bin/sh\", [\"sh\"], 0x7) = 0"), Some("sh"));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,80}", start in prop_oneof![Just("9 7.5 "), Just("9 7.5 read("), Just("9 7.5 mmap(3<"), Just("")]) {
            let text = format!("{start}{text}");
            if let Ok(Some(Line { event: Event::Call { kind, arguments, .. }, .. })) = Line::read(&text) {
                let _ = (descriptor(kind, arguments), program(arguments));
            }
        }
    }
}
