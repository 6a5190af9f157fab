//! The honest ones: a driver that checks every answer of honest servers and stops the hostile ones, and callers of hostile
//! servers that check what a caller may rely on.

use std::ops::Range;

use abi::call::{Tag, number, status};
use abi::program::counter;
use iced_x86::code_asm::*;
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::{CALLERS, ECHO_INSIDE};
use crate::raw::{Assembled, DATA, assemble, call_stub};

/// Rounds of the driver while the hostile servers live, each time that they are started.
const ROUNDS: u32 = 6;
/// Calls of hostile servers by each caller.
const CALLS: u32 = 16;
/// What the driver says that it has measured: round trips, two numbers that mean nothing, channels.
pub const OTHER_NUMBERS: [u64; 4] = [ROUNDS as u64, 31, 41, 1];

/// What the driver's status says.
pub const MEANING: &str = "status of the driver: 1 set-up, 2 short and 3 long message to an echo, 4 counter, 5 migration, 6 stop, 7 \
    start, 8 no answer of a caller, 9 wrong count; from 4096 on: 16 * (number of a caller's call, from 1 on) + status it got";

/// Handles of the driver.
const COUNTER: u64 = 2;
const FIRST_CALLER: u64 = 3;

/// Places in the data: what a caller remembers, its message buffer, and a word on either side of it.
const STACK: i32 = DATA as i32;
const CALLS_MADE: i32 = DATA as i32 + 8;
const FIRST_WRONG: i32 = DATA as i32 + 16;
const BUFFER: i32 = DATA as i32 + 0x1000;
const GUARDS: [i32; 2] = [BUFFER - 8, BUFFER + 0x1000];
const GUARD: i32 = 0x5eed_5eed;

/// Whom the honest ones have to do with.
pub struct Neighbours {
    /// Indices of the hostile servers.
    pub hostiles: Range<u32>,
    /// Whether they are started again once they have been stopped.
    pub restarts: bool,
    /// Whether the echo in the kernel moves out and in.
    pub moves: bool,
}

/// What ends the case with a status.
struct Driver<'a> {
    a: &'a mut CodeAssembler,
    failed: CodeLabel,
}

impl Driver<'_> {
    /// The case fails with this status unless the last comparison found both equal.
    fn must_be_equal(&mut self, status: u32) -> Assembled {
        self.a.mov(edi, status)?;
        self.a.jne(self.failed)
    }

    fn must_be_ok(&mut self, status: u32) -> Assembled {
        self.a.test(rax, rax)?;
        self.must_be_equal(status)
    }

    /// A message of four words and one of twelve to an echo, in any transfer mode.
    fn echo(&mut self, handle: u64, random: &mut ChaCha8Rng) -> Assembled {
        let first = random.random::<u64>();
        for words in [4, 12] {
            let tag = Tag::new(random.random(), words).0;
            let wrong = if words == 4 { 2 } else { 3 };
            for (word, register) in [r12, r13, r14, r15].into_iter().enumerate() {
                self.word(first, word as u64)?;
                self.a.mov(register, rcx)?;
            }
            for word in 4..words {
                self.word(first, word.into())?;
                self.a.mov(qword_ptr(rbx + BUFFER + i32::from(word) * 8), rcx)?;
            }
            self.a.mov(rdi, handle)?;
            self.a.mov(rsi, tag)?;
            call_stub(self.a, *[number::CALL, number::CALL_DIRECT].choose(random).unwrap())?;
            self.must_be_ok(wrong)?;
            self.a.mov(rcx, tag)?;
            self.a.cmp(rsi, rcx)?;
            self.must_be_equal(wrong)?;
            for (word, register) in [r12, r13, r14, r15].into_iter().enumerate() {
                self.word(first, word as u64)?;
                self.a.cmp(register, rcx)?;
                self.must_be_equal(wrong)?;
            }
            for word in 4..words {
                self.word(first, word.into())?;
                self.a.cmp(qword_ptr(rbx + BUFFER + i32::from(word) * 8), rcx)?;
                self.must_be_equal(wrong)?;
            }
        }
        Ok(())
    }

    /// Word of a message, another one in each round, in RCX.
    fn word(&mut self, first: u64, index: u64) -> Assembled {
        self.a.mov(rcx, first.wrapping_mul(index + 1))?;
        self.a.add(rcx, rbp)
    }

    /// While the hostile ones live.
    fn rounds(&mut self, moves: bool, random: &mut ChaCha8Rng) -> Assembled {
        let mut again = self.a.create_label();
        self.a.mov(ebp, ROUNDS)?;
        self.a.set_label(&mut again)?;
        self.echo(0, random)?;
        self.echo(1, random)?;
        count(self.a, COUNTER)?;
        self.must_be_ok(4)?;
        if moves {
            self.a.mov(edi, ECHO_INSIDE)?;
            self.a.mov(esi, ebp)?;
            self.a.and(esi, 1)?;
            call_stub(self.a, number::MIGRATE)?;
            self.must_be_ok(5)?;
        }
        call_stub(self.a, number::YIELD)?;
        self.a.dec(ebp)?;
        self.a.jnz(again)
    }

    /// Stops a server, unless it is dead.
    fn stop(&mut self, server: u32) -> Assembled {
        self.a.mov(edi, server)?;
        call_stub(self.a, number::STOP)?;
        let mut stopped = self.a.create_label();
        self.a.cmp(rax, status::PARTNER_DEAD as i32)?;
        self.a.je(stopped)?;
        self.must_be_ok(6)?;
        self.a.set_label(&mut stopped)?;
        self.a.nop()
    }

    /// What the callers found.
    fn ask_callers(&mut self) -> Assembled {
        for caller in 0..CALLERS.len() as u64 {
            self.a.mov(rdi, FIRST_CALLER + caller)?;
            self.a.xor(esi, esi)?;
            call_stub(self.a, number::CALL)?;
            self.must_be_ok(8)?;
            self.a.mov(edi, r13d)?;
            self.a.test(r13, r13)?;
            self.a.jne(self.failed)?;
            self.a.cmp(r12, CALLS as i32)?;
            self.must_be_equal(8)?;
        }
        Ok(())
    }
}

