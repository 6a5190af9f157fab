//! No bytes that a guest may leave in place of a report do harm.

use proptest::prelude::*;
use vm_memory::ByteValued;

use abi::flush::FlushReport;
use abi::pmu::PmuReport;
use abi::report::{FAULTS_KEPT, Fault, MESSAGE_SIZE, REPORT_MAGIC, Registers, Report, state};

use crate::machine::record::Shared;
use crate::machine::report::{Bounds, check};

const BOUNDS: Bounds = Bounds { sample_capacity: 100, servers: 20, vcpus: 2, frames: 1_000 };

fn honest() -> Report {
    Report {
        magic: REPORT_MAGIC,
        version: abi::VERSION,
        state: state::FINISHED,
        features: 0,
        round_trips: 10,
        round_trips_announced: 10,
        sample_count: 30,
        channel_count: 3,
        driver_status: 0,
        begin_tsc: 1_000,
        end_tsc: 4_000,
        calls_answered_meanwhile: 0,
        calls_failed: 0,
        frames_in_use: 0,
        fault_count: 0,
        last_words_cpu: 0,
        faults: [Fault::default(); FAULTS_KEPT],
        last_words: Registers::default(),
        message_size: 0,
        reserved: 0,
        message: [0; MESSAGE_SIZE],
        pmu: PmuReport::default(),
        flush: FlushReport::default(),
    }
}

/// Its status says more than marks that it never came to.
#[test]
fn a_driver_may_fail_before_its_second_mark() {
    let failed = Report { driver_status: 2, end_tsc: 0, round_trips: 0, sample_count: 0, ..honest() };
    let checked = check(&failed, BOUNDS).unwrap().unwrap();
    assert_eq!((checked.driver_status, checked.measured_ticks), (2, 0));
    for lie in [
        Report { driver_status: 0, ..failed },
        Report { end_tsc: 1, ..failed },
        Report { state: state::MEASURED, ..failed },
    ] {
        assert!(check(&lie, BOUNDS).unwrap_err().contains("second mark"));
    }
}

#[test]
fn an_honest_report_is_taken_whole() {
    let mut report = honest();
    report.message[..4].copy_from_slice(b"hi \xff");
    report.message_size = 4;
    report.fault_count = 18;
    let checked = check(&report, BOUNDS).unwrap().unwrap();
    assert_eq!((checked.sample_count, checked.channel_count, checked.measured_ticks), (30, 3, 3_000));
    assert_eq!(checked.message, "hi \u{fffd}");
    assert_eq!(checked.faults.len(), FAULTS_KEPT, "18 faults, but only so many are kept");
}

#[test]
fn a_report_that_was_never_written_is_none() {
    let mut report = honest();
    report.magic = 0;
    assert_eq!(check(&report, BOUNDS), Ok(None));
}

#[test]
fn a_report_that_was_begun_needs_no_channels() {
    let mut report = honest();
    (report.state, report.channel_count, report.sample_count) = (state::STARTED, 0, 0);
    let checked = check(&report, BOUNDS).unwrap().unwrap();
    assert_eq!((checked.channel_count, checked.measured_ticks), (1, 0));
}

#[test]
fn each_lie_is_named() {
    type Lie = fn(&mut Report);
    let lies: [(&str, Lie); 8] = [
        ("version", |report| report.version += 1),
        ("state", |report| report.state = 0),
        ("samples", |report| report.sample_count = 101),
        ("per round trip", |report| report.channel_count = 0),
        ("fault of server", |report| {
            report.fault_count = 1;
            report.faults[0].server = 20;
        }),
        ("message", |report| report.message_size = MESSAGE_SIZE as u32 + 1),
        ("CPU 2", |report| report.last_words_cpu = 2),
        ("mark", |report| report.end_tsc = 0),
    ];
    for (what, lie) in lies {
        let mut report = honest();
        lie(&mut report);
        let reason = check(&report, BOUNDS).unwrap_err();
        assert!(reason.contains(what), "{reason}");
    }
}

proptest! {
    #[test]
    fn random_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), size_of::<Report>()), magic in any::<bool>()) {
        let shared: &Shared<Report> = Shared::from_slice(&bytes).unwrap();
        let mut report = shared.0;
        if magic {
            (report.magic, report.version) = (REPORT_MAGIC, abi::VERSION);
        }
        if let Ok(Some(checked)) = check(&report, BOUNDS) {
            prop_assert!(checked.sample_count as u64 <= BOUNDS.sample_capacity);
            prop_assert!(checked.channel_count >= 1);
        }
    }

    /// Small lies around an honest report, which random bytes would never find.
    #[test]
    fn mutated_reports_are_judged(at in 0usize..size_of::<Report>(), value in any::<u8>()) {
        let mut shared = Shared(honest());
        shared.as_mut_slice()[at] = value;
        if let Ok(Some(checked)) = check(&shared.0, BOUNDS) {
            prop_assert!(checked.sample_count as u64 <= BOUNDS.sample_capacity);
            prop_assert!(checked.faults.iter().all(|fault| (fault.server as usize) < BOUNDS.servers));
        }
    }
}
