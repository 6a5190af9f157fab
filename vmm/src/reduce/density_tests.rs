//! Tests of the figures over many guests.

use proptest::prelude::*;

use super::*;
use crate::case::Parameters;
use crate::case::tests::parameters;
use crate::reduce::guest::{Guest, Lost, Times};
use crate::reduce::launch::{Launch, Process, Reduced};
use crate::reduce::tests::guest_run;
use crate::workload::{Call, Directions, Slots, Workload as _};

/// The figures of a case with so many guests at once, of 10 round trips each.
fn figures(guests: Option<u32>, launches: &[Launch], succeeded: &[bool]) -> Option<DensityRecord> {
    let parameters = Parameters { guests, samples: 10, ..parameters(&Call) };
    let case = Case { name: "call".to_owned(), parameters };
    let reduced: Vec<Reduced> =
        launches.iter().map(|launch| Reduced::new(&case, launch.clone(), None)).collect();
    let guests_and_parts: Vec<(&Launch, Option<&Part>)> =
        reduced.iter().map(|guest| (&guest.launch, guest.part.as_ref())).collect();
    density(guests, &guests_and_parts, succeeded)
}

/// A guest that began at a time and made its 10 round trips in another, both ms.
fn guest(index: u32, launch: u32, began_ms: u64, took_ms: u64) -> Launch {
    let mut run = guest_run(vec![5; 10], 20);
    run.measured_ns = Some(took_ms * 1_000_000);
    run.cpu_ns = Some(took_ms * 500_000);
    run.run_delay_ns = Some(took_ms * 500_000);
    let times = Times {
        started_ns: Some(1_000 * u64::from(index + 1)),
        ready_ns: Some(2_000),
        began_at_ns: Some(began_ms * 1_000_000),
        ..Times::default()
    };
    let memory = MemoryFigures { guest_pss_bytes: 10, overhead_pss_bytes: 5, ..MemoryFigures::default() };
    lone(index, launch, Ok(run), times, Some(memory))
}

fn lone(
    index: u32,
    launch: u32,
    result: Result<crate::machine::guest::GuestRun, Lost>,
    times: Times,
    memory: Option<MemoryFigures>,
) -> Launch {
    let guest = Guest {
        result: Err(Lost::NotStarted(String::new())),
        times,
        memory,
        user_ns: 1,
        system_ns: 2,
        cgroup: None,
    };
    Launch { result, lenses: Default::default(), process: Some(Process { index, launch, guest }) }
}

#[test]
fn guests_that_fare_alike_are_fair() {
    let launches = [guest(0, 0, 100, 20), guest(1, 0, 100, 20)];
    let density = figures(Some(2), &launches, &[true, true]).unwrap();
    assert_eq!((density.guests, density.finished, density.failed), (2, 2, 0));
    assert_eq!((density.fairness, density.fastest_to_slowest), (Some(1.0), Some(1.0)));
    assert_eq!((density.overlap, density.steal, density.busy_cpus), (Some(1.0), Some(0.5), Some(1.0)));
    assert_eq!(density.round_trips_per_second, Some(1000.0));
    assert_eq!(density.started_ns, Some(Spread { median: 1_000, max: 2_000 }));
    assert_eq!(density.total_pss_bytes, Some(30));
}

#[test]
fn the_slow_and_the_late_are_seen() {
    // From 105 to 110 ms the first made 5 round trips and the second, which takes three times as long for each, 5 / 3.
    let launches = [guest(0, 0, 100, 10), guest(1, 0, 105, 30)];
    let density = figures(Some(2), &launches, &[true, true]).unwrap();
    assert_eq!(density.fastest_to_slowest, Some(3.0));
    assert_eq!(density.fairness, Some(0.8));
    assert_eq!(density.overlap, Some(0.1667));
    assert_eq!((density.round_trips_at_once, density.round_trips_per_second), (Some(6.7), Some(1333.3)));
    assert_eq!(density.not_at_once, None);
}

#[test]
fn rates_of_guests_that_never_measured_together_are_not_added_up() {
    let launches = [guest(0, 0, 100, 10), guest(1, 0, 110, 10)];
    let density = figures(Some(2), &launches, &[true, true]).unwrap();
    assert_eq!((density.overlap, density.not_at_once), (Some(0.0), Some(NotAtOnce::NoOverlap)));
    assert_eq!((density.round_trips_per_second, density.round_trips_at_once), (None, None));
    assert_eq!((density.fairness, density.fastest_to_slowest), (None, None));
    assert_eq!(density.busy_cpus, Some(0.5), "what they took of the host is known all the same");
}

#[test]
fn one_launch_without_overlap_leaves_no_throughput() {
    let launches = [guest(0, 0, 100, 10), guest(1, 0, 100, 10), guest(0, 1, 900, 20), guest(1, 1, 950, 20)];
    let density = figures(Some(2), &launches, &[true; 4]).unwrap();
    assert_eq!((density.round_trips_per_second, density.not_at_once), (None, Some(NotAtOnce::NoOverlap)));
    assert_eq!(density.overlap, Some(0.0));
}