/// Adds 1 to the count of the server behind a handle.
fn count(a: &mut CodeAssembler, handle: u64) -> Assembled {
    a.mov(rdi, handle)?;
    a.mov(rsi, Tag::new(counter::ADD, 1).0)?;
    a.mov(r12d, 1)?;
    call_stub(a, number::CALL)
}

fn set_message_buffer(a: &mut CodeAssembler) -> Assembled {
    a.mov(rbx, rdi)?;
    a.lea(rdi, ptr(rbx + BUFFER))?;
    call_stub(a, number::SET_MESSAGE_BUFFER)
}

/// The driver of the case: handles 0 and 1 lead to echoes, then come the counter and the callers. `placement_of` says where the
/// hostile servers start again.
pub fn driver(
    neighbours: &Neighbours,
    placement_of: &dyn Fn(u32) -> u32,
    random: &mut ChaCha8Rng,
) -> Vec<u8> {
    assemble(64, |a| {
        let mut failed = a.create_label();
        set_message_buffer(a)?;
        let mut driver = Driver { a, failed };
        driver.must_be_ok(1)?;
        driver.a.mov(edi, 1)?;
        driver.a.mov(esi, 1)?;
        call_stub(driver.a, number::MEASURE_BEGIN)?;
        driver.must_be_ok(1)?;
        let lives = if neighbours.restarts { 2 } else { 1 };
        for life in 0..lives {
            for server in neighbours.hostiles.clone().filter(|_| life > 0) {
                driver.a.mov(edi, server)?;
                driver.a.mov(esi, placement_of(server))?;
                call_stub(driver.a, number::START)?;
                driver.must_be_ok(7)?;
            }
            driver.rounds(neighbours.moves, random)?;
            neighbours.hostiles.clone().try_for_each(|server| driver.stop(server))?;
        }
        driver.ask_callers()?;
        driver.a.mov(rdi, COUNTER)?;
        driver.a.mov(rsi, Tag::new(counter::READ, 0).0)?;
        call_stub(driver.a, number::CALL)?;
        driver.a.cmp(r12, (lives * ROUNDS + CALLERS.len() as u32 * CALLS) as i32)?;
        driver.must_be_equal(9)?;
        for (register, value) in [rdi, r13, r14, rsi].into_iter().zip(OTHER_NUMBERS) {
            driver.a.mov(register, value)?;
        }
        driver.a.xor(r12d, r12d)?;
        call_stub(driver.a, number::MEASURE_END)?;
        driver.must_be_ok(1)?;
        driver.a.xor(edi, edi)?;
        driver.a.set_label(&mut failed)?;
        call_stub(driver.a, number::FINISH)
    })
}

