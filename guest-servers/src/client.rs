//! Drives the measured loops: warm-up, first mark, samples, second mark, end of the case.
#![forbid(unsafe_code)]
#![no_std]
#![no_main]

use core::cell::Cell;

use abi::call::{REGISTER_WORDS, Tag};
use abi::program::{client, crash, workload};
use rt::call::call_direct;
use rt::clock::{StealTime, mark, now, sample};
use rt::memory::{Samples, message_buffer, touch, working_set};
use rt::place::MOVE_IN;
use rt::{Error, Message, Received, Start, call, notify};

rt::server!(serve);

#[path = "client/load.rs"]
mod load;
#[path = "client/movers.rs"]
mod movers;
#[path = "client/together.rs"]
mod together;

use load::LOAD;
use movers::{Movers, fault, restart};
use together::TOGETHER;

/// Why the case fails: a status of [`client`].
struct Failure(u64);

impl From<Error> for Failure {
    fn from(_: Error) -> Self {
        Failure(client::STATUS_CALL_FAILED)
    }
}

fn serve(start: Start) -> ! {
    if start.thread != 0 && is_load(&start) {
        LOAD.call_all_the_while();
    }
    let status = match run(&start) {
        Ok(()) => 0,
        Err(Failure(status)) => status,
    };
    rt::call::finish(status)
}

/// Whether the threads but the first one do not measure, but call all the while.
fn is_load(start: &Start) -> bool {
    start.argument(client::WORKLOAD) == workload::MIGRATE_UNDER_LOAD
}

fn run(start: &Start) -> Result<(), Failure> {
    let steal_time = StealTime::new(start);
    match start.argument(client::WORKLOAD) {
        workload::EMPTY => measure(start, || Ok([sample(&steal_time, || ()).0])),
        workload::NULL_SYSTEM_CALL => measure(start, || Ok([sample(&steal_time, rt::call::null).0])),
        workload::CALL if start.argument(client::DIRECT) != 0 => {
            let question = Question::new(start)?;
            measure(start, || {
                let (cycles, answer) = sample(&steal_time, || call_direct(0, question.message));
                question.check(answer?)?;
                Ok([cycles])
            })
        }
        workload::CALL => {
            if start.thread == 0 {
                Movers::new(start)?.move_all(MOVE_IN)?;
            }
            let question = Question::new(start)?;
            measure(start, || {
                let (cycles, answer) = sample(&steal_time, || call(0, question.message));
                question.check(answer?)?;
                Ok([cycles])
            })
        }
        workload::DIRECTIONS => measure(start, || directions(&steal_time)),
        workload::ALTERNATE => {
            let question = Question::new(start)?;
            measure(start, || {
                let (cycles, answers) =
                    sample(&steal_time, || (call(0, question.message), call(1, question.message)));
                question.check(answers.0?)?;
                question.check(answers.1?)?;
                Ok([cycles])
            })
        }
        workload::TOUCH_AND_CALL => {
            let pages = working_set(start);
            let count = start.argument(client::PAGES) as usize;
            let direct = start.argument(client::DIRECT) != 0;
            measure(start, || {
                let (cycles, answer) = sample(&steal_time, || {
                    touch(pages, count);
                    if direct { call_direct(0, Message::EMPTY) } else { call(0, Message::EMPTY) }
                });
                answer?;
                Ok([cycles])
            })
        }
        workload::MIGRATE => {
            let movers = Movers::new(start)?;
            // Partners are known by their messages.
            call(0, Message::EMPTY)?;
            measure(start, || movers.there_and_back(&steal_time))
        }
        workload::RESTART => {
            let placement = start.argument(client::METHOD) as u32;
            let count = start.argument(client::MOVED).max(1);
            let mut turn = 0;
            measure(start, || {
                let handle = turn % count;
                turn += 1;
                restart(&steal_time, handle, placement)
            })
        }
        workload::FAULT => {
            let (label, placement) = (start.argument(client::FAULT), start.argument(client::METHOD));
            measure(start, || fault(&steal_time, label as u32, placement as u32))
        }
        workload::MIGRATE_UNDER_LOAD => {
            let movers = Movers::new(start)?;
            measure(start, || movers.there_and_back_under_load(&steal_time, &LOAD))
        }
        workload::CALL_IN_TURN => {
            let mut handles = InTurn::new(start);
            measure(start, || {
                let handle = handles.next();
                let (cycles, answer) = sample(&steal_time, || call(handle, Message::EMPTY));
                answer?;
                Ok([cycles])
            })
        }
        workload::WAKE_UP => {
            let mut handles = InTurn::new(start);
            measure(start, || {
                let handle = handles.next();
                let (cycles, done) = sample(&steal_time, || notify(handle, 1));
                done?;
                Ok([cycles])
            })
        }
        workload::REACH => measure(start, || Ok([reach(start, &steal_time)])),
        workload::FAULT_OF_ONE => measure(start, || fault_of_one(start, &steal_time)),
        _ => Err(Failure(client::STATUS_BAD_ARGUMENT)),
    }
}

