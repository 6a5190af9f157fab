//! What the process of an experiment and that of a guest say to each other, and how it travels: each message is a frame of
//! two lengths (JSON: 4 bytes; raw bytes: 8 bytes; little-endian), JSON, raw bytes.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::lens::{LensReadings, LensRequest};
use crate::machine::guest::{GuestConfig, GuestRun};

/// Most JSON in one message, bytes: the counters of 4,096 CPUs and a full console fit in.
const JSON_SIZE_MAX: u32 = 16 << 20;

/// Bytes before the JSON.
const HEAD_SIZE: usize = 12;

/// To a guest's process, first: what to run. The file of the programs travels with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The process that it must not outlive.
    pub parent: u32,
    /// The guest, without its programs.
    pub config: GuestConfig,
    /// What is to be counted of it.
    pub lenses: LensRequest,
    /// The kernel in the file of the programs.
    pub kernel: Program,
    /// The modules there.
    pub modules: Vec<Program>,
}

/// Where a program lies in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Program {
    pub name: String,
    /// Offset of its first byte, at a page's beginning.
    pub start: usize,
    /// Bytes.
    pub length: usize,
}

/// To a guest's process, at the barrier: go on. Nothing but one byte, so that nothing is parsed just then.
pub(crate) const GO: u8 = b'g';

/// To a guest's process that has measured: all others have, too.
pub(crate) const DONE: u8 = b'd';

/// From a guest's process. Times are of CLOCK_MONOTONIC, ns.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Notice {
    /// The guest is complete. `entered_ns`: when the process's own code began to run; `memory`: addresses and sizes of the
    /// guest's memory in the process.
    Created { at_ns: u64, entered_ns: u64, memory: Vec<(u64, u64)> },
    /// The kernel has loaded all servers.
    Started { at_ns: u64 },
    /// The guest has rung for its first mark, where it announces so many round trips, and waits for [`GO`].
    Ready { at_ns: u64, round_trips: u64 },
    /// The guest has come to its second mark, and goes on calling until [`DONE`].
    Measured { at_ns: u64 },
    /// The guest has ended. Its samples are the raw bytes of the message.
    Ended { began_ns: Option<u64>, run: Box<GuestRun>, lenses: LensReadings },
    /// No guest was run.
    Failed { reason: String },
}

/// Sends a message.
pub(crate) fn send(stream: &mut impl Write, message: &impl Serialize, raw: &[u8]) -> io::Result<()> {
    stream.write_all(&encode(message, raw.len())?)?;
    stream.write_all(raw)
}

/// Head and JSON of a message that is followed by so many raw bytes.
pub(crate) fn encode(message: &impl Serialize, raw: usize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(message)?;
    let size = u32::try_from(json.len()).ok().filter(|size| *size <= JSON_SIZE_MAX);
    let size = size.ok_or_else(|| io::Error::other("the message is too long"))?;
    let mut bytes = Vec::with_capacity(HEAD_SIZE + json.len());
    bytes.extend(size.to_le_bytes());
    bytes.extend((raw as u64).to_le_bytes());
    bytes.extend(json);
    Ok(bytes)
}

/// Receives a message without raw bytes, whose first byte has been read already.
pub(crate) fn receive<T: DeserializeOwned>(stream: &mut impl Read, first: u8) -> io::Result<T> {
    let mut head = [first; HEAD_SIZE];
    stream.read_exact(&mut head[1..])?;
    let mut frames = Frames::new(0);
    frames.bytes.extend(head);
    let (json, _) = frames.sizes().map_err(io::Error::other)?.unwrap_or_default();
    let mut text = vec![0; json];
    stream.read_exact(&mut text)?;
    serde_json::from_slice(&text).map_err(io::Error::other)
}

/// Puts messages together from the pieces in which they arrive.
#[derive(Debug)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    raw_size_max: u64,
}