/// A caller of hostile servers, which its handles from 1 on lead to; handle 0 is the counter. Then it answers the driver, whose
/// badge is 0: message word 0 is how many calls it has made, word 1 the status of the case if one was wrong.
pub fn caller(neighbours: &Neighbours, random: &mut ChaCha8Rng) -> Vec<u8> {
    assemble(64, |a| {
        let (mut served, mut other, mut wait) = (a.create_label(), a.create_label(), a.create_label());
        set_message_buffer(a)?;
        GUARDS.into_iter().try_for_each(|guard| a.mov(dword_ptr(rbx + guard), GUARD))?;
        a.mov(qword_ptr(rbx + STACK), rsp)?;
        for number in 1..=CALLS {
            call_hostile(a, number, neighbours.hostiles.len() as u64, random)?;
            count(a, 0)?;
            a.inc(dword_ptr(rbx + CALLS_MADE))?;
        }
        a.set_label(&mut wait)?;
        call_stub(a, number::WAIT)?;
        a.set_label(&mut served)?;
        a.test(rax, rax)?;
        a.jnz(wait)?;
        a.bt(rsi, Tag::NOTIFICATION.trailing_zeros())?;
        a.jc(wait)?;
        a.test(rdi, rdi)?;
        a.jnz(other)?;
        a.mov(r12d, dword_ptr(rbx + CALLS_MADE))?;
        a.mov(r13d, dword_ptr(rbx + FIRST_WRONG))?;
        a.set_label(&mut other)?;
        a.mov(esi, 2)?;
        call_stub(a, number::REPLY_AND_WAIT)?;
        a.jmp(served)
    })
}

/// A message to any hostile server, of any kind. It ends, with a status that it may have, and has changed no more than the
/// results and the message buffer.
fn call_hostile(a: &mut CodeAssembler, number: u32, hostiles: u64, random: &mut ChaCha8Rng) -> Assembled {
    const STATUSES: [u64; 4] = [status::OK, status::PARTNER_DEAD, status::NO_BUFFER, status::NO_REPLY];
    let (mut wrong, mut right) = (a.create_label(), a.create_label());
    let kinds = [number::CALL, number::CALL, number::CALL, number::CALL_DIRECT, number::SEND, number::NOTIFY];
    let call = *kinds.choose(random).unwrap();
    let words = *[0, 1, 4, 5, 100, 512].choose(random).unwrap();
    a.mov(rdi, random.random_range(1..=hostiles))?;
    a.mov(rsi, Tag::new(random.random(), words).0)?;
    a.mov(rbp, u64::from(number) << 40 | 1)?;
    call_stub(a, call)?;
    a.mov(rcx, u64::from(number) << 40 | 1)?;
    a.cmp(rbp, rcx)?;
    a.jne(wrong)?;
    a.cmp(rsp, qword_ptr(rbx + STACK))?;
    a.jne(wrong)?;
    for guard in GUARDS {
        a.cmp(dword_ptr(rbx + guard), GUARD)?;
        a.jne(wrong)?;
    }
    a.cmp(rax, *STATUSES.iter().max().unwrap() as i32)?;
    a.ja(wrong)?;
    a.mov(ecx, STATUSES.iter().fold(0, |mask, status| mask | 1_u32 << status))?;
    a.bt(ecx, eax)?;
    a.jnc(wrong)?;
    a.test(rax, rax)?;
    a.jnz(right)?;
    // Of an answer's tag the flags are clear, and the length is one that there is. Other results have an empty tag.
    a.test(esi, Tag::FLAGS as u32 as i32)?;
    a.jnz(wrong)?;
    a.cmp(si, abi::call::MESSAGE_WORDS_MAX as i32)?;
    a.jbe(right)?;
    a.set_label(&mut wrong)?;
    a.and(eax, 15)?;
    a.or(eax, 4096 + 16 * number)?;
    a.cmp(dword_ptr(rbx + FIRST_WRONG), 0)?;
    a.jne(right)?;
    a.mov(dword_ptr(rbx + FIRST_WRONG), eax)?;
    a.set_label(&mut right)?;
    a.nop()
}
