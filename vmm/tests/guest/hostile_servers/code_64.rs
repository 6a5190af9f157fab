//! Code of hostile servers of 64 bits. RBX holds the base of the region, as long as nothing destroys it.

use abi::call::{Tag, VECTOR_32, number};
use iced_x86::code_asm::*;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use super::values::{self, Argument, flags, handle, odd, offset, tag};
use crate::flags::system_call_entry;
use crate::raw::{Assembled, CODE, DATA, call_stub};

/// A random program. Every second one does nothing that should end it.
pub fn program(random: &mut ChaCha8Rng) -> Vec<u8> {
    let is_calm = random.random();
    // Some random numbers fit no instruction.
    loop {
        let mut assembler = CodeAssembler::new(64).unwrap();
        if write(&mut assembler, is_calm, random).is_ok()
            && let Ok(code) = assembler.assemble(CODE)
        {
            return code;
        }
    }
}

fn write(a: &mut CodeAssembler, is_calm: bool, random: &mut ChaCha8Rng) -> Assembled {
    let mut again = a.create_label();
    a.mov(rbx, rdi)?;
    a.set_label(&mut again)?;
    for _ in 0..random.random_range(3..25) {
        match random.random_range(0..if is_calm { 60 } else { 100 }) {
            0..32 => call(a, random)?,
            32..40 => serve(a, random)?,
            40..45 => burst(a, random)?,
            45..50 => long_message(a, random)?,
            50..54 => call_with_flags(a, random)?,
            54..58 => jump_to_entry(a, random)?,
            58..60 => spin(a, random.random_range(1..20_000))?,
            60..68 => call_without_stack(a, random)?,
            68..75 => a.int(random.random_range(0..256))?,
            75..80 => a.int(u32::from(VECTOR_32))?,
            80..92 => instruction(a, random)?,
            _ => {
                let mut bytes = vec![0; random.random_range(1..15)];
                random.fill_bytes(&mut bytes);
                a.db(&bytes)?;
            }
        }
    }
    end(a, random)?;
    a.jmp(again)
}

/// Registers of a system call.
fn arguments(a: &mut CodeAssembler, call: u64, random: &mut ChaCha8Rng) -> Assembled {
    let (first, second) = values::arguments(call, random);
    match first {
        Argument::Value(value) => a.mov(rdi, value)?,
        Argument::InRegion(offset) => {
            a.mov(rdi, offset)?;
            a.add(rdi, rbx)?;
        }
    }
    a.mov(rsi, second)?;
    for word in [r12, r13, r14, r15] {
        a.mov(word, odd(random))?;
    }
    a.mov(rax, call)
}

fn call(a: &mut CodeAssembler, random: &mut ChaCha8Rng) -> Assembled {
    let call = values::call(random);
    arguments(a, call, random)?;
    if call < number::COUNT.into() && random.random() { call_stub(a, call as u32) } else { a.syscall() }
}

/// Takes a message or two and answers with anything.
fn serve(a: &mut CodeAssembler, random: &mut ChaCha8Rng) -> Assembled {
    call_stub(a, number::WAIT)?;
    for _ in 0..random.random_range(1..4) {
        arguments(a, number::REPLY_AND_WAIT.into(), random)?;
        call_stub(a, number::REPLY_AND_WAIT)?;
    }
    Ok(())
}

/// One system call again and again.
fn burst(a: &mut CodeAssembler, random: &mut ChaCha8Rng) -> Assembled {
    let calls =
        [number::NOTIFY, number::YIELD, number::NULL, number::MIGRATE, number::STOP, number::MOVE_THREAD];
    let mut again = a.create_label();
    a.mov(ebp, random.random_range(1..30))?;
    a.set_label(&mut again)?;
    arguments(a, (*calls.choose(random).unwrap()).into(), random)?;
    a.syscall()?;
    a.dec(ebp)?;
    a.jnz(again)
}

/// A good message buffer, then a message that needs it.
fn long_message(a: &mut CodeAssembler, random: &mut ChaCha8Rng) -> Assembled {
    a.lea(rdi, ptr(rbx + (DATA + 0x1000) as i32))?;
    call_stub(a, number::SET_MESSAGE_BUFFER)?;
    a.mov(rdi, handle(random))?;
    a.mov(rsi, Tag::new(1, random.random_range(5..513)).0)?;
    call_stub(a, *[number::CALL, number::SEND, number::CALL_DIRECT].choose(random).unwrap())
}

/// Flips flags.
fn flip(a: &mut CodeAssembler, flags: u32) -> Assembled {
    a.pushfq()?;
    a.xor(dword_ptr(rsp), flags as i32)?;
    a.popfq()
}

