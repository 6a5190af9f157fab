//! Plays the scenarios of the test suite. Each records what it saw as samples; `abi::program::scenario` defines them.
#![forbid(unsafe_code)]
#![no_std]
#![no_main]

use abi::call::{MESSAGE_WORDS_MAX, REGISTER_WORDS, Tag, migrate};
use abi::program::{counter, crash, scenario};
use rt::atomic::{AtomicBool, AtomicU64, Ordering};
use rt::call::OtherCalls;
use rt::memory::{Samples, message_buffer};
use rt::place::{INSIDE, MOVE_IN, OUTSIDE};
use rt::{Error, Message, Received, Start, call};

rt::server!(serve);

fn serve(start: Start) -> ! {
    if start.thread != 0 {
        CALLERS.call_all_the_while();
    }
    let mut samples = Samples::new(&start);
    let parameter = start.argument(scenario::PARAMETER);
    let mut claim = None;
    rt::call::measure_begin(1, 1);
    match start.argument(scenario::NUMBER) {
        scenario::ECHO_ALL_SIZES => echo_all_sizes(&start, &mut samples),
        scenario::RIGHTS => rights(&mut samples),
        scenario::CRASH => crash_and_look(parameter as u32, call, &mut samples),
        scenario::CRASH_DIRECT => {
            crash_and_look(parameter as u32, rt::call::call_direct, &mut samples);
        }
        scenario::COUNT => count(&mut samples),
        scenario::BAD_MESSAGES => bad_messages(&start, &mut samples),
        scenario::NOTIFY => notify(&mut samples),
        scenario::BAD_NUMBERS => {
            for number in [abi::call::number::COUNT.into(), 1000, u64::from(u32::MAX), u64::MAX] {
                samples.push(rt::call::raw_system_call(number));
            }
        }
        scenario::SPIN => spin(parameter),
        scenario::SEND => send(&mut samples),
        scenario::SPIN_CYCLES => spin_for(parameter * 1_000_000),
        scenario::DEADLOCK => samples.push(status(call(0, Message::EMPTY).map(drop))),
        scenario::LIE => claim = Some(parameter),
        scenario::REGISTERS => samples.push(registers(parameter).into()),
        scenario::MIGRATE_COUNTER => migrate_counter(parameter, &mut samples),
        scenario::MIGRATE_BUSY => samples.push(migrate_busy(parameter)),
        scenario::MIGRATE_AND_READ => migrate_and_access(crash::READ_ADDRESS, parameter, &mut samples),
        scenario::MIGRATE_AND_WRITE => migrate_and_access(crash::WRITE_ADDRESS, parameter, &mut samples),
        scenario::MIGRATE_UNDER_CALLS => migrate_under_calls(&start, parameter, &mut samples),
        scenario::STOP_AND_READ => stop_and_read(parameter, &mut samples),
        scenario::SLOTS_TAKEN => slots_taken(&mut samples),
        scenario::MOVE_THREAD => move_thread(parameter, &mut samples),
        scenario::LEAK => leak(parameter, &mut samples),
        scenario::PRIVILEGED_CALLS => {
            let answer = call(0, Message { tag: Tag::new(crash::PRIVILEGED_CALLS, 0), words: [0; 4] });
            answer.unwrap_or_default().message.words[..2].iter().for_each(|word| samples.push(*word));
        }
        scenario::MIGRATE_GROUP => migrate_group(&mut samples),
        scenario::MIGRATE_REFUSED => migrate_refused(&mut samples),
        scenario::RESTART => restart(parameter, &mut samples),
        scenario::RESTART_REFUSED => restart_refused(&mut samples),
        scenario::RELOCATE => relocate(parameter, &mut samples),
        scenario::RELOCATE_REFUSED => relocate_refused(&mut samples),
        scenario::CRASH_AGAIN => crash_again(parameter, call, &mut samples),
        scenario::CRASH_AGAIN_DIRECT => crash_again(parameter, rt::call::call_direct, &mut samples),
        scenario::STOP_AFTER_RELOCATION => stop_after_relocation(parameter != 0, &mut samples),
        _ => rt::call::finish(1),
    }
    rt::call::measure_end(1, 1, claim.unwrap_or(samples.count()), OtherCalls::default());
    rt::call::finish(0)
}

