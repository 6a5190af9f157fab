//! Recordings that are whole, cut, damaged, or of another time.

use std::io::{BufReader, Read, Write};

use proptest::prelude::*;

use super::descriptor::Descriptor;
use super::error::RecordingError;
use super::mapping::Mapping;
use super::read::Reader;
use super::recording::*;
use super::replay::{Replay, ReplayError};
use super::write::Writer;

fn header() -> Header {
    Header {
        format: FORMAT.into(),
        version: VERSION,
        inkbed: "0.1.0".into(),
        program: "true".into(),
        program_version: None,
        host: "a host".into(),
        source: Source::Ptrace,
        distortion: vec!["calls slow down".into()],
        run_time_without_recorder: None,
        instructions_absent: "not counted".into(),
    }
}

fn end() -> End {
    End { requests: 0, run_time_with_recorder: Some(5), page_faults: None, exit_code: Some(0) }
}

fn request(index: u64) -> Request {
    let thread = (index % 7) as u32;
    Request {
        process: 0,
        thread,
        start: index,
        duration: Some(1),
        kind: "read".into(),
        size: Some(index),
        gap: None,
        descriptor: index.is_multiple_of(2).then_some(Descriptor::Pipe),
    }
}

fn written(requests: impl IntoIterator<Item = Request>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    requests.into_iter().for_each(|request| writer.request(request).unwrap());
    writer.finish(end()).unwrap()
}

/// What can be read of it, and what then was wrong.
fn read(bytes: &[u8]) -> (Vec<Request>, Option<RecordingError>) {
    let reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut requests = Vec::new();
    for request in reader {
        match request {
            Ok(request) => requests.push(request),
            Err(error) => return (requests, Some(error)),
        }
    }
    (requests, None)
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let descriptor =
        prop::option::of(prop::sample::select(vec![Descriptor::File, Descriptor::Socket, Descriptor::Event]));
    let numbers = any::<(u32, u32, u64, Option<u64>)>();
    let one = (numbers, "[a-z0-9_]{1,20}", any::<(Option<u64>, Option<u64>)>(), descriptor);
    let one = one.prop_map(|((process, thread, start, duration), kind, (size, gap), descriptor)| Request {
        process,
        thread,
        start,
        duration,
        kind,
        size,
        gap,
        descriptor,
    });
    prop::collection::vec(one, 0..60)
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_written(requests in requests()) {
        let bytes = written(requests.clone());
        let (found, error) = read(&bytes);
        prop_assert!(error.is_none(), "{error:?}");
        prop_assert_eq!(found, requests);
    }

    /// Wherever it is cut or changed, no request is read that was not written, and the damage is told.
    #[test]
    fn damage_is_told(requests in requests(), at in any::<prop::sample::Index>(), bit in 0..8u32, cut in any::<bool>()) {
        let mut bytes = written(requests.clone());
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        let (found, error) = read(&bytes);
        // Some bits of a gzip header say nothing (time, system): then all is there.
        prop_assert!(error.is_some() || (!cut && found == requests));
        prop_assert!(requests.starts_with(&found));
    }
}

#[test]
fn a_cut_recording_says_what_was_saved() {
    let count = REQUESTS_PER_MEMBER as u64;
    let bytes = written((0..count + 10).map(request));
    let (found, error) = read(&bytes[..bytes.len() - 130]);
    assert_eq!(found.len() as u64, count);
    let text = error.unwrap().to_string();
    assert_eq!(text, "the end of the recording is missing. 65536 requests before it are whole");
}

/// A recording of version 1 has no descriptors, and is read as before.
#[test]
fn the_first_version_is_read() {
    let mut bytes = Vec::new();
    for text in [
        serde_json::to_string(&Header { version: 1, ..header() }).unwrap(),
        "[0,1,2,3,\"read\",4,null]\n[0,1,9,null,\"exit_group\",null,5]".to_owned(),
        serde_json::to_string(&End { requests: 2, ..end() }).unwrap(),
    ] {
        let mut member = flate2::write::GzEncoder::new(&mut bytes, flate2::Compression::fast());
        writeln!(member, "{text}").unwrap();
        member.finish().unwrap();
    }
    let (found, error) = read(&bytes);
    assert!(error.is_none(), "{error:?}");
    assert_eq!((found.len(), found[0].kind.as_str(), found[0].size), (2, "read", Some(4)));
    assert!(found.iter().all(|request| request.descriptor.is_none()));
}

