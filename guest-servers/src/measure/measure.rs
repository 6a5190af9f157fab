//! The measured loop: warm-up, first mark, samples, second mark.

use abi::call::Tag;
use abi::workload::{Loop, status};
use rt::memory::Samples;
use rt::{Error, Message, Start, call};

use crate::load::LOAD;
use crate::together::TOGETHER;

/// Why the case fails: one of [`status`].
pub struct Failure(pub u64);

impl From<Error> for Failure {
    fn from(_: Error) -> Self {
        Failure(status::CALL_FAILED)
    }
}

/// Warm-up, marks, and one line of samples for each round trip. All threads of the client do so between the same marks.
pub fn measure<const CHANNELS: usize>(
    start: &Start,
    round_trip: impl FnMut() -> Result<[u64; CHANNELS], Failure>,
) -> Result<(), Failure> {
    measure_with(start, start.info().thread_count.into(), round_trip)
}

/// The same, where only the first thread does so.
pub fn measure_one<const CHANNELS: usize>(
    start: &Start,
    round_trip: impl FnMut() -> Result<[u64; CHANNELS], Failure>,
) -> Result<(), Failure> {
    measure_with(start, 1, round_trip)
}

fn measure_with<const CHANNELS: usize>(
    start: &Start,
    threads: u64,
    mut round_trip: impl FnMut() -> Result<[u64; CHANNELS], Failure>,
) -> Result<(), Failure> {
    let round_trips = TOGETHER.round_trips(start, threads, &mut || round_trip().map(drop))?;
    let mut samples = Samples::of_thread(start, round_trips * CHANNELS as u64);
    // Nothing is to be touched for the first time between the marks, and the warm-up writes to the first page only.
    samples.touch_all();
    for _ in 0..Loop::of(&start.info().arguments).warm_up {
        samples.clear();
        round_trip()?.into_iter().for_each(|sample| samples.push(sample));
    }
    samples.clear();
    LOAD.reset();
    let began = TOGETHER.begin(start, threads, round_trips);
    for _ in 0..round_trips {
        round_trip()?.into_iter().for_each(|sample| samples.push(sample));
    }
    TOGETHER.end(start, threads, began, &mut || round_trip().map(drop))?;
    rt::call::measure_end(round_trips, CHANNELS as u64, samples.count(), LOAD.counted());
    TOGETHER.wait_for_other_guests(start, &mut || round_trip().map(drop))
}

/// One call whose answer must be empty.
pub fn empty_call() -> Result<(), Failure> {
    let answer = call(0, Message::EMPTY)?;
    if answer.message.tag == Tag(0) { Ok(()) } else { Err(Failure(status::WRONG_ANSWER)) }
}

/// The handles that a client calls in turn.
pub struct InTurn {
    last: u64,
    count: u64,
}

impl InTurn {
    /// So many, from handle 0 on.
    pub fn new(count: u64) -> InTurn {
        let count = count.max(1);
        InTurn { last: count - 1, count }
    }

    /// The one whose turn it is.
    pub fn next(&mut self) -> u64 {
        self.last = if self.last + 1 == self.count { 0 } else { self.last + 1 };
        self.last
    }
}