/// The status code of a result.
fn status<T>(result: Result<T, Error>) -> u64 {
    result.map_or_else(|Error(status)| status, |_| abi::call::status::OK)
}

fn echo_all_sizes(start: &Start, samples: &mut Samples) {
    let Ok(buffer) = message_buffer(start) else { return };
    let registers = REGISTER_WORDS as usize;
    for words in 0..=MESSAGE_WORDS_MAX {
        let pattern = |index: usize| (words << 32) ^ (index as u64 + 1).wrapping_mul(0x0123_4567_89ab_cdef);
        for (index, word) in buffer.iter().enumerate() {
            word.set(pattern(index));
        }
        let tag = Tag::new(words as u32, words as u16);
        let answer = call(0, Message { tag, words: [0, 1, 2, 3].map(pattern) });
        let right = answer.is_ok_and(|answer| {
            let short = registers.min(words as usize);
            answer.message.tag == tag
                && (0..short).all(|index| answer.message.words[index] == pattern(index))
                && buffer.iter().enumerate().skip(registers).all(|(index, word)| word.get() == pattern(index))
        });
        samples.push(right.into());
    }
}

fn rights(samples: &mut Samples) {
    for handle in [0, 1, 2, 3, 1 << 32, u64::MAX] {
        samples.push(status(call(handle, Message::EMPTY)));
        samples.push(status(rt::send(handle, Message::EMPTY)));
        samples.push(status(rt::notify(handle, 0)));
    }
}

fn crash_and_look(label: u32, call: impl Fn(u64, Message) -> Result<Received, Error>, samples: &mut Samples) {
    // The first answer tells that the server waits: only then is there a direct entry to run.
    let _ = call(0, Message::word(0, 0));
    samples.push(status(call(0, Message::word(label, 0))));
    samples.push(status(call(0, Message::word(0, 0))));
    samples.push(status(call(1, Message::EMPTY)));
}

fn crash_again(
    turns: u64,
    faulting_call: impl Fn(u64, Message) -> Result<Received, Error>,
    samples: &mut Samples,
) {
    let answers = || status(call(0, Message::EMPTY));
    // The first answer tells that the server waits.
    let _ = answers();
    for _ in 0..turns {
        samples.push(status(faulting_call(0, Message::word(crash::PAGE_FAULT, 0))));
        samples.push(answers());
    }
    samples.push(status(rt::call::start(1, INSIDE)));
    samples.push(status(rt::call::start(1, OUTSIDE)));
    samples.push(answers());
}

fn count(samples: &mut Samples) {
    for amount in 1..=100 {
        let _ = call(0, Message::word(counter::ADD, amount));
    }
    read_counter(samples);
}

fn send(samples: &mut Samples) {
    for amount in 1..=100 {
        let _ = rt::send(0, Message::word(counter::ADD, amount));
    }
    read_counter(samples);
}

fn read_counter(samples: &mut Samples) {
    let answer = call(0, Message { tag: Tag::new(counter::READ, 0), words: [0; 4] });
    samples.push(answer.map_or(u64::MAX, |answer| answer.message.words[0]));
}

