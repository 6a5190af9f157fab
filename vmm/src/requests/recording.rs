//! The form of a recording: gzip members of JSON lines, described in docs/recordings.md. Nothing in it is private: there are
//! no arguments, no paths and no data, only kinds and sizes.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::descriptor::Descriptor;

/// The version of the form that this library writes, and the newest that it reads. Version 1 had no descriptors.
pub const VERSION: u32 = 2;

/// What the first line calls the form.
pub const FORMAT: &str = "inkbed requests";

/// Requests of one gzip member. A member has a checksum of its own, so it is the unit that is whole or lost.
pub const REQUESTS_PER_MEMBER: usize = 65_536;

/// Bytes of one line at most; what is longer is no line of ours.
pub const LONGEST_LINE: usize = 512;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// Version of the form.
    pub version: u32,
    /// Version of the inkbed that wrote it.
    pub inkbed: String,
    /// Name of the program's file, without its folder and without arguments.
    pub program: String,
    /// What the user said about the program's version.
    pub program_version: Option<String>,
    /// The host: processor and kernel. Never its name.
    pub host: String,
    /// How the requests were seen.
    pub source: Source,
    /// What this way of recording changes and cannot see, in sentences.
    pub distortion: Vec<String>,
    /// Nanoseconds of a run without the recorder, where one was asked for.
    pub run_time_without_recorder: Option<u64>,
    /// Why there are no counts of instructions between requests.
    pub instructions_absent: String,
}

impl Header {
    /// Whether requests say what their descriptors stand for. Those of version 1 do not.
    pub fn has_descriptors(&self) -> bool {
        self.version >= 2
    }
}

/// How requests were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// inkbed stopped the program at each system call.
    Ptrace,
    /// A log of strace.
    Strace,
}

/// One request. In the file it is an array with the fields in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "Fields")]
pub struct Request {
    /// Number of the process, from 0 in the order of appearance. Threads of a process share its address space.
    pub process: u32,
    /// Number of the thread, from 0 in the order of appearance.
    pub thread: u32,
    /// Nanoseconds since the recording began.
    pub start: u64,
    /// Nanoseconds until the answer; none if there was no answer, as for `exit_group`.
    pub duration: Option<u64>,
    /// Name of the system call.
    pub kind: String,
    /// Bytes that were moved, for calls that move bytes.
    pub size: Option<u64>,
    /// Nanoseconds since the answer to the thread's request before, none for its first.
    pub gap: Option<u64>,
    /// What its descriptor stands for; none if it names none, or none that is open.
    pub descriptor: Option<Descriptor>,
}

type Fields = (u32, u32, u64, Option<u64>, String, Option<u64>, Option<u64>, Option<Descriptor>);

impl From<Request> for Fields {
    fn from(request: Request) -> Fields {
        let Request { process, thread, start, duration, kind, size, gap, descriptor } = request;
        (process, thread, start, duration, kind, size, gap, descriptor)
    }
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Request, D::Error> {
        deserializer.deserialize_seq(RequestVisitor)
    }
}

struct RequestVisitor;

impl<'de> Visitor<'de> for RequestVisitor {
    type Value = Request;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the seven or eight fields of a request")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<Request, A::Error> {
        fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(
            fields: &mut A,
            place: usize,
        ) -> Result<T, A::Error> {
            fields.next_element()?.ok_or_else(|| A::Error::invalid_length(place, &RequestVisitor))
        }
        let request = Request {
            process: next(&mut fields, 0)?,
            thread: next(&mut fields, 1)?,
            start: next(&mut fields, 2)?,
            duration: next(&mut fields, 3)?,
            kind: next(&mut fields, 4)?,
            size: next(&mut fields, 5)?,
            gap: next(&mut fields, 6)?,
            // Version 1 ends here.
            descriptor: fields.next_element()?.flatten(),
        };
        Ok(request)
    }
}

/// The last line. A recording without it is not whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Requests in all.
    pub requests: u64,
    /// Nanoseconds of the run with the recorder.
    pub run_time_with_recorder: Option<u64>,
    /// Page faults that Linux served without and with reading from a device.
    pub page_faults: Option<PageFaults>,
    /// Exit code of the program, 128 and the signal's number if a signal ended it.
    pub exit_code: Option<u8>,
}

/// Linux's counts of page faults, of the program and all its children that it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageFaults {
    /// Without reading from a device.
    pub minor: u64,
    /// With reading.
    pub major: u64,
}

impl PageFaults {
    /// Those that came after the others.
    pub fn since(self, before: PageFaults) -> PageFaults {
        let minor = self.minor.saturating_sub(before.minor);
        PageFaults { minor, major: self.major.saturating_sub(before.major) }
    }
}

/// A line after the header.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Line {
    /// An array.
    Request(Request),
    /// An object.
    End(End),
}
