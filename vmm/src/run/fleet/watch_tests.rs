//! Processes that lie, over the socket: each is killed, its guest is lost with the reason, and nobody waits for it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use super::*;
use crate::case::tests::{image, parameters};
use crate::lens::LensReadings;
use crate::machine::guest::GuestRun;
use crate::reduce::tests::guest_run;
use crate::run::fleet::message::{encode, samples_to_bytes, send};
use crate::workload::Call;
use crate::workload::guest::guest_config;

/// Of the processes below, which say something within a few milliseconds or never.
const SHORT_PATIENCE: Duration = Duration::from_millis(500);

fn config() -> GuestConfig {
    guest_config(&parameters(&Call), &image(), &Pin::None).unwrap()
}

/// What becomes of a guest whose process says this. An error of a write is that the other side has hung up.
fn end_of(speak: impl FnOnce(&mut UnixStream) -> io::Result<()> + Send + 'static) -> Guest {
    let stop = StopFlag::new().unwrap();
    let mut watch = Watch::new(&stop, 1, &config()).unwrap();
    watch.patience = SHORT_PATIENCE;
    let (process, mut theirs) = Process::stand_in().unwrap();
    watch.add(Ok(process));
    let speaker = thread::spawn(move || {
        let _ = speak(&mut theirs);
        theirs
    });
    watch.run_to_the_end().unwrap();
    let guest = std::mem::take(&mut watch.members).pop().unwrap().into_guest();
    drop(watch);
    speaker.join().unwrap();
    guest
}

/// Why the guest was lost.
fn reason(guest: Guest) -> String {
    match guest.result {
        Err(Lost::Died(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn notice(stream: &mut UnixStream, notice: &Notice) -> io::Result<()> {
    send(stream, notice, &[])
}

/// The honest way to the first mark.
fn come_to_the_first_mark(stream: &mut UnixStream) -> io::Result<()> {
    let at_ns = now_ns();
    let memory = vec![(1 << 40, config().memory_bytes)];
    notice(stream, &Notice::Created { at_ns, entered_ns: at_ns, memory })?;
    notice(stream, &Notice::Started { at_ns })?;
    notice(stream, &Notice::Ready { at_ns, round_trips: 3 })
}

#[test]
fn an_honest_process_is_heard_to_its_end() {
    let guest = end_of(|stream| {
        come_to_the_first_mark(stream)?;
        stream.read_exact(&mut [0])?;
        let mut run = Box::new(guest_run(vec![10; 3], 6));
        run.measured_ns = Some(0);
        let ended = Notice::Ended { began_ns: Some(now_ns()), run, lenses: LensReadings::default() };
        send(stream, &ended, &samples_to_bytes(&[10; 3]))
    });
    let ended = guest.result.unwrap();
    assert_eq!((ended.run.round_trips, ended.run.samples), (3, vec![10; 3]));
}

#[test]
fn a_process_that_says_nothing_is_given_up() {
    let guest = end_of(until_the_end);
    assert!(reason(guest).contains("no sign of life"));
}

#[test]
fn one_sign_of_life_repeated_renews_no_patience() {
    let guest = end_of(|stream| {
        let at_ns = now_ns();
        notice(
            stream,
            &Notice::Created { at_ns, entered_ns: at_ns, memory: vec![(1 << 40, config().memory_bytes)] },
        )?;
        loop {
            notice(stream, &Notice::Started { at_ns: now_ns() })?;
        }
    });
    assert!(reason(guest).contains("out of turn"));
}

#[test]
fn a_piece_of_a_message_is_no_sign_of_life() {
    let guest = end_of(|stream| {
        let whole = encode(&Notice::Started { at_ns: now_ns() }, 0)?;
        for byte in &whole[..whole.len() - 1] {
            stream.write_all(&[*byte])?;
        }
        until_the_end(stream)
    });
    assert!(reason(guest).contains("no sign of life"));
}

#[test]
fn a_result_that_cannot_be_is_a_lie() {
    type Lie = (&'static str, fn(&mut GuestRun));
    let lies: [Lie; 4] = [
        ("counters of 0 CPUs of 1", |run| run.cpus.clear()),
        ("round trips announced: 1, before: 3", |run| run.round_trips_announced = Some(1)),
        ("its measured part took", |run| run.measured_ns = Some(u64::MAX)),
        ("statistics of KVM", |run| {
            run.kvm_stats = (0..10_000).map(|number| (format!("s{number}"), number)).collect();
        }),
    ];
    for (expected, lie) in lies {
        let guest = end_of(move |stream| {
            come_to_the_first_mark(stream)?;
            stream.read_exact(&mut [0])?;
            let mut run = Box::new(guest_run(vec![10; 3], 6));
            run.measured_ns = Some(0);
            lie(&mut run);
            let ended = Notice::Ended { began_ns: Some(now_ns()), run, lenses: LensReadings::default() };
            send(stream, &ended, &samples_to_bytes(&[10; 3]))
        });
        let reason = reason(guest);
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn a_message_that_never_ends_and_one_that_is_none_are_refused() {
    let guest = end_of(|stream| stream.write_all(&[0xff; 64]));
    assert!(reason(guest).contains("says what none of this build says"));
    let guest = end_of(|stream| {
        stream.write_all(&[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
        stream.write_all(b"null")
    });
    assert!(reason(guest).contains("says what none of this build says"));
}

#[test]
fn a_process_that_hangs_up_has_ended() {
    let guest = end_of(|stream| stream.shutdown(std::net::Shutdown::Both));
    assert!(reason(guest).contains("its process"));
}

/// Says nothing more, and keeps the connection until the other side has hung up.
fn until_the_end(stream: &mut UnixStream) -> io::Result<()> {
    stream.read_to_end(&mut Vec::new()).map(|_| ())
}
