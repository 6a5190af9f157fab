//! Random operations by many threads, each of which checks what it gets: calls, sends and notifications to servers on all CPUs,
//! while threads move, and servers migrate, stop, start and crash. The same seed gives each thread the same operations.
#![forbid(unsafe_code)]
#![no_std]
#![no_main]

use abi::call::{migrate, status};
use abi::program::{counter, crash, stress};
use rt::atomic::{AtomicU64, Ordering};
use rt::call::{OtherCalls, finish, measure_begin, measure_end};
use rt::place::{INSIDE, MOVE_IN, OUTSIDE};
use rt::{Error, Message, Start, Tag, call};

rt::server!(serve);

/// What all threads together have had the counter count.
static COUNTED: AtomicU64 = AtomicU64::new(0);

/// Servers of the plan that are stopped and started.
const STOPPED: [u64; 4] = [stress::ECHO, stress::ECHO_EVERYWHERE, stress::CRASH, stress::ECHO_FIXED];
const MIGRATED: [u64; 3] = [stress::ECHO, stress::ECHO_EVERYWHERE, stress::COUNTER];

fn serve(start: Start) -> ! {
    let threads = start.info().thread_count.into();
    let frames = if start.thread == 0 { settle() } else { 0 };
    measure_begin(threads, start.argument(stress::OPERATIONS));
    let operations = start.argument(stress::OPERATIONS);
    let mut actor = Actor {
        random: Random(start.argument(stress::SEED) ^ start.thread << 32),
        thread: start.thread,
        threads,
        cpus: start.argument(stress::CPUS),
        number: 0,
    };
    for _ in 0..operations {
        actor.act();
    }
    measure_end(operations, 1, 0, OtherCalls::default());
    if start.thread != 0 {
        loop {
            let _ = rt::wait();
        }
    }
    let count = call(stress::COUNTER, Message::word(counter::READ, 0)).map(|answer| answer.message.words[0]);
    if count != Ok(COUNTED.load(Ordering::Relaxed)) {
        finish(stress::WRONG_COUNT);
    }
    finish(if settle() == frames { 0 } else { stress::FRAMES_LOST });
}

/// Puts all servers where they were at the beginning. Returns the frames in use then.
fn settle() -> u64 {
    for server in MIGRATED {
        let _ = rt::call::migrate(server + 1, 0);
    }
    let mut frames = 0;
    for server in STOPPED {
        for place in [INSIDE, OUTSIDE] {
            let _ = rt::call::stop(server + 1);
            frames = rt::call::start(server + 1, place).unwrap_or(0);
        }
    }
    frames
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

struct Actor {
    random: Random,
    thread: u64,
    threads: u64,
    cpus: u64,
    number: u64,
}

impl Actor {
    /// One random operation.
    fn act(&mut self) {
        const MAY_DIE: &[u64] = &[status::OK, status::PARTNER_DEAD];
        match self.random.below(32) {
            0..12 => {
                let handle = self.random.one_of(&[stress::ECHO, stress::ECHO_EVERYWHERE, stress::ECHO_FIXED]);
                let direct = self.random.below(4) == 0;
                self.echo(handle, direct);
            }
            12..17 => {
                let result = call(stress::COUNTER, Message::word(counter::ADD, 1)).map(drop);
                self.expect(1, result, &[status::OK]);
                COUNTED.fetch_add(1, Ordering::Relaxed);
            }
            17..20 => {
                let result = rt::send(stress::COUNTER, Message::word(counter::ADD, 1));
                self.expect(2, result, &[status::OK]);
                COUNTED.fetch_add(1, Ordering::Relaxed);
            }
            20..23 => {
                let (handle, bits) = (self.random.below(stress::HANDLES), self.random.next());
                self.expect(3, rt::notify(handle, bits), MAY_DIE);
            }
            23 => {
                let (label, expected) = self.random.one_of(&[
                    (0, status::OK),
                    (crash::NO_REPLY, status::NO_REPLY),
                    (crash::PAGE_FAULT, status::PARTNER_DEAD),
                    (crash::EXIT, status::PARTNER_DEAD),
                ]);
                let result = call(stress::CRASH, Message::word(label, 0)).map(drop);
                self.expect(4, result, &[expected, status::PARTNER_DEAD]);
            }
            24..27 => {
                let server = self.random.below(stress::HANDLES + 1);
                let (thread, cpu) = (self.random.below(self.threads), self.random.below(self.cpus));
                let result = rt::call::move_thread(server, thread, cpu);
                let expected = &[
                    status::OK,
                    status::PARTNER_DEAD,
                    status::NOT_PERMITTED,
                    status::BAD_ARGUMENT,
                    status::BUSY,
                ];
                self.expect(5, result, expected);
            }
            27..29 => {
                let server = self.random.one_of(&MIGRATED) + 1;
                let how = self.random.below(4) & (MOVE_IN | migrate::WITH_GROUP);
                let result = rt::call::migrate(server, how).map(drop);
                self.expect(6, result, &[status::OK, status::PARTNER_DEAD, status::BUSY]);
            }
            29 => {
                let server = self.random.one_of(&STOPPED) + 1;
                let result = rt::call::stop(server).map(drop);
                self.expect(7, result, &[status::OK, status::PARTNER_DEAD, status::BUSY]);
            }
            30..32 => {
                let server = self.random.one_of(&STOPPED) + 1;
                let place = self.random.one_of(&[OUTSIDE, INSIDE]);
                let result = rt::call::start(server, place).map(drop);
                self.expect(8, result, &[status::OK, status::BAD_ARGUMENT, status::BUSY]);
            }
            _ => rt::yield_now(),
        }
    }

    /// A call whose answer must be itself, or an error because the server is dead.
    fn echo(&mut self, handle: u64, direct: bool) {
        self.number += 1;
        let words = [self.thread, self.number, self.random.next(), handle];
        let message = Message { tag: Tag::new(self.number as u32, 4), words };
        let answer = if direct { rt::call::call_direct(handle, message) } else { call(handle, message) };
        match answer {
            Ok(received) if received.message != message => finish(stress::UNEXPECTED),
            answer => self.expect(0, answer.map(drop), &[status::OK, status::PARTNER_DEAD]),
        }
    }

    /// Ends the case unless the result is one of these.
    fn expect(&self, operation: u64, result: Result<(), Error>, expected: &[u64]) {
        let found = result.map_or_else(|Error(status)| status, |()| status::OK);
        if !expected.contains(&found) {
            finish(stress::UNEXPECTED + operation * 256 + found.min(255));
        }
    }
}