impl Frames {
    /// For messages with at most so many raw bytes.
    pub(crate) fn new(raw_size_max: u64) -> Frames {
        Frames { bytes: Vec::new(), raw_size_max }
    }

    /// Takes a piece.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// The next complete message with its raw bytes. An error: no process of this build sends such a thing.
    pub(crate) fn next(&mut self) -> Result<Option<(Notice, Vec<u8>)>, String> {
        let Some((json, raw)) = self.sizes()? else { return Ok(None) };
        let size = HEAD_SIZE + json + raw;
        if self.bytes.len() < size {
            return Ok(None);
        }
        let rest = self.bytes.split_off(size);
        let message = std::mem::replace(&mut self.bytes, rest);
        let (json, raw) = message[HEAD_SIZE..].split_at(json);
        let notice = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        Ok(Some((notice, raw.to_vec())))
    }

    fn sizes(&self) -> Result<Option<(usize, usize)>, String> {
        let (Some(json), Some(raw)) =
            (self.bytes.first_chunk(), self.bytes.get(4..).and_then(<[u8]>::first_chunk))
        else {
            return Ok(None);
        };
        let (json, raw) = (u32::from_le_bytes(*json), u64::from_le_bytes(*raw));
        if json > JSON_SIZE_MAX || raw > self.raw_size_max {
            return Err(format!("a message of {json} and {raw} bytes"));
        }
        Ok(Some((json as usize, raw as usize)))
    }
}

/// Samples as raw bytes.
pub(crate) fn samples_to_bytes(samples: &[u64]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// And back; what is no whole sample is left out.
pub(crate) fn samples_from_bytes(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks().0.iter().map(|sample| u64::from_le_bytes(*sample)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reduce::tests::guest_run;

    fn ended(samples: Vec<u64>) -> Vec<u8> {
        let run = guest_run(samples.clone(), 2);
        let raw = samples_to_bytes(&samples);
        let notice = Notice::Ended { began_ns: Some(1), run: Box::new(run), lenses: LensReadings::default() };
        let mut bytes = Vec::new();
        send(&mut bytes, &notice, &raw).unwrap();
        bytes
    }

    #[test]
    fn a_run_survives_the_journey() {
        let mut frames = Frames::new(1 << 20);
        frames.push(&ended(vec![5, u64::MAX]));
        let Some((Notice::Ended { run, .. }, raw)) = frames.next().unwrap() else { panic!("one message") };
        let sent = guest_run(vec![5, u64::MAX], 2);
        assert_eq!((run.outcome, run.cpus, run.console), (sent.outcome, sent.cpus, sent.console));
        assert_eq!((run.kvm_stats, run.round_trips), (sent.kvm_stats, sent.round_trips));
        assert_eq!(samples_from_bytes(&raw), [5, u64::MAX]);
        assert!(frames.next().unwrap().is_none());
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_kept() {
        let mut frames = Frames::new(8);
        frames.push(&ended(vec![1, 2]));
        assert!(frames.next().unwrap_err().contains("16 bytes"));
        let mut frames = Frames::new(0);
        frames.push(&[0xff; 12]);
        assert!(frames.next().is_err());
    }

    proptest! {
        #[test]
        fn messages_are_whole_however_they_are_cut(cuts in proptest::collection::vec(1usize..200, 1..40)) {
            let mut bytes = ended(vec![1, 2, 3]);
            bytes.extend(encode(&Notice::Ready { at_ns: 7, round_trips: 2 }, 0).unwrap());
            let mut frames = Frames::new(1 << 20);
            let mut seen = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts.into_iter().chain(std::iter::repeat(1 << 20)) {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                frames.push(piece);
                while let Some((notice, raw)) = frames.next().unwrap() {
                    seen.push((matches!(notice, Notice::Ready { at_ns: 7, .. }), raw.len()));
                }
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(seen, [(false, 24), (true, 0)]);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut frames = Frames::new(64);
            frames.push(&bytes);
            let _ = frames.next();
        }
    }
}
