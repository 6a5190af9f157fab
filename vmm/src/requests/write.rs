//! Writes a recording, member by member: what is written stays readable if the recorder ends early.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use super::error::RecordingError;
use super::recording::{End, Header, Line, REQUESTS_PER_MEMBER, Request};

/// A recording that is being written.
pub struct Writer<W: Write> {
    output: W,
    lines: Vec<u8>,
    pending: usize,
    /// Requests that are in the output.
    saved: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    pub fn new(output: W, header: &Header) -> Result<Writer<W>, RecordingError> {
        let mut writer = Writer { output, lines: Vec::new(), pending: 0, saved: 0 };
        writer.line(header)?;
        writer.end_member()?;
        Ok(writer)
    }

    /// Adds a request.
    pub fn request(&mut self, request: Request) -> Result<(), RecordingError> {
        self.line(&Line::Request(request))?;
        self.pending += 1;
        if self.pending == REQUESTS_PER_MEMBER { self.end_member() } else { Ok(()) }
    }

    /// Requests so far.
    pub fn count(&self) -> u64 {
        self.saved + self.pending as u64
    }

    /// Writes the last line. `end` need not know the count of requests.
    pub fn finish(mut self, mut end: End) -> Result<W, RecordingError> {
        if self.pending > 0 {
            self.end_member()?;
        }
        end.requests = self.saved;
        self.line(&Line::End(end))?;
        self.end_member()?;
        Ok(self.output)
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), RecordingError> {
        serde_json::to_writer(&mut self.lines, line).map_err(|source| self.failed(source.into()))?;
        self.lines.push(b'\n');
        Ok(())
    }

    fn end_member(&mut self) -> Result<(), RecordingError> {
        let mut member = GzEncoder::new(&mut self.output, Compression::default());
        let written = member.write_all(&self.lines).and_then(|()| member.finish().map(drop));
        written.and_then(|()| self.output.flush()).map_err(|source| self.failed(source))?;
        self.saved += self.pending as u64;
        self.pending = 0;
        self.lines.clear();
        Ok(())
    }

    fn failed(&self, source: std::io::Error) -> RecordingError {
        RecordingError::Io { saved: self.saved, source }
    }
}
