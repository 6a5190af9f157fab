//! System calls, as functions.

use abi::call::{DirectEntry, Tag, number, status};

use crate::stub::{Registers, system_call};

/// A message: its tag, and the words that travel in registers. Words 4 and up are in the message buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Label and length.
    pub tag: Tag,
    /// Words 0 to 3.
    pub words: [u64; 4],
}

/// A message that has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Who sent it: the badge of the right that the sender used. 0 for answers and notifications.
    pub badge: u64,
    /// The message.
    pub message: Message,
}

/// What a failed system call returned: one of [`abi::call::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(pub u64);

impl Message {
    /// No words, label 0.
    pub const EMPTY: Message = Message { tag: Tag(0), words: [0; 4] };

    /// One word with a label.
    pub const fn word(label: u32, word: u64) -> Message {
        Message { tag: Tag::new(label, 1), words: [word, 0, 0, 0] }
    }

    /// Whether this is a notification; word 0 holds its bits.
    pub const fn is_notification(&self) -> bool {
        self.tag.0 & Tag::NOTIFICATION != 0
    }
}

fn registers(handle: u64, message: Message) -> Registers {
    Registers { rax: 0, rdi: handle, rsi: message.tag.0, words: message.words }
}

#[inline(always)]
fn received(registers: Registers) -> Result<Received, Error> {
    if registers.rax == status::OK {
        let message = Message { tag: Tag(registers.rsi), words: registers.words };
        Ok(Received { badge: registers.rdi, message })
    } else {
        Err(Error(registers.rax))
    }
}

/// Calls the server behind `handle` and waits for its answer.
#[inline(always)]
pub fn call(handle: u64, message: Message) -> Result<Received, Error> {
    received(system_call::<{ number::CALL }>(registers(handle, message)))
}

/// Calls the server behind `handle` in the transfer mode `direct` if that is possible, else as [`call`].
#[inline(always)]
pub fn call_direct(handle: u64, message: Message) -> Result<Received, Error> {
    received(system_call::<{ number::CALL_DIRECT }>(registers(handle, message)))
}

/// Offers a direct entry, for the time that this server runs in the kernel.
pub fn set_direct_entry(entry: DirectEntry) {
    let registers = Registers { rdi: entry as *const () as u64, ..Registers::default() };
    system_call::<{ number::SET_DIRECT_ENTRY }>(registers);
}

/// Answers the last call and waits for the next message.
#[inline(always)]
pub fn reply_and_wait(message: Message) -> Result<Received, Error> {
    received(system_call::<{ number::REPLY_AND_WAIT }>(registers(0, message)))
}

/// Waits for a message without answering anybody.
pub fn wait() -> Result<Received, Error> {
    received(system_call::<{ number::WAIT }>(Registers::default()))
}

/// Sends without waiting for an answer.
pub fn send(handle: u64, message: Message) -> Result<(), Error> {
    received(system_call::<{ number::SEND }>(registers(handle, message))).map(drop)
}

/// Sets bits of the notification word of the server behind `handle`.
pub fn notify(handle: u64, bits: u64) -> Result<(), Error> {
    let registers = Registers { rdi: handle, rsi: bits, ..Registers::default() };
    received(system_call::<{ number::NOTIFY }>(registers)).map(drop)
}

/// Lets others of the same priority run.
pub fn yield_now() {
    system_call::<{ number::YIELD }>(Registers::default());
}

/// Goes into the kernel and back.
#[inline(always)]
pub fn null() {
    system_call::<{ number::NULL }>(Registers::default());
}

/// Ends this server. Never returns.
pub fn exit(status: u64) -> ! {
    loop {
        system_call::<{ number::EXIT }>(Registers { rdi: status, ..Registers::default() });
    }
}

/// Makes the page at `address` this thread's message buffer.
pub fn set_message_buffer(address: u64) -> Result<(), Error> {
    let registers = Registers { rdi: address, ..Registers::default() };
    received(system_call::<{ number::SET_MESSAGE_BUFFER }>(registers)).map(drop)
}

/// Prints on the guest's console.
pub fn write_console(text: &[u8]) {
    for part in text.chunks(32) {
        let mut bytes = [0; 32];
        bytes[..part.len()].copy_from_slice(part);
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        system_call::<{ number::WRITE_CONSOLE }>(Registers {
            rsi: part.len() as u64,
            words,
            ..Registers::default()
        });
    }
}

/// As the driver of the case: the measured part begins, once so many of its threads have come here. Each is going to make so
/// many round trips.
pub fn measure_begin(threads: u64, round_trips: u64) {
    let words = [round_trips, 0, 0, 0];
    system_call::<{ number::MEASURE_BEGIN }>(Registers { rdi: threads, words, ..Registers::default() });
}

