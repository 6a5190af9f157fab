//! Processes that lie.

use std::collections::BTreeMap;

use super::*;
use crate::case::tests::{image, parameters};
use crate::machine::guest::{Pin, ServerFault};
use crate::reduce::tests::guest_run;
use crate::workload::Call;
use crate::workload::guest::guest_config;

fn new() -> (Check, u64) {
    let begin_ns = now_ns();
    let config = guest_config(&parameters(&Call), &image(), &Pin::None).unwrap();
    (Check::new(&config, begin_ns), begin_ns)
}

fn created(at_ns: u64) -> Notice {
    let size = parameters(&Call).memory_bytes;
    Notice::Created { at_ns, entered_ns: at_ns, memory: vec![(1 << 40, size)] }
}

/// A process that has come through the barrier.
fn measuring() -> Check {
    let (mut check, at_ns) = new();
    for notice in [created(at_ns), Notice::Started { at_ns }, Notice::Ready { at_ns, round_trips: 3 }] {
        check.take(&notice, 0).unwrap();
    }
    check.open();
    std::thread::sleep(std::time::Duration::from_millis(1));
    check
}

fn ended(check: &Check, change: impl FnOnce(&mut GuestRun, &mut Option<u64>, &mut LensReadings)) -> Notice {
    let (mut run, mut began_ns, mut lenses) =
        (guest_run(vec![10; 3], 6), check.opened_ns, LensReadings::default());
    change(&mut run, &mut began_ns, &mut lenses);
    Notice::Ended { began_ns, run: Box::new(run), lenses }
}

#[test]
fn an_honest_process_is_believed_to_its_end() {
    let mut check = measuring();
    let notice = ended(&check, |_, _, _| ());
    assert_eq!(check.take(&notice, 24), Ok(()));
    assert!(check.is_over());
    let (mut check, _) = new();
    assert_eq!(check.take(&Notice::Failed { reason: "no memory".to_owned() }, 0), Ok(()));
}

#[test]
fn every_stage_comes_once_and_in_its_turn() {
    let (mut check, at_ns) = new();
    let out_of_turn = |said: Result<(), String>| assert!(said.unwrap_err().contains("out of turn"));
    let first = ended(&check, |_, _, _| ());
    out_of_turn(check.take(&first, 0));
    check.take(&created(at_ns), 0).unwrap();
    out_of_turn(check.take(&created(at_ns), 0));
    check.take(&Notice::Started { at_ns }, 0).unwrap();
    out_of_turn(check.take(&Notice::Started { at_ns }, 0));
    check.take(&Notice::Ready { at_ns, round_trips: 3 }, 0).unwrap();
    out_of_turn(check.take(&Notice::Started { at_ns }, 0));
    out_of_turn(check.take(&Notice::Ready { at_ns, round_trips: 3 }, 0));
    let mut check = measuring();
    let at_ns = now_ns();
    check.take(&Notice::Measured { at_ns }, 0).unwrap();
    out_of_turn(check.take(&Notice::Measured { at_ns }, 0));
}

/// Nobody has measured who waits at its first mark.
#[test]
fn a_part_cannot_end_before_it_was_let_begin() {
    let (mut check, at_ns) = new();
    let ready = Notice::Ready { at_ns, round_trips: 3 };
    [created(at_ns), Notice::Started { at_ns }, ready]
        .iter()
        .for_each(|notice| check.take(notice, 0).unwrap());
    assert!(check.take(&Notice::Measured { at_ns: now_ns() }, 0).unwrap_err().contains("measured"));
}

#[test]
fn times_lie_between_the_start_of_the_process_and_now() {
    let (mut check, at_ns) = new();
    assert!(check.take(&created(at_ns - 1), 0).is_err());
    let (mut check, at_ns) = new();
    check.take(&created(at_ns), 0).unwrap();
    assert!(check.take(&Notice::Started { at_ns: u64::MAX }, 0).is_err());
    let mut check = measuring();
    let before_the_barrier = check.opened_ns.map(|at_ns| at_ns - 1);
    let notice = ended(&check, |_, began_ns, _| *began_ns = before_the_barrier);
    assert!(check.take(&notice, 24).unwrap_err().contains("began"));
    // Each of the two is possible, both together are not.
    let mut check = measuring();
    let notice = ended(&check, |run, began_ns, _| {
        let opened_ns = began_ns.unwrap();
        *began_ns = Some(now_ns());
        run.measured_ns = Some(now_ns() - opened_ns);
    });
    let opened_ns = check.opened_ns.unwrap();
    assert!(check.take(&notice, 24).unwrap_err().contains("second mark"), "{opened_ns}");
}

