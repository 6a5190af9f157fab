//! Reads a recording, member by member, in bounded memory. No request is given out before the checksum of its member is seen
//! to be right.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

use super::error::RecordingError;
use super::recording::{End, FORMAT, Header, LONGEST_LINE, Line, REQUESTS_PER_MEMBER, Request, VERSION};

/// Bytes of a member's text at most.
const LONGEST_MEMBER: u64 = (REQUESTS_PER_MEMBER * LONGEST_LINE) as u64;

/// Bytes of the first line at most.
const LONGEST_HEADER: u64 = 64 * 1024;

/// A recording that is being read: an iterator of requests, which ends after the last line or after an error.
pub struct Reader<R: BufRead> {
    input: R,
    header: Header,
    lines: std::vec::IntoIter<Request>,
    end: Option<End>,
    saved: u64,
    is_over: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub fn new(mut input: R) -> Result<Reader<R>, RecordingError> {
        let no_recording = |why: &str| RecordingError::NotARecording { why: why.to_owned() };
        let text = match member(&mut input, LONGEST_HEADER) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(RecordingError::Truncated { saved: 0 });
            }
            Err(error) if is_damage(&error) => return Err(no_recording(&error.to_string())),
            Err(source) => return Err(RecordingError::Io { saved: 0, source }),
        };
        let header: serde_json::Value =
            serde_json::from_slice(&text).map_err(|_| no_recording("its first line is no header"))?;
        let text_of = |key: &str| header[key].as_str().unwrap_or("?").to_owned();
        if text_of("format") != FORMAT {
            return Err(no_recording("its first line names another form"));
        }
        // Before anything else of it is understood: a newer header may have other fields.
        let version = header["version"].as_u64().ok_or_else(|| no_recording("it has no version"))?;
        if version > u64::from(VERSION) {
            let (program, inkbed) = (text_of("program"), text_of("inkbed"));
            return Err(RecordingError::Newer { version, program, inkbed });
        }
        let header = serde_json::from_value(header)
            .map_err(|error| RecordingError::Damaged { saved: 0, why: error.to_string() })?;
        Ok(Reader { input, header, lines: Vec::new().into_iter(), end: None, saved: 0, is_over: false })
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The last line, once all requests are read.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    fn damaged(&self, why: impl ToString) -> RecordingError {
        RecordingError::Damaged { saved: self.saved, why: why.to_string() }
    }

    /// Reads the next member into `lines`, or the end.
    fn advance(&mut self) -> Result<(), RecordingError> {
        let text = member(&mut self.input, LONGEST_MEMBER).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => RecordingError::Truncated { saved: self.saved },
            _ if is_damage(&error) => self.damaged(&error),
            _ => RecordingError::Io { saved: self.saved, source: error },
        })?;
        let mut requests = Vec::new();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line).map_err(|error| self.damaged(error))? {
                Line::Request(request) if self.end.is_none() => requests.push(request),
                Line::Request(_) => return Err(self.damaged("a request follows the end")),
                Line::End(end) => self.end = Some(end),
            }
        }
        if let Some(end) = &self.end {
            let found = self.saved + requests.len() as u64;
            if end.requests != found {
                return Err(self.damaged(format_args!("its end counts {}, and it has {found}", end.requests)));
            }
            self.is_over = true;
        }
        self.lines = requests.into_iter();
        Ok(())
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Request, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(request) = self.lines.next() {
                self.saved += 1;
                return Some(Ok(request));
            }
            if self.is_over {
                return None;
            }
            if let Err(error) = self.advance() {
                self.is_over = true;
                self.end = None;
                return Some(Err(error));
            }
        }
    }
}

/// The text of the next gzip member. Nothing left is an unexpected end: the last line comes before it.
fn member(input: &mut impl BufRead, longest: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if input.fill_buf()?.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut decoder = GzDecoder::new(input);
    decoder.by_ref().take(longest + 1).read_to_end(&mut text)?;
    match text.len() as u64 > longest {
        true => Err(io::Error::new(io::ErrorKind::InvalidData, "a part is too long")),
        false => Ok(text),
    }
}

fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
}