/// As [`measure_begin`], but it begins now: the other threads wait somewhere else.
pub fn measure_begin_at_once(threads: u64, round_trips: u64) {
    let words = [round_trips, 0, 0, 0];
    system_call::<{ number::MEASURE_BEGIN }>(Registers { rdi: threads, rsi: 1, words, rax: 0 });
}

/// As one of several threads that measure together: its own part went from `began` to `ended`; with `is_end` what its CPU does
/// from here on is in no count.
pub fn part_measured(began: u64, ended: u64, is_end: bool) {
    let words = [is_end.into(), 0, 0, 0];
    system_call::<{ number::PART_MEASURED }>(Registers { rdi: began, rsi: ended, words, rax: 0 });
}

/// What happened to the calls of others while the driver measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct OtherCalls {
    /// Answered while servers moved.
    pub answered_meanwhile: u64,
    /// Failed.
    pub failed: u64,
}

/// As the driver of the case: the measured part has ended, with this many round trips, samples per round trip, and
/// samples in all.
pub fn measure_end(round_trips: u64, channel_count: u64, sample_count: u64, others: OtherCalls) {
    let words = [sample_count, others.answered_meanwhile, others.failed, 0];
    system_call::<{ number::MEASURE_END }>(Registers { rdi: round_trips, rsi: channel_count, words, rax: 0 });
}

/// As the driver of the case, behind its measured part: whether guests that were started with this one still measure.
pub fn others_measure() -> bool {
    let asked = received(system_call::<{ number::OTHERS_MEASURE }>(Registers::default()));
    asked.is_ok_and(|answer| answer.message.words[0] == 1)
}

/// As the driver of the case: moves server `index` of the plan, `how` being bits of [`abi::call::migrate`]. Returns the
/// servers moved, pages changed, INVLPGs and full flushes.
pub fn migrate(index: u64, how: u64) -> Result<[u64; 4], Error> {
    let registers = Registers { rdi: index, rsi: how, ..Registers::default() };
    received(system_call::<{ number::MIGRATE }>(registers)).map(|received| received.message.words)
}

/// Offers this server's state, which is carried over when it is relocated. It must hold no pointers.
pub fn set_state<T: Sync>(state: &'static T) {
    let address = core::ptr::from_ref(state).expose_provenance() as u64;
    let registers = Registers { rdi: address, rsi: size_of::<T>() as u64, ..Registers::default() };
    system_call::<{ number::SET_STATE }>(registers);
}

/// As the driver of the case: relocates server `index`, `how` being bits of [`abi::call::migrate`]. Waits for a server that
/// is busy, but no longer than `deadline_cycles`; it goes on where it was then.
pub fn relocate(index: u64, how: u64, deadline_cycles: u64) -> Result<(), Error> {
    let begin = crate::clock::now();
    loop {
        match migrate(index, how | abi::call::migrate::RELOCATE) {
            Err(Error(status::BUSY)) if crate::clock::now().wrapping_sub(begin) < deadline_cycles => {
                yield_now()
            }
            result => return result.map(drop),
        }
    }
}

/// As the driver of the case: stops server `index` of the plan. Returns the frames in use by all servers.
pub fn stop(index: u64) -> Result<u64, Error> {
    let registers = Registers { rdi: index, ..Registers::default() };
    received(system_call::<{ number::STOP }>(registers)).map(|received| received.message.words[0])
}

/// As the driver of the case: starts server `index` of the plan again, in one of [`abi::plan::placement`]. Returns the
/// frames in use by all servers.
pub fn start(index: u64, placement: u32) -> Result<u64, Error> {
    let registers = Registers { rdi: index, rsi: placement.into(), ..Registers::default() };
    received(system_call::<{ number::START }>(registers)).map(|received| received.message.words[0])
}

/// As the driver of the case: moves thread `thread` of server `index` of the plan to another CPU.
pub fn move_thread(index: u64, thread: u64, cpu: u64) -> Result<(), Error> {
    let registers = Registers { rdi: index, rsi: thread, words: [cpu, 0, 0, 0], rax: 0 };
    received(system_call::<{ number::MOVE_THREAD }>(registers)).map(drop)
}

/// As the driver of the case: ends it. 0 is success.
pub fn finish(status: u64) -> ! {
    system_call::<{ number::FINISH }>(Registers { rdi: status, ..Registers::default() });
    // Whoever is not the driver may not end the case, only itself.
    exit(status)
}

/// Does system call `NUMBER` with two arguments and an empty message, and returns its status alone.
pub fn status_of<const NUMBER: u32>(first: u64, second: u64) -> u64 {
    system_call::<NUMBER>(Registers { rdi: first, rsi: second, ..Registers::default() }).rax
}

pub use crate::stub::raw_system_call;
