//! Drives the measured loops: warm-up, first mark, samples, second mark, end of the case.
#![no_std]
#![no_main]

use core::cell::Cell;

use abi::call::{REGISTER_WORDS, Tag, migrate};
use abi::plan::placement;
use abi::program::{client, method, workload};
use rt::call::call_direct;
use rt::clock::{StealTime, mark, now, sample};
use rt::memory::{Samples, message_buffer, touch, working_set};
use rt::{Error, Message, Received, Start, call};

rt::server!(serve);

/// Why the case fails: a status of [`client`].
struct Failure(u64);

impl From<Error> for Failure {
    fn from(_: Error) -> Self {
        Failure(client::STATUS_CALL_FAILED)
    }
}

fn serve(start: Start) -> ! {
    let status = match run(&start) {
        Ok(()) => 0,
        Err(Failure(status)) => status,
    };
    rt::call::finish(status)
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
            Movers::new(start)?.move_all(migrate::TO_KERNEL)?;
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
        _ => Err(Failure(client::STATUS_BAD_ARGUMENT)),
    }
}

/// Stops the server behind a handle, starts it again, calls it twice.
fn restart(steal_time: &StealTime, handle: u64, placement: u32) -> Result<[u64; 4], Failure> {
    let server = handle + 1;
    let (stop, stopped) = sample(steal_time, || rt::call::stop(server));
    stopped?;
    let (start, started) = sample(steal_time, || rt::call::start(server, placement));
    started?;
    let (first, answer) = sample(steal_time, || call(handle, Message::EMPTY));
    answer?;
    let (second, answer) = sample(steal_time, || call(handle, Message::EMPTY));
    answer?;
    Ok([stop, start, first, second])
}

/// How long to wait for a server that is busy when it is to be relocated.
const DEADLINE_CYCLES: u64 = 1_000_000_000;

/// The servers that this client has the kernel move, and how.
struct Movers {
    last: u64,
    method: u64,
}

impl Movers {
    fn new(start: &Start) -> Result<Movers, Failure> {
        let method = start.argument(client::METHOD);
        if method > method::RESTART {
            return Err(Failure(client::STATUS_BAD_ARGUMENT));
        }
        Ok(Movers { last: start.argument(client::MOVED), method })
    }

    /// Moves all of them; it is a failure if one stays.
    fn move_all(&self, how: u64) -> Result<(), Failure> {
        let moved = if self.method == method::GROUP {
            rt::call::migrate(1, how | migrate::WITH_GROUP)?[0]
        } else {
            let mut moved = 0;
            for server in 1..=self.last {
                moved += self.move_one(server, how)?;
            }
            moved
        };
        if moved == self.last { Ok(()) } else { Err(Failure(client::STATUS_WRONG_ANSWER)) }
    }

    /// Moves one; returns the number moved.
    fn move_one(&self, server: u64, how: u64) -> Result<u64, Failure> {
        match self.method {
            method::RELOCATE => rt::call::relocate(server, how, DEADLINE_CYCLES)?,
            method::RESTART => {
                let into_kernel = how & migrate::TO_KERNEL != 0;
                rt::call::stop(server)?;
                rt::call::start(server, if into_kernel { placement::KERNEL } else { placement::USER })?;
            }
            _ => return Ok(rt::call::migrate(server, how)?[0]),
        }
        Ok(1)
    }

    /// Moves all of them, then calls: what the move takes, and how long the caller is without an answer.
    fn move_and_call(&self, how: u64, steal_time: &StealTime) -> Result<[u64; 2], Failure> {
        let version = steal_time.version();
        let begin = now();
        self.move_all(how)?;
        let moved = now();
        empty_call()?;
        let end = now();
        Ok([moved.wrapping_sub(begin), end.wrapping_sub(begin)].map(|span| mark(steal_time, version, span)))
    }

    fn there_and_back(&self, steal_time: &StealTime) -> Result<[u64; 6], Failure> {
        let (before, answer) = sample(steal_time, empty_call);
        answer?;
        let [move_in, gap_in] = self.move_and_call(migrate::TO_KERNEL, steal_time)?;
        let (after, answer) = sample(steal_time, empty_call);
        answer?;
        let [move_out, gap_out] = self.move_and_call(0, steal_time)?;
        Ok([before, move_in, gap_in, after, move_out, gap_out])
    }
}

/// One call whose answer must be empty.
fn empty_call() -> Result<(), Failure> {
    let answer = call(0, Message::EMPTY)?;
    if answer.message.tag == Tag(0) { Ok(()) } else { Err(Failure(client::STATUS_WRONG_ANSWER)) }
}

/// Warm-up, marks, and one line of samples for each round trip.
fn measure<const CHANNELS: usize>(
    start: &Start,
    mut round_trip: impl FnMut() -> Result<[u64; CHANNELS], Failure>,
) -> Result<(), Failure> {
    let mut samples = Samples::new(start);
    // The warm-up writes its samples, too, so that nothing is touched for the first time between the marks.
    for _ in 0..start.argument(client::WARM_UP) {
        samples.clear();
        round_trip()?.into_iter().for_each(|sample| samples.push(sample));
    }
    samples.clear();
    let round_trips = start.argument(client::ROUND_TRIPS);
    rt::call::measure_begin();
    for _ in 0..round_trips {
        round_trip()?.into_iter().for_each(|sample| samples.push(sample));
    }
    rt::call::measure_end(round_trips, CHANNELS as u64, samples.count());
    Ok(())
}

/// Round trip, there, back: the server tells when the call arrived and when its answer left.
fn directions(steal_time: &StealTime) -> Result<[u64; 3], Failure> {
    let version = steal_time.version();
    let begin = now();
    let answer = call(0, Message::EMPTY);
    let end = now();
    let [arrived, answered, ..] = answer?.message.words;
    let spans = [end.wrapping_sub(begin), arrived.wrapping_sub(begin), end.wrapping_sub(answered)];
    Ok(spans.map(|span| mark(steal_time, version, span)))
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