#[test]
fn memory_is_what_was_asked_for() {
    let (mut check, at_ns) = new();
    let memory = (0..1_000_000).map(|page| (page << 12, 1)).collect();
    assert!(check.take(&Notice::Created { at_ns, entered_ns: at_ns, memory }, 0).is_err());
}

#[test]
fn what_cannot_be_is_told() {
    type Lie = fn(&mut GuestRun, &mut LensReadings);
    let fault = |text: usize| ServerFault {
        fault: abi::report::Fault::default(),
        program: "x".repeat(text),
        description: String::new(),
        location: String::new(),
    };
    let lies: Vec<(&str, Lie)> = vec![
        ("measured part", |run, _| run.measured_ns = Some(u64::MAX)),
        ("CPU time", |run, _| run.cpu_ns = Some(u64::MAX)),
        ("wait for a CPU", |run, _| run.run_delay_ns = Some(1 << 60)),
        ("creation", |run, _| run.create_ns = u64::MAX),
        ("start", |run, _| run.boot_ns = Some(u64::MAX)),
        ("1 Hz", |run, _| run.tsc_hz = 1),
        ("counters of 0 CPUs of 1", |run, _| run.cpus.clear()),
        ("counters of 50000 CPUs of 1", |run, _| run.cpus = vec![run.cpus[0]; 50_000]),
        ("round trips announced: 4, before: 3", |run, _| run.round_trips_announced = Some(4)),
        ("round trips announced: none", |run, _| run.round_trips_announced = None),
        ("frames in use", |run, _| run.frames_in_use = u64::MAX),
        ("state 77", |run, _| run.state = 77),
        ("user stopped it", |run, _| run.outcome = Outcome::Interrupted),
        ("last words of CPU 1", |run, _| {
            run.outcome = Outcome::TripleFault { last_words: LastWords { cpu: 1, ..LastWords::default() } };
        }),
        ("bytes of console", |run, _| run.console = vec![b'\n'; CONSOLE_SIZE_MAX + 1]),
        ("a text of", |run, _| run.outcome = Outcome::Corrupt { reason: "x".repeat(5_000) }),
        ("a backtrace of", |run, _| {
            let backtrace = vec![String::new(); FRAMES_MAX + 1];
            run.outcome =
                Outcome::TripleFault { last_words: LastWords { backtrace, ..LastWords::default() } };
        }),
        ("statistics of KVM", |run, _| {
            run.kvm_stats = (0..800_000).map(|index| (format!("stat_{index}"), 1)).collect();
        }),
        ("a statistic that KVM cannot have", |run, _| {
            run.kvm_stats = BTreeMap::from([("\u{1b}[2J".to_owned(), 1)]);
        }),
        ("hardware counters", |_, lenses| {
            let large = crate::lens::Reading::Counted(vec![1u8; 1 << 20].into());
            lenses.0.insert(crate::lens::perf::NAME.to_owned(), large);
        }),
    ];
    for (what, lie) in lies {
        let mut check = measuring();
        let notice = ended(&check, |run, _, lenses| lie(run, lenses));
        let reason = check.take(&notice, 24).expect_err(what);
        assert!(reason.contains(what), "{what}: {reason}");
    }
    let with_faults = |faults: Vec<ServerFault>| {
        let mut check = measuring();
        let notice = ended(&check, |run, _, _| run.faults = faults);
        check.take(&notice, 24)
    };
    assert_eq!(with_faults(vec![fault(8); FAULTS_KEPT]), Ok(()));
    assert!(with_faults(vec![fault(8); 500]).unwrap_err().contains("500 faults"));
    assert!(with_faults(vec![fault(100_000)]).unwrap_err().contains("a text of 100000 bytes"));
    let mut check = measuring();
    let notice = ended(&check, |_, _, _| ());
    assert!(check.take(&notice, 23).unwrap_err().contains("23 bytes of samples"));
}