#[test]
fn round_trips_lie_where_the_samples_say() {
    // The second guest measures with the first one's second half only, in which that made one round trip of ten.
    let mut first = guest(0, 0, 100, 18);
    let run = first.result.as_mut().unwrap();
    run.samples = vec![1, 1, 1, 1, 1, 1, 1, 1, 1 | SAMPLE_DISTURBED, 9];
    let launches = [first, guest(1, 0, 109, 9)];
    let density = figures(Some(2), &launches, &[true; 2]).unwrap();
    assert_eq!((density.round_trips_at_once, density.lie_evenly), (Some(11.0), false));
    assert_eq!(density.fastest_to_slowest, Some(10.0));
}

#[test]
fn threads_of_a_guest_lie_in_their_own_parts() {
    use abi::report::CpuReport;
    let mut run = guest_run(vec![5; 10], 20);
    run.measured_ticks = 2_000;
    let cpu =
        |began, ended| CpuReport { part_began_tsc: began, part_ended_tsc: ended, ..CpuReport::default() };
    run.cpus = vec![cpu(500, 1_500), cpu(1_000, 2_500), cpu(0, 0), cpu(500, u64::MAX)];
    let whole = Span::new(100, 200).unwrap();
    let spans: Vec<Span> = (0..5).map(|thread| thread_span(&run, thread, whole)).collect();
    assert_eq!(spans, [Span::new(100, 100).unwrap(), Span::new(150, 150).unwrap(), whole, whole, whole]);
}

#[test]
fn what_lies_in_time_is_the_round_trip_or_all_its_channels() {
    assert_eq!(duration(Directions.channels(), &[9, 4, 5]), 9);
    assert_eq!(duration(Slots.channels(), &[1, 2 | SAMPLE_DISTURBED, 3, 4]), 10);
}

#[test]
fn launches_are_not_mixed() {
    let launches = [guest(0, 0, 100, 10), guest(1, 0, 100, 10), guest(0, 1, 900, 20), guest(1, 1, 900, 20)];
    let density = figures(Some(2), &launches, &[true; 4]).unwrap();
    assert_eq!(
        (density.fairness, density.overlap, density.total_pss_bytes),
        (Some(1.0), Some(1.0), Some(30))
    );
    assert_eq!(density.round_trips_per_second, Some(1500.0));
}

#[test]
fn without_the_dead_there_is_no_throughput_of_all() {
    let dead = lone(1, 0, Err(Lost::Died("signal 9".to_owned())), Times::default(), None);
    let density = figures(Some(2), &[guest(0, 0, 100, 10), dead], &[true, false]).unwrap();
    assert_eq!((density.finished, density.failed), (1, 1));
    assert_eq!((density.fairness, density.not_at_once), (None, Some(NotAtOnce::NotAll)));
    assert_eq!((density.overlap, density.total_pss_bytes), (Some(1.0), Some(15)), "of those that measured");
}

#[test]
fn without_guests_of_their_own_there_is_nothing_to_tell() {
    assert_eq!(figures(None, &[guest(0, 0, 1, 1)], &[true]), None);
    let lost = lone(0, 0, Err(Lost::NotStarted("no".to_owned())), Times::default(), None);
    let density = figures(Some(1), &[lost], &[false]).unwrap();
    assert_eq!((density.fairness, density.overlap, density.started_ns), (None, None, None));
}

proptest! {
    #[test]
    fn the_index_lies_between_one_for_all_and_all_for_one(shares in proptest::collection::vec(0.001f64..1e9, 1..70)) {
        let index = jain(&shares).unwrap();
        prop_assert!(index <= 1.0 + 1e-9 && index >= 1.0 / shares.len() as f64 - 1e-9, "{index}");
        let scaled: Vec<f64> = shares.iter().map(|share| share * 7.0).collect();
        prop_assert!((jain(&scaled).unwrap() - index).abs() < 1e-9, "the unit does not matter");
    }

    #[test]
    fn any_times_are_survived(
        guests in proptest::collection::vec((0u32..3, any::<u64>(), any::<u64>()), 0..8),
    ) {
        let launches: Vec<Launch> = guests
            .iter()
            .map(|(launch, began, took)| {
                let mut one = guest(0, *launch, 0, 1);
                if let (Ok(run), Some(process)) = (&mut one.result, &mut one.process) {
                    run.measured_ns = Some(*took);
                    process.guest.times.began_at_ns = Some(*began);
                }
                one
            })
            .collect();
        let density = figures(Some(8), &launches, &vec![true; launches.len()]).unwrap();
        prop_assert!(density.overlap.is_none_or(|overlap| (0.0..=1.0).contains(&overlap)));
    }
}