fn bad_messages(start: &Start, samples: &mut Samples) {
    let with_tag = |tag| status(call(0, Message { tag: Tag(tag), words: [0; 4] }));
    // Too long, with flags, and long without a buffer.
    for tag in [MESSAGE_WORDS_MAX + 1, 0xffff, Tag::NOTIFICATION, 1 << 31, REGISTER_WORDS + 1] {
        samples.push(with_tag(tag));
    }
    // Unaligned, outside the region, not mapped, not writable (the code, the kernel interface page), the kernel's.
    let base = start.base;
    let own_code = (serve as *const () as u64) & !4095;
    for address in [
        base + 8,
        base - 4096,
        base + 0x7000_0000,
        own_code,
        base + abi::region::KERNEL_INTERFACE_OFFSET,
        base + abi::region::START_INFO_OFFSET,
        abi::address::PHYSICAL_MAP_BASE,
        !4095,
    ] {
        samples.push(status(rt::call::set_message_buffer(address)));
    }
    // And a good one at last; the partner (`null`) has none.
    samples.push(status(message_buffer(start)));
    samples.push(with_tag(REGISTER_WORDS + 1));
    samples.push(with_tag(REGISTER_WORDS));
}

fn notify(samples: &mut Samples) {
    samples.push(status(rt::notify(0, 1)));
    samples.push(status(rt::notify(0, 4)));
    match rt::wait() {
        Ok(received) => {
            samples.push(received.message.is_notification().into());
            samples.push(received.message.words[0]);
        }
        Err(Error(status)) => samples.push(status),
    }
}

fn spin(million_turns: u64) {
    for _ in 0..million_turns * 1_000_000 {
        core::hint::spin_loop();
    }
}

fn spin_for(cycles: u64) {
    let begin = rt::clock::now();
    while rt::clock::now().wrapping_sub(begin) < cycles {
        core::hint::spin_loop();
    }
}

/// Whether RBX, RBP and RSP are kept over many calls while others run. The compiler keeps values in them; the sum is
/// wrong if one is lost.
fn registers(calls: u64) -> bool {
    let mut sums = [0_u64; 8];
    for turn in 0..calls {
        for (index, sum) in sums.iter_mut().enumerate() {
            *sum = core::hint::black_box(*sum).wrapping_add(turn * index as u64);
        }
        if call(0, Message::word(0, turn)).is_err() {
            return false;
        }
    }
    let total = calls * calls.wrapping_sub(1) / 2;
    sums.iter().enumerate().all(|(index, sum)| *sum == total * index as u64)
}

/// Into the kernel in even turns, out of it in odd ones.
fn alternately(turn: u64) -> u64 {
    if turn.is_multiple_of(2) { MOVE_IN } else { 0 }
}

fn migrate_counter(turns: u64, samples: &mut Samples) {
    let mut migrated = 0;
    for turn in 0..turns {
        let _ = call(0, Message::word(counter::ADD, 1));
        migrated += u64::from(rt::call::migrate(1, alternately(turn)).is_ok_and(|work| work[0] == 1));
    }
    read_counter(samples);
    samples.push(migrated);
}

fn move_thread(turns: u64, samples: &mut Samples) {
    let mut moved = 0;
    for turn in 0..turns {
        let _ = call(0, Message::word(counter::ADD, 1));
        moved += u64::from(rt::call::move_thread(1, 0, (turn + 1) % 2).is_ok());
    }
    read_counter(samples);
    samples.push(moved);
    for (server, thread, cpu) in [(1, 0, 2), (1, 1, 0), (9, 0, 0), (0, 0, 0)] {
        samples.push(status(rt::call::move_thread(server, thread, cpu)));
    }
}

fn migrate_busy(turns: u64) -> u64 {
    let mut migrated = 0;
    for turn in 0..turns {
        rt::yield_now();
        migrated += u64::from(rt::call::migrate(1, alternately(turn)).is_ok_and(|work| work[0] == 1));
    }
    migrated
}

fn migrate_and_access(label: u32, address: u64, samples: &mut Samples) {
    for how in [MOVE_IN, 0] {
        let _ = rt::call::migrate(1, how);
        samples.push(status(call(0, Message::word(label, address))));
    }
}

fn stop_and_read(address: u64, samples: &mut Samples) {
    let read = || status(call(0, Message::word(crash::READ_ADDRESS, address)));
    samples.push(read());
    samples.push(status(rt::call::stop(1)));
    samples.push(read());
}

