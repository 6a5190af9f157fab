//! Where one round trip ends and the next begins.
//!
//! A round trip goes **from one entry of the client into its system-call stub to the next**. It passes through the same
//! instructions as "from the client's SYSCALL to its next one", the way other kernels' path lengths are counted, and it is
//! the same for a client in the kernel, whose stub jumps instead. The stub's place is part of the binary interface
//! ([`abi::region::stub_offset`]), so no symbol and no address of a program is involved.

use std::collections::BTreeMap;
use std::ops::Range;

use abi::call::number;
use abi::region::{KERNEL_INTERFACE_OFFSET, stub_offset};

use crate::lens::trace::place::{Map, Place};
use crate::lens::trace::recording::Recording;

/// System calls of the driver that set marks and are no part of a round trip.
const MARKS: [u32; 4] = [number::MEASURE_BEGIN, number::PART_MEASURED, number::MEASURE_END, number::FINISH];

/// The complete round trips, as ranges of steps. `announced` is how many the client says it made: one that makes several
/// calls in a round trip is divided at every so many. The last round trip ends with the second mark instead of a call,
/// so it is not complete.
pub fn round_trips(recording: &Recording, map: &Map, announced: u64) -> Vec<Range<usize>> {
    divide(&dividing(&stub_entries(recording, map), announced), announced)
}

/// Steps that enter a stub of the client's, each with the number of the system call. What the kernel interface page holds
/// behind the stubs is entered on the way back.
pub fn stub_entries(recording: &Recording, map: &Map) -> Vec<(usize, u32)> {
    let mut entries = Vec::new();
    for (index, step) in recording.steps.iter().enumerate() {
        if let Place::Stub { server, call } = map.place(recording, step)
            && Some(server) == map.driver()
            && call < number::COUNT
            && !MARKS.contains(&call)
            && step.offset() == KERNEL_INTERFACE_OFFSET + stub_offset(call)
        {
            entries.push((index, call));
        }
    }
    entries
}

/// The entries that divide the trace into round trips: all of them if the client makes the same calls in the same order in
/// each, else those of the stub that it uses most.
fn dividing(entries: &[(usize, u32)], announced: u64) -> Vec<usize> {
    let announced = usize::try_from(announced).unwrap_or(usize::MAX).max(1);
    let period = entries.len() / announced;
    let repeats = entries.iter().zip(entries.iter().skip(period)).all(|((_, one), (_, next))| one == next);
    if period > 0 && entries.len().is_multiple_of(announced) && repeats {
        return entries.iter().map(|(index, _)| *index).collect();
    }
    let mut by_call: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, call) in entries {
        by_call.entry(*call).or_default().push(*index);
    }
    by_call.into_values().max_by_key(Vec::len).unwrap_or_default()
}

fn divide(entries: &[usize], announced: u64) -> Vec<Range<usize>> {
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    if announced == 0 || entries.is_empty() || !entries.len().is_multiple_of(announced) {
        return Vec::new();
    }
    let calls = entries.len() / announced;
    let starts: Vec<usize> = entries.iter().step_by(calls).copied().collect();
    starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_lie_between_the_entries() {
        assert_eq!(divide(&[3, 10, 17], 3), [3..10, 10..17]);
        assert_eq!(divide(&[3, 5, 10, 12, 17, 19], 3), [3..10, 10..17]);
        assert!(divide(&[3], 1).is_empty());
    }

    #[test]
    fn all_calls_divide_where_they_repeat_else_the_most_frequent() {
        assert_eq!(dividing(&[(3, 0), (5, 9), (10, 0), (12, 9)], 2), [3, 5, 10, 12]);
        assert_eq!(dividing(&[(3, 0), (5, 9), (10, 0), (12, 0)], 2), [3, 10, 12]);
        assert_eq!(dividing(&[(3, 0), (5, 9), (10, 0)], 2), [3, 10]);
        assert!(dividing(&[], 2).is_empty());
    }

    #[test]
    fn a_client_that_miscounts_has_no_round_trips() {
        assert!(divide(&[3, 10, 17], 2).is_empty());
        assert!(divide(&[3, 10, 17], 0).is_empty());
        assert!(divide(&[], 5).is_empty());
        assert!(divide(&[1], u64::MAX).is_empty());
    }
}