#[test]
fn a_request_of_another_length_is_damage() {
    for line in
        ["[0,1,2,3,\"read\",4]", "[0,1,2,3,\"read\",4,null,\"pipe\",7]", "[0,1,2,3,\"read\",4,null,\"hose\"]"]
    {
        assert!(serde_json::from_str::<Request>(line).is_err(), "{line}");
    }
}

#[test]
fn a_newer_recording_names_its_inkbed() {
    let newer = Header { version: VERSION + 1, inkbed: "7.0".into(), ..header() };
    let bytes = Writer::new(Vec::new(), &newer).unwrap().finish(end()).unwrap();
    let text = read(&bytes).1.unwrap().to_string();
    assert!(text.contains("`true`") && text.contains("Use inkbed 7.0"), "{text}");
    let text = read(b"no gzip at all").1.unwrap().to_string();
    assert!(text.starts_with("this is no recording"), "{text}");
}

/// Neither the reader nor the writer needs the whole.
#[test]
fn a_long_recording_streams() {
    let (input, mut output) = std::io::pipe().unwrap();
    let count = 5 * REQUESTS_PER_MEMBER as u64 + 1;
    let writer = std::thread::spawn(move || {
        let mut writer = Writer::new(&mut output, &header()).unwrap();
        (0..count).for_each(|index| writer.request(request(index)).unwrap());
        writer.finish(end()).unwrap().flush().unwrap();
    });
    // A pipe holds 64 KiB: reader and writer can only go on together.
    let mut reader = Reader::new(BufReader::new(input)).unwrap();
    let read = reader.by_ref().map(Result::unwrap).zip(0..).all(|(found, index)| found == request(index));
    assert!(read && reader.end().unwrap().requests == count);
    writer.join().unwrap();
}

/// What is compressed to nothing does not fill the memory.
#[test]
fn a_part_that_is_too_long_is_damage() {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::copy(&mut std::io::repeat(b' ').take(40 << 20), &mut bomb).unwrap();
    let mut bytes = Vec::new();
    Writer::new(&mut bytes, &header()).map(drop).unwrap();
    bytes.extend(bomb.finish().unwrap());
    let text = read(&bytes).1.unwrap().to_string();
    assert!(text.contains("a part is too long"), "{text}");
}

/// What a replay has no room for is refused by what it is, and what it has room for is not.
#[test]
fn a_recording_that_is_too_much_for_a_replay_says_of_what() {
    let replay = |count: u64, process: fn(u64) -> u32| {
        let requests = (0..count).map(|index| Request { process: process(index), ..request(index) });
        let bytes = written(requests);
        Replay::read(Reader::new(bytes.as_slice()).unwrap(), &Mapping::built_in())
    };
    let too_many = |replay: Result<Replay, ReplayError>| match replay {
        Err(ReplayError::TooMany { what, found, most }) => (what, found > most),
        other => panic!("{:?}", other.map(|_| ())),
    };
    assert!(matches!(replay(0, |_| 0), Err(ReplayError::Empty)));
    assert_eq!(replay(128, |index| index as u32).unwrap().processes, 128);
    assert_eq!(too_many(replay(129, |index| index as u32)), ("processes", true));
    // So many fit, but not with as many turns.
    let many = abi::replay::SIZE_MAX / 2;
    let alone = replay(many, |_| 0).unwrap();
    assert!(alone.table.len() as u64 > many && (alone.table.len() as u64) < abi::replay::SIZE_MAX);
    assert_eq!(too_many(replay(many, |index| (index % 2) as u32)), ("bytes of requests and turns", true));
}
