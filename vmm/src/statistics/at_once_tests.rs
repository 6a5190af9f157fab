//! Tests of what guests did while all of them measured.

use proptest::prelude::*;

use super::*;

fn span(begin_ns: u64, length_ns: u64) -> Span {
    Span::new(begin_ns, length_ns).unwrap()
}

/// Guests that called in these spans and no longer.
fn callers(spans: &[Span]) -> Vec<Caller> {
    spans.iter().copied().map(Caller::from).collect()
}

/// One guest is five times as fast; it goes on until the other has measured.
#[test]
fn whoever_goes_on_calling_is_there_to_the_end() {
    let spans = [span(0, 20), span(0, 100)];
    assert_eq!(overlap(&callers(&spans)), Some(0.2));
    let until = |called_until_ns| spans.map(|span| Caller { called_until_ns, ..Caller::from(span) });
    assert_eq!(
        (overlap(&until(60)), overlap(&until(100)), overlap(&until(900))),
        (Some(0.6), Some(1.0), Some(1.0))
    );
}

fn part(span: Span, durations: &[u64]) -> Part {
    Part { span, stretches: vec![Stretch { span, round_trips: RoundTrips::timed(durations) }] }
}

#[test]
fn guests_that_never_measured_together_have_no_throughput() {
    let parts = [part(span(0, 100), &[10; 10]), part(span(100, 100), &[10; 10])];
    assert_eq!(at_once(2, &parts), Err(NotAtOnce::NoOverlap));
    assert_eq!(overlap(&[span(0, 100).into(), span(100, 100).into()]), Some(0.0));
    assert_eq!(at_once(3, &parts), Err(NotAtOnce::NotAll));
}

#[test]
fn round_trips_partly_inside_count_by_their_share() {
    // The second half of the first guest: 1 of its 4 round trips, which took as long as the other three.
    let parts = [part(span(0, 60), &[1, 1, 1, 3]), part(span(30, 30), &[5, 5])];
    assert_eq!(at_once(2, &parts).unwrap().done, [1.0, 2.0]);
    let parts = [part(span(0, 100), &[50, 50]), part(span(25, 50), &[1, 1])];
    assert_eq!(at_once(2, &parts).unwrap().done, [1.0, 2.0]);
}

#[test]
fn a_window_with_fewer_round_trips_than_guests_is_too_short() {
    let parts = [part(span(0, 100), &[1; 10]), part(span(90, 100), &[1; 8])];
    assert_eq!(at_once(2, &parts), Err(NotAtOnce::TooFew));
}

#[test]
fn a_lone_guest_did_what_it_did() {
    let done = at_once(1, &[part(span(7, 1000), &[3, 500, 1, 0])]).unwrap();
    assert_eq!((done.done.as_slice(), done.window), (&[4.0][..], span(7, 1000)));
}

#[test]
fn without_samples_round_trips_lie_evenly() {
    let (first, second) = (span(0, 100), span(25, 100));
    let even = |span| Part { span, stretches: vec![Stretch { span, round_trips: RoundTrips::Even(8) }] };
    assert_eq!(at_once(2, &[even(first), even(second)]).unwrap().done, [6.0, 6.0]);
}

#[test]
fn what_stays_of_a_guest_is_bounded_and_tells_nearly_the_same() {
    let durations: Vec<u64> = (0..1_000_000).map(|index| if index < 500_000 { 1 } else { 3 }).collect();
    let RoundTrips::Timed(blocks) = RoundTrips::timed(&durations) else { panic!("timed") };
    assert!(blocks.len() <= BLOCKS_MAX && blocks.iter().map(|block| block.count).sum::<u64>() == 1_000_000);
    let whole = span(0, 2_000_000);
    let stretch = Stretch { span: whole, round_trips: RoundTrips::Timed(blocks) };
    let first_quarter = stretch.done_within(span(0, 500_000));
    assert!((first_quarter - 500_000.0).abs() < 250.0, "{first_quarter}");
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let part = (0u64..1_000, 1u64..2_000, proptest::collection::vec(0u64..50, 1..40));
    let parts = proptest::collection::vec(part, 1..8);
    parts.prop_map(|parts| parts.iter().map(|(begin, length, all)| part_of(*begin, *length, all)).collect())
}

fn part_of(begin_ns: u64, length_ns: u64, durations: &[u64]) -> Part {
    part(span(begin_ns, length_ns), durations)
}

proptest! {
    #[test]
    fn the_window_lies_in_every_span_and_nobody_did_more_than_it_did(parts in parts()) {
        let guests = parts.len() as u32;
        let spans: Vec<Span> = parts.iter().map(|part| part.span).collect();
        let share = overlap(&callers(&spans)).unwrap();
        prop_assert!((0.0..=1.0).contains(&share));
        prop_assert_eq!(share > 0.0, window(&spans).is_some());
        match at_once(guests, &parts) {
            Ok(all) => {
                for (part, done) in parts.iter().zip(&all.done) {
                    prop_assert!(part.span.begin_ns <= all.window.begin_ns && all.window.end_ns <= part.span.end_ns);
                    prop_assert!(all.window.length_ns() as f64 >= share * part.span.length_ns() as f64 - 1e-6);
                    let RoundTrips::Timed(blocks) = &part.stretches[0].round_trips else { unreachable!() };
                    prop_assert!(*done >= 0.0 && *done <= blocks.len() as f64);
                }
                prop_assert!(all.done.iter().sum::<f64>() >= f64::from(guests));
            }
            Err(NotAtOnce::NoOverlap) => prop_assert!(share == 0.0),
            Err(reason) => prop_assert_eq!(reason, NotAtOnce::TooFew),
        }
    }

    #[test]
    fn when_the_clock_began_does_not_matter(parts in parts(), shift in 0u64..1 << 60) {
        let moved: Vec<Part> = parts.iter().map(|part| {
            let span = span(part.span.begin_ns + shift, part.span.length_ns());
            Part { span, stretches: vec![Stretch { span, ..part.stretches[0].clone() }] }
        }).collect();
        let guests = parts.len() as u32;
        prop_assert_eq!(
            at_once(guests, &parts).map(|all| all.done),
            at_once(guests, &moved).map(|all| all.done)
        );
    }

    #[test]
    fn guests_one_after_the_other_have_no_throughput(
        lengths in proptest::collection::vec(1u64..1_000, 2..20),
    ) {
        let mut begin = 0;
        let parts: Vec<Part> = lengths.iter().map(|length| {
            let part = part_of(begin, *length, &[1; 50]);
            begin += length;
            part
        }).collect();
        prop_assert_eq!(at_once(parts.len() as u32, &parts), Err(NotAtOnce::NoOverlap));
    }

    #[test]
    fn windows_side_by_side_hold_together_what_one_over_both_holds(
        durations in proptest::collection::vec(0u64..50, 1..40),
        cut in 1u64..999,
    ) {
        let whole = span(0, 1_000);
        let stretch = Stretch { span: whole, round_trips: RoundTrips::timed(&durations) };
        let both = stretch.done_within(span(0, cut)) + stretch.done_within(span(cut, 1_000 - cut));
        // One without length that lies just on the cut is in both.
        let without_length = durations.iter().filter(|duration| **duration == 0).count() as f64;
        let all = durations.len() as f64;
        prop_assert!(both >= all - 1e-6 && both <= all + without_length + 1e-6, "{both} of {all}");
    }
}
