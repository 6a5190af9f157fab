//! A thread of a recorded program, and the request that it waits for.

use super::descriptor::Descriptor;
use super::recording::Request;
use super::system_call;

/// A request without an answer yet.
struct Open {
    kind: String,
    descriptor: Option<Descriptor>,
    start: u64,
}

/// A thread of the program.
pub(super) struct Thread {
    /// Number of its process.
    pub(super) process: u32,
    /// Its own number.
    pub(super) number: u32,
    open: Option<Open>,
    /// When its request before was answered.
    answered: Option<u64>,
}

impl Thread {
    pub(super) fn new(process: u32, number: u32) -> Thread {
        Thread { process, number, open: None, answered: None }
    }

    /// It asks for something.
    pub(super) fn begin(&mut self, kind: String, descriptor: Option<Descriptor>, start: u64) {
        self.open = Some(Open { kind, descriptor, start });
    }

    /// Kind and start of the request that it waits for.
    pub(super) fn waits_for(&self) -> Option<(&str, u64)> {
        self.open.as_ref().map(|open| (open.kind.as_str(), open.start))
    }

    /// Its request has its answer, or will never have one. Nothing if it has asked for nothing.
    pub(super) fn end(&mut self, answered: Option<u64>, result: Option<i64>) -> Option<Request> {
        let Open { kind, descriptor, start } = self.open.take()?;
        let before = std::mem::replace(&mut self.answered, answered);
        Some(Request {
            process: self.process,
            thread: self.number,
            start,
            duration: answered.map(|answered| answered.saturating_sub(start)),
            size: result.and_then(|result| system_call::bytes_moved(&kind, result)),
            gap: before.map(|before| start.saturating_sub(before)),
            kind,
            descriptor,
        })
    }
}
