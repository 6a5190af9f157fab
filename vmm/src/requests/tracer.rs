//! Runs a program and stops it at each of its system calls.

use std::collections::HashMap;
use std::io::Write;
use std::process::Command;
use std::time::Instant;

use super::descriptor;
use super::error::RecordingError;
use super::ptrace::{self, Stop, SystemCall};
use super::system_call;
use super::thread::Thread;
use super::write::Writer;

/// Why a program could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It did not start.
    #[error("cannot start `{program}`: {source}")]
    Start {
        /// Name of its file.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Linux refused.
    #[error("Linux does not let inkbed watch the program: {0}")]
    Watch(std::io::Error),
    /// Linux does not tell what the program asks for.
    #[error("Linux does not tell the program's system calls, as version 5.3 and newer do: {0}")]
    SystemCall(std::io::Error),
    /// The file.
    #[error(transparent)]
    Recording(#[from] RecordingError),
}

/// How the program ended, and how long it took.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Exit code, or 128 and the signal's number.
    pub exit_code: u8,
    /// Nanoseconds.
    pub run_time: u64,
}

/// A thread of the program.
struct Watched {
    thread: Thread,
    /// The signal by which Linux stops it at its birth, while that is still to come.
    birth: Option<i32>,
}

struct Tracer<'a, W: Write> {
    began: Instant,
    threads: HashMap<i32, Watched>,
    /// Numbers of processes by their Linux name.
    processes: HashMap<i32, u32>,
    threads_so_far: u32,
    processes_so_far: u32,
    writer: &'a mut Writer<W>,
}

/// Runs the command, and adds its requests and those of its children to the recording. Ends when all have ended.
pub fn record<W: Write>(mut command: Command, writer: &mut Writer<W>) -> Result<Outcome, TraceError> {
    let program = command.get_program().to_string_lossy().into_owned();
    ptrace::be_traced(&mut command);
    let began = Instant::now();
    let child = command.spawn().map_err(|source| TraceError::Start { program, source })?;
    let first = child.id() as i32;
    let (threads, processes) = (HashMap::new(), HashMap::new());
    let mut tracer = Tracer { began, threads, processes, threads_so_far: 0, processes_so_far: 0, writer };
    let mut exit_code = 0;
    tracer.meet(first, first, libc::SIGTRAP);
    let mut has_options = false;
    loop {
        let stops = ptrace::wait().map_err(TraceError::Watch)?;
        if stops.is_empty() {
            break;
        }
        for (thread, stop) in stops {
            if !has_options {
                ptrace::follow_children(thread).map_err(TraceError::Watch)?;
                has_options = true;
            }
            if let Stop::Ended(code) = stop {
                tracer.thread_ended(thread)?;
                if thread == first {
                    exit_code = code;
                }
                continue;
            }
            let signal = tracer.stopped(thread, stop)?;
            // It may have been killed since; then its end is reported next.
            ptrace::resume(thread, signal);
        }
    }
    Ok(Outcome { exit_code, run_time: tracer.now() })
}

impl<W: Write> Tracer<'_, W> {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A thread that was not known, of this process.
    fn meet(&mut self, thread: i32, process: i32, birth: i32) {
        let process = *self.processes.entry(process).or_insert_with(|| {
            self.processes_so_far += 1;
            self.processes_so_far - 1
        });
        let number = self.threads_so_far;
        self.threads_so_far += 1;
        let new = Watched { thread: Thread::new(process, number), birth: Some(birth) };
        self.threads.insert(thread, new);
    }

    /// Handles a stop; returns the signal that the thread is to get.
    fn stopped(&mut self, thread: i32, stop: Stop) -> Result<i32, TraceError> {
        if !self.threads.contains_key(&thread) {
            self.meet(thread, ptrace::process_of(thread), libc::SIGSTOP);
        }
        match stop {
            Stop::SystemCall => self.at_system_call(thread)?,
            Stop::Exec { before } if before != thread => {
                // The thread that executes a program takes the first thread's place.
                if let Some(state) = self.threads.remove(&before) {
                    self.thread_ended(thread)?;
                    self.processes.insert(thread, state.thread.process);
                    self.threads.insert(thread, state);
                }
            }
            Stop::Signal(signal) => {
                let state = self.threads.get_mut(&thread).filter(|state| state.birth == Some(signal));
                // The tracer caused this one, nobody sent it.
                let is_ours = state.is_some_and(|state| state.birth.take().is_some());
                return Ok(if is_ours { 0 } else { signal });
            }
            Stop::Exec { .. } | Stop::Other | Stop::Ended(_) => {}
        }
        Ok(0)
    }

    fn at_system_call(&mut self, thread: i32) -> Result<(), TraceError> {
        let now = self.now();
        let Some(stop) = ptrace::system_call(thread).map_err(TraceError::SystemCall)? else { return Ok(()) };
        let Some(state) = self.threads.get_mut(&thread) else { return Ok(()) };
        match stop {
            SystemCall::Entry { number, arguments, is_32_bit } => {
                let kind = system_call::name(number, is_32_bit);
                // Before the call: `close` has it no more afterwards.
                let number = descriptor::of_call(&kind, &arguments);
                let descriptor = number.and_then(|number| descriptor::look(thread, number));
                state.thread.begin(kind, descriptor, now);
            }
            SystemCall::Exit { result } => {
                if let Some(request) = state.thread.end(Some(now), Some(result)) {
                    self.writer.request(request)?;
                }
            }
        }
        Ok(())
    }

    fn thread_ended(&mut self, thread: i32) -> Result<(), TraceError> {
        let Some(mut state) = self.threads.remove(&thread) else { return Ok(()) };
        if let Some(request) = state.thread.end(None, None) {
            self.writer.request(request)?;
        }
        // Linux may give the name to another process.
        self.processes.remove(&thread);
        Ok(())
    }
}