/// The handles that a client calls in turn.
struct InTurn {
    last: u64,
    count: u64,
}

impl InTurn {
    fn new(start: &Start) -> InTurn {
        let count = start.argument(client::TARGETS).max(1);
        InTurn { last: count - 1, count }
    }

    fn next(&mut self) -> u64 {
        self.last = if self.last + 1 == self.count { 0 } else { self.last + 1 };
        self.last
    }
}

/// One handler faults: the error of its caller, and what became of all others.
fn fault_of_one(start: &Start, steal_time: &StealTime) -> Result<[u64; 1], Failure> {
    let message = Message { tag: Tag::new(start.argument(client::FAULT) as u32, 0), words: [0; 4] };
    let (until_error, answer) = sample(steal_time, || call(0, message));
    if answer.is_ok() {
        return Err(Failure(client::STATUS_WRONG_ANSWER));
    }
    for handle in 1..start.argument(client::TARGETS) {
        LOAD.note(call(handle, Message::EMPTY).is_ok());
    }
    Ok([until_error])
}

/// The server reads an address: whether it got what lies there.
fn reach(start: &Start, steal_time: &StealTime) -> u64 {
    let message =
        Message { tag: Tag::new(crash::READ_ADDRESS, 1), words: [start.argument(client::ADDRESS), 0, 0, 0] };
    let expected = start.argument(client::EXPECTED);
    let (until_end, answer) = sample(steal_time, || call(0, message));
    LOAD.note(answer.is_ok_and(|answer| expected == 0 || answer.message.words[0] == expected));
    until_end
}

/// One call whose answer must be empty.
fn empty_call() -> Result<(), Failure> {
    let answer = call(0, Message::EMPTY)?;
    if answer.message.tag == Tag(0) { Ok(()) } else { Err(Failure(client::STATUS_WRONG_ANSWER)) }
}

/// Warm-up, marks, and one line of samples for each round trip. All threads that measure do so between the same marks.
fn measure<const CHANNELS: usize>(
    start: &Start,
    mut round_trip: impl FnMut() -> Result<[u64; CHANNELS], Failure>,
) -> Result<(), Failure> {
    let threads = if is_load(start) { 1 } else { start.info().thread_count.into() };
    let round_trips = TOGETHER.round_trips(start, threads, &mut || round_trip().map(drop))?;
    let mut samples = Samples::of_thread(start, round_trips * CHANNELS as u64);
    // Nothing is to be touched for the first time between the marks, and the warm-up writes to the first page only.
    samples.touch_all();
    for _ in 0..start.argument(client::WARM_UP) {
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

/// Round trip, there, back: the server tells when the call arrived and when its answer left.
fn directions(steal_time: &StealTime) -> Result<[u64; 3], Failure> {
    let stolen_ns = steal_time.stolen_ns();
    let begin = now();
    let answer = call(0, Message::EMPTY);
    let end = now();
    let [arrived, answered, ..] = answer?.message.words;
    let spans = [end.wrapping_sub(begin), arrived.wrapping_sub(begin), end.wrapping_sub(answered)];
    Ok(spans.map(|span| mark(steal_time, stolen_ns, span)))
}

/// A message of the length that the case asks for, and what the answer to it must be.
struct Question {
    message: Message,
    buffer: Option<&'static [Cell<u64>]>,
}

impl Question {
    fn new(start: &Start) -> Result<Question, Failure> {
        let words = start.argument(client::WORDS);
        let tag = Tag::new(0, u16::try_from(words).map_err(|_| Failure(client::STATUS_BAD_ARGUMENT))?);
        if !tag.is_sendable() {
            return Err(Failure(client::STATUS_BAD_ARGUMENT));
        }
        let mut buffer = None;
        if words > REGISTER_WORDS {
            let page: &'static [Cell<u64>] = message_buffer(start)?;
            for (index, word) in page.iter().enumerate() {
                word.set(pattern(index as u64));
            }
            buffer = page.get(..words as usize);
        }
        Ok(Question { message: Message { tag, words: [0, 1, 2, 3].map(pattern) }, buffer })
    }

    /// The answer must be the question: its length, its first words, its last one. (The test suite checks every word;
    /// here that would evict what is measured.)
    fn check(&self, answer: Received) -> Result<(), Failure> {
        let words = self.message.tag.words();
        let short = words.min(REGISTER_WORDS) as usize;
        let last_is_right = match self.buffer {
            Some(buffer) => buffer.last().is_none_or(|word| word.get() == pattern(words - 1)),
            None => true,
        };
        let same = answer.message.tag == self.message.tag
            && (0..short).all(|index| answer.message.words[index] == self.message.words[index])
            && last_is_right;
        if same { Ok(()) } else { Err(Failure(client::STATUS_WRONG_ANSWER)) }
    }
}

/// What message word `index` holds.
fn pattern(index: u64) -> u64 {
    index.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1b
}
