//! Reads a log of `strace -f -ttt -T`, with `-y` for descriptors, as a recording: line by line, so a log may have any length.

mod line;

use std::collections::HashMap;
use std::io::{BufRead, Read, Write};

use self::line::{Answer, Event, Line};
use super::error::RecordingError;
use super::thread::Thread;
use super::write::Writer;

/// Bytes of a line at most. strace cuts long arguments itself.
const LONGEST_LINE: u64 = 1 << 20;

/// A log that cannot be read as one.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A line is none of strace's.
    #[error(
        "line {line} of the log: {why}. `strace -f -ttt -T -y -o LOG COMMAND` makes a log that inkbed reads"
    )]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// The log has no request.
    #[error(
        "the log has no system call. `strace -f -ttt -T -y -o LOG COMMAND` makes a log that inkbed reads"
    )]
    Empty,
    /// The log cannot be read.
    #[error("the log cannot be read: {0}")]
    Read(std::io::Error),
    /// The recording.
    #[error(transparent)]
    Recording(#[from] RecordingError),
}

/// What a log says besides its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Nanoseconds from the first line to the last.
    pub run_time: u64,
    /// Exit code of the first process, 128 and the signal's number if a signal ended it; none if the log does not say.
    pub exit_code: Option<u8>,
}

/// The file's name of the program whose log this is, without its folder: the first line starts it.
pub fn program(first_line: &str) -> Option<String> {
    let Event::Call { kind: "execve", arguments, .. } = Line::read(first_line).ok()??.event else {
        return None;
    };
    line::program(arguments).map(str::to_owned)
}

/// Adds the requests of a log to a recording.
pub fn import<W: Write>(mut log: impl BufRead, writer: &mut Writer<W>) -> Result<Imported, ImportError> {
    let mut importer = Importer::new(writer);
    let (mut number, mut run_time) = (0, 0);
    loop {
        let mut bytes = Vec::new();
        log.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes).map_err(ImportError::Read)?;
        if bytes.is_empty() {
            break;
        }
        number += 1;
        let wrong = |why| ImportError::Line { line: number, why };
        bytes.pop_if(|last| *last == b'\n').ok_or_else(|| wrong("it is cut, or longer than 1 MiB"))?;
        if let Some(line) = Line::read(&String::from_utf8_lossy(&bytes)).map_err(wrong)? {
            let began = importer.first.get_or_insert((line.thread, line.time)).1;
            run_time = line
                .time
                .checked_sub(began)
                .ok_or_else(|| wrong("its time is before that of the first line"))?;
            importer.event(line.thread, run_time, line.event)?;
        }
    }
    let exit_code = importer.exit_code;
    match importer.finish()? {
        0 => Err(ImportError::Empty),
        _ => Ok(Imported { run_time, exit_code }),
    }
}

/// A thread, and whether the one that it is about to make shares its process.
struct Known {
    thread: Thread,
    makes_thread: bool,
}

struct Importer<'a, W: Write> {
    writer: &'a mut Writer<W>,
    known: HashMap<i32, Known>,
    /// Processes of threads that have been made and have asked for nothing yet.
    made: HashMap<i32, u32>,
    /// The first thread, and when the log begins.
    first: Option<(i32, u64)>,
    processes: u32,
    threads: u32,
    exit_code: Option<u8>,
}

impl<'a, W: Write> Importer<'a, W> {
    fn new(writer: &'a mut Writer<W>) -> Importer<'a, W> {
        let (known, made) = (HashMap::new(), HashMap::new());
        Importer { writer, known, made, first: None, processes: 0, threads: 0, exit_code: None }
    }

    fn event(&mut self, name: i32, now: u64, event: Event<'_>) -> Result<(), RecordingError> {
        match event {
            Event::Call { kind, arguments, answer } => {
                let descriptor = line::descriptor(kind, arguments);
                let known = self.known(name);
                known.thread.begin(kind.to_owned(), descriptor, now);
                known.makes_thread = arguments.contains("CLONE_THREAD");
                answer.map_or(Ok(()), |answer| self.answered(name, answer))
            }
            Event::Resumed(answer) => self.answered(name, answer),
            Event::Exited(code) => self.ended(name, Some(code)),
            Event::Killed(signal) => self.ended(name, number_of(signal).map(|number| 128 + number)),
            Event::Superseded { by } => {
                self.ended(name, None)?;
                if let Some(known) = self.known.remove(&by) {
                    self.known.insert(name, known);
                }
                Ok(())
            }
            Event::Other => Ok(()),
        }
    }

    /// The thread of this name, which may be new.
    fn known(&mut self, name: i32) -> &mut Known {
        let makes = |known: &&Known| {
            matches!(
                known.thread.waits_for().map(|(kind, _)| kind),
                Some("clone" | "clone3" | "fork" | "vfork")
            )
        };
        let maker = self
            .known
            .values()
            .filter(makes)
            .max_by_key(|known| known.thread.waits_for().map(|(_, start)| start));
        let shared = maker.filter(|known| known.makes_thread).map(|known| known.thread.process);
        self.known.entry(name).or_insert_with(|| {
            // Its first line may come before the answer to the one that made it.
            let process = self.made.remove(&name).or(shared).unwrap_or_else(|| {
                self.processes += 1;
                self.processes - 1
            });
            self.threads += 1;
            Known { thread: Thread::new(process, self.threads - 1), makes_thread: false }
        })
    }

    fn answered(&mut self, name: i32, answer: Answer) -> Result<(), RecordingError> {
        // Without a call it began before the log did.
        let Some(known) = self.known.get_mut(&name) else { return Ok(()) };
        let Some((_, start)) = known.thread.waits_for() else { return Ok(()) };
        let (process, makes_thread) = (known.thread.process, std::mem::take(&mut known.makes_thread));
        let end = answer.duration.map(|duration| start.saturating_add(duration));
        let Some(request) = known.thread.end(end, answer.result) else { return Ok(()) };
        let made = answer.result.and_then(|result| i32::try_from(result).ok());
        if let Some(made) = made.filter(|made| makes_thread && !self.known.contains_key(made)) {
            self.made.insert(made, process);
        }
        self.writer.request(request)
    }

    fn ended(&mut self, name: i32, code: Option<u8>) -> Result<(), RecordingError> {
        if self.first.is_some_and(|(first, _)| first == name) {
            self.exit_code = code.or(self.exit_code);
        }
        let request = self.known.remove(&name).and_then(|mut known| known.thread.end(None, None));
        request.map_or(Ok(()), |request| self.writer.request(request))
    }

    /// What was still asked for when the log ended has no answer. Returns the number of requests.
    fn finish(self) -> Result<u64, RecordingError> {
        let mut left: Vec<Thread> = self.known.into_values().map(|known| known.thread).collect();
        left.sort_by_key(|thread| thread.number);
        for request in left.iter_mut().filter_map(|thread| thread.end(None, None)) {
            self.writer.request(request)?;
        }
        Ok(self.writer.count())
    }
}

/// Number of a signal.
fn number_of(signal: &str) -> Option<u8> {
    (1..=31).find(|number| signal_hook::low_level::signal_name((*number).into()) == Some(signal))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