fn migrate_group(samples: &mut Samples) {
    for _ in 0..5 {
        let _ = call(0, Message::EMPTY);
    }
    let work = rt::call::migrate(1, MOVE_IN | migrate::WITH_GROUP);
    samples.push(status(work));
    work.unwrap_or_default().into_iter().for_each(|amount| samples.push(amount));
    samples.push(status(call(0, Message::EMPTY)));
}

fn migrate_refused(samples: &mut Samples) {
    let wrong = [
        (2, MOVE_IN),
        (99, MOVE_IN),
        (0, MOVE_IN),
        (1, 1 << 40),
        (1, MOVE_IN | migrate::DEMOTE),
        (1, migrate::DEMOTE),
        (1, MOVE_IN),
    ];
    for (server, how) in wrong {
        samples.push(status(rt::call::migrate(server, how)));
    }
}

fn restart(turns: u64, samples: &mut Samples) {
    let places = [INSIDE, OUTSIDE];
    let (mut first, mut last, mut right) = ([0; 2], [0; 2], 0);
    for turn in 0..turns {
        // Whoever starts anew has forgotten.
        let count = call(0, Message::word(counter::ADD, 1)).map_or(0, |answer| answer.message.words[0]);
        let stopped = rt::call::stop(1).is_ok();
        let fails = call(0, Message::EMPTY) == Err(Error(abi::call::status::PARTNER_DEAD));
        let place = (turn % 2) as usize;
        let frames = rt::call::start(1, places[place]).unwrap_or(u64::MAX);
        if turn < 2 {
            first[place] = frames;
        }
        last[place] = frames;
        right += u64::from(count == 1 && stopped && fails && frames != u64::MAX);
    }
    first.into_iter().chain(last).for_each(|frames| samples.push(frames));
    samples.push(right);
    read_counter(samples);
}

fn restart_refused(samples: &mut Samples) {
    samples.push(status(rt::call::start(1, OUTSIDE)));
    samples.push(status(rt::call::stop(0)));
    samples.push(status(rt::call::stop(99)));
    samples.push(status(rt::call::start(1, 7)));
    samples.push(status(rt::call::stop(1)));
    samples.push(status(rt::call::stop(1)));
    samples.push(status(rt::call::start(1, INSIDE)));
    samples.push(status(rt::call::start(1, OUTSIDE)));
    samples.push(status(call(0, Message::EMPTY)));
}

fn slots_taken(samples: &mut Samples) {
    let into_kernel = || status(rt::call::relocate(2, MOVE_IN, DEADLINE_CYCLES));
    let answers = || status(call(1, Message::EMPTY));
    let _ = answers();
    samples.push(into_kernel());
    samples.push(answers());
    samples.push(status(rt::call::stop(2)));
    samples.push(status(rt::call::start(2, INSIDE)));
    samples.push(status(rt::call::start(2, OUTSIDE)));
    samples.push(answers());
    samples.push(status(rt::call::stop(1)));
    samples.push(into_kernel());
    samples.push(answers());
}

fn leak(turns: u64, samples: &mut Samples) {
    let (mut first, mut last, mut right) = (0, 0, 0);
    for turn in 0..turns {
        let moved_in = rt::call::migrate(1, MOVE_IN).is_ok_and(|work| work[0] == 1);
        let moved_out = rt::call::migrate(1, 0).is_ok_and(|work| work[0] == 1);
        let stopped = rt::call::stop(1).is_ok();
        last = rt::call::start(1, OUTSIDE).unwrap_or(0);
        if turn == 0 {
            first = last;
        }
        let relocated = [MOVE_IN, 0].iter().all(|how| rt::call::relocate(2, *how, DEADLINE_CYCLES).is_ok());
        right += u64::from(moved_in && moved_out && stopped && relocated);
    }
    [first, last, right].into_iter().for_each(|sample| samples.push(sample));
}

/// What the threads that call all the while, and the one that migrates, tell each other.
struct Callers {
    answered: AtomicU64,
    wrong: AtomicU64,
    failed: AtomicU64,
    finished: AtomicU64,
    shall_stop: AtomicBool,
}