/// No flag at all.
fn clear(a: &mut CodeAssembler) -> Assembled {
    a.push(2)?;
    a.popfq()
}

fn call_with_flags(a: &mut CodeAssembler, random: &mut ChaCha8Rng) -> Assembled {
    arguments(a, values::call(random), random)?;
    flip(a, flags(random))?;
    a.syscall()?;
    clear(a)
}

/// To where SYSCALL arrives, mostly with the registers that SYSCALL leaves.
fn jump_to_entry(a: &mut CodeAssembler, random: &mut ChaCha8Rng) -> Assembled {
    let mut back = a.create_label();
    arguments(a, values::call(random), random)?;
    a.lea(rcx, ptr(back))?;
    if random.random_bool(0.2) {
        a.mov(rcx, odd(random))?;
    }
    a.mov(r11, if random.random_bool(0.5) { 2 } else { odd(random) })?;
    a.mov(rdx, system_call_entry())?;
    if random.random() {
        flip(a, flags(random))?;
    }
    a.jmp(rdx)?;
    a.set_label(&mut back)?;
    clear(a)
}

fn call_without_stack(a: &mut CodeAssembler, random: &mut ChaCha8Rng) -> Assembled {
    arguments(a, values::call(random), random)?;
    a.mov(rbp, rsp)?;
    a.mov(rsp, odd(random))?;
    if random.random_bool(0.8) {
        a.syscall()?
    } else {
        a.int(u32::from(VECTOR_32))?
    }
    a.mov(rsp, rbp)
}

fn spin(a: &mut CodeAssembler, turns: u32) -> Assembled {
    let mut again = a.create_label();
    a.mov(ebp, turns)?;
    a.set_label(&mut again)?;
    a.dec(ebp)?;
    a.jnz(again)
}

/// One instruction or a few that ring 3 should not, or may, but seldom does.
fn instruction(a: &mut CodeAssembler, random: &mut ChaCha8Rng) -> Assembled {
    let selector = random.random_range(0..0x90);
    match random.random_range(0..20) {
        0 => a.hlt(),
        1 => a.cli(),
        2 => a.rdmsr(),
        3 => a.out(dx, al),
        4 => a.swapgs(),
        5 => a.fninit(),
        6 => a.sysenter(),
        7 => a.wrgsbase(rbx),
        8 => a.wrfsbase(rbx),
        9 => a.cpuid(),
        10 => a.sgdt(ptr(rbx + DATA as i32)),
        11 => a.smsw(ax),
        12 => a.str(ax),
        13 => {
            a.mov(eax, selector)?;
            match random.random_range(0..5) {
                0 => a.mov(ds, ax),
                1 => a.mov(es, ax),
                2 => a.mov(fs, ax),
                3 => a.mov(gs, ax),
                _ => a.mov(ss, ax),
            }
        }
        14 => {
            // A far return.
            a.push(selector)?;
            a.push(rbx)?;
            a.db(&[0x48, 0xcb])
        }
        15 => {
            let mut there = a.create_label();
            a.mov(rbp, rsp)?;
            a.push(*[0x1b, 0x23, 0x2b, 0x33, 0x18, 0].choose(random).unwrap())?;
            a.push(rbp)?;
            a.push(*[0x202, 0x3202, 0x2_0202, 0x4202, 0x302, 0x4_0202].choose(random).unwrap())?;
            a.push(*[0x23, 0x2b, 0x33, 0x33, 0x10].choose(random).unwrap())?;
            a.lea(rax, ptr(there))?;
            a.push(rax)?;
            a.iretq()?;
            a.set_label(&mut there)?;
            a.nop()
        }
        16 => {
            a.mov(rax, odd(random))?;
            if random.random() { a.mov(qword_ptr(rax), rcx) } else { a.mov(rcx, qword_ptr(rax)) }
        }
        17 => {
            a.mov(rax, offset(random))?;
            a.mov(qword_ptr(rbx + rax), rcx)
        }
        18 => {
            a.mov(rsp, odd(random))?;
            a.push(rax)
        }
        _ => {
            a.mov(rax, odd(random))?;
            a.jmp(rax)
        }
    }
}

/// How it ends, unless it begins again.
fn end(a: &mut CodeAssembler, random: &mut ChaCha8Rng) -> Assembled {
    match random.random_range(0..6) {
        0 => call_stub(a, number::EXIT),
        1 => a.ud2(),
        2 => call_stub(a, number::WAIT),
        3 => {
            let mut again = a.create_label();
            call_stub(a, number::WAIT)?;
            a.set_label(&mut again)?;
            a.mov(rsi, tag(random))?;
            call_stub(a, number::REPLY_AND_WAIT)?;
            a.jmp(again)
        }
        4 => spin(a, u32::MAX),
        _ => Ok(()),
    }
}