static CALLERS: Callers = Callers {
    answered: AtomicU64::new(0),
    wrong: AtomicU64::new(0),
    failed: AtomicU64::new(0),
    finished: AtomicU64::new(0),
    shall_stop: AtomicBool::new(false),
};

impl Callers {
    /// Adds 1 to handle 0 until told to stop. No answer may be lower than an earlier one, nor the same.
    fn call_all_the_while(&self) -> ! {
        let mut before = 0;
        while !self.shall_stop.load(Ordering::Acquire) {
            match call(0, Message::word(counter::ADD, 1)) {
                Ok(answer) => {
                    let now = answer.message.words[0];
                    self.wrong.fetch_add(u64::from(now <= before), Ordering::Relaxed);
                    self.answered.fetch_add(1, Ordering::Release);
                    before = now;
                }
                Err(_) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        self.finished.fetch_add(1, Ordering::Release);
        loop {
            let _ = rt::wait();
        }
    }
}

fn migrate_under_calls(start: &Start, turns: u64, samples: &mut Samples) {
    let (mut migrated, mut seen) = (0, 0);
    for turn in 0..turns {
        while CALLERS.answered.load(Ordering::Acquire) == seen {
            rt::yield_now();
        }
        migrated += u64::from(rt::call::migrate(1, alternately(turn)).is_ok_and(|work| work[0] == 1));
        seen = CALLERS.answered.load(Ordering::Acquire);
    }
    CALLERS.shall_stop.store(true, Ordering::Release);
    while CALLERS.finished.load(Ordering::Acquire) + 1 < start.info().thread_count.into() {
        rt::yield_now();
    }
    samples.push(migrated);
    read_counter(samples);
    for seen in [&CALLERS.answered, &CALLERS.wrong, &CALLERS.failed] {
        samples.push(seen.load(Ordering::Acquire));
    }
}

/// Longer than any server of the tests needs to come to its wait, however busy the host is.
const DEADLINE_CYCLES: u64 = 100_000_000_000;

fn relocate(turns: u64, samples: &mut Samples) {
    let (mut relocated, mut right, mut count, mut before) = (0, 0, 0, 0);
    for turn in 0..turns {
        let [calls, checks, base, _] = call(0, Message::EMPTY).unwrap_or_default().message.words;
        right += u64::from(checks == 4 && base != before);
        (count, before) = (calls, base);
        relocated += u64::from(rt::call::relocate(1, alternately(turn), DEADLINE_CYCLES).is_ok());
    }
    [relocated, right, count].into_iter().for_each(|sample| samples.push(sample));
}

fn relocate_refused(samples: &mut Samples) {
    // Each answer tells that the server waits.
    let _ = (call(0, Message::EMPTY), call(2, Message::EMPTY));
    for how in [0, MOVE_IN | migrate::WITH_GROUP, MOVE_IN] {
        samples.push(status(rt::call::relocate(1, how, DEADLINE_CYCLES)));
        samples.push(status(call(0, Message::EMPTY)));
    }
    samples.push(status(rt::call::relocate(2, MOVE_IN, 1_000_000)));
    samples.push(status(rt::call::relocate(3, MOVE_IN, DEADLINE_CYCLES)));
    samples.push(status(call(2, Message::EMPTY)));
    let _ = rt::send(2, Message::EMPTY);
    samples.push(status(rt::call::relocate(3, MOVE_IN, 0)));
    samples.push(status(call(2, Message::EMPTY)));
    for server in [4, 0] {
        samples.push(status(rt::call::relocate(server, MOVE_IN, DEADLINE_CYCLES)));
    }
}

fn stop_after_relocation(relocates: bool, samples: &mut Samples) {
    let _ = call(0, Message::EMPTY);
    if relocates {
        samples.push(status(rt::call::relocate(1, 0, DEADLINE_CYCLES)));
    }
    samples.push(status(rt::call::stop(1)));
}
