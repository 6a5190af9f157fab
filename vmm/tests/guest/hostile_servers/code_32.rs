//! Code of hostile servers of 32 bits. EBP holds the address of the message block, as long as nothing destroys it.

use abi::call::{VECTOR_32, number};
use abi::region::MessageBlock;
use iced_x86::code_asm::*;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use std::mem::offset_of;

use super::values::{self, Argument, flags, odd, offset};
use crate::raw::{Assembled, CODE, DATA, call_stub};

/// A random program. Every second one does nothing that should end it.
pub fn program(random: &mut ChaCha8Rng) -> Vec<u8> {
    let is_calm = random.random();
    // Some random numbers fit no instruction.
    loop {
        let mut assembler = CodeAssembler::new(32).unwrap();
        if write(&mut assembler, is_calm, random).is_ok()
            && let Ok(code) = assembler.assemble(CODE)
        {
            return code;
        }
    }
}

fn write(a: &mut CodeAssembler, is_calm: bool, random: &mut ChaCha8Rng) -> Assembled {
    let mut again = a.create_label();
    a.lea(ebp, ptr(esp + 4))?;
    a.set_label(&mut again)?;
    for _ in 0..random.random_range(3..25) {
        match random.random_range(0..if is_calm { 60 } else { 100 }) {
            0..40 => call(a, random)?,
            40..50 => serve(a, random)?,
            50..56 => call_with_flags(a, random)?,
            56..60 => spin(a, random.random_range(1..20_000))?,
            60..70 => call_without_stack(a, random)?,
            70..75 => a.int(random.random_range(0..256))?,
            75..92 => instruction(a, random)?,
            _ => {
                let mut bytes = vec![0; random.random_range(1..15)];
                random.fill_bytes(&mut bytes);
                a.db(&bytes)?;
            }
        }
    }
    match random.random_range(0..5) {
        0 => call_stub(a, number::EXIT)?,
        1 => a.ud2()?,
        2 => call_stub(a, number::WAIT)?,
        3 => spin(a, u32::MAX)?,
        _ => {}
    }
    a.jmp(again)
}

/// Message block and number of a system call.
fn arguments(a: &mut CodeAssembler, call: u64, random: &mut ChaCha8Rng) -> Assembled {
    let (first, second) = values::arguments(call, random);
    let first = match first {
        // The region begins at address 0.
        Argument::Value(value) | Argument::InRegion(value) => value,
    };
    let fields = [(offset_of!(MessageBlock, handle), first), (offset_of!(MessageBlock, tag), second)];
    let word = offset_of!(MessageBlock, words) + 8 * random.random_range(0..4);
    for (at, value) in fields.into_iter().chain([(word, odd(random))]) {
        a.mov(dword_ptr(ebp + at as i32), value as u32)?;
        a.mov(dword_ptr(ebp + at as i32 + 4), (value >> 32) as u32)?;
    }
    a.mov(eax, call as u32)
}

/// Through one of the doors, whichever the case has open.
fn enter(a: &mut CodeAssembler, call: u64, random: &mut ChaCha8Rng) -> Assembled {
    match random.random_range(0..10) {
        0..5 if call < number::COUNT.into() => call_stub(a, call as u32),
        0..8 => a.int(u32::from(VECTOR_32)),
        8 => a.sysenter(),
        _ => a.syscall(),
    }
}

fn call(a: &mut CodeAssembler, random: &mut ChaCha8Rng) -> Assembled {
    let call = values::call(random);
    arguments(a, call, random)?;
    enter(a, call, random)
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

fn call_with_flags(a: &mut CodeAssembler, random: &mut ChaCha8Rng) -> Assembled {
    let call = values::call(random);
    arguments(a, call, random)?;
    a.pushfd()?;
    a.xor(dword_ptr(esp), flags(random) as i32)?;
    a.popfd()?;
    enter(a, call, random)?;
    a.push(2)?;
    a.popfd()
}

fn call_without_stack(a: &mut CodeAssembler, random: &mut ChaCha8Rng) -> Assembled {
    let call = values::call(random);
    arguments(a, call, random)?;
    a.mov(ebx, esp)?;
    a.mov(esp, odd(random) as u32)?;
    enter(a, u64::MAX, random)?;
    a.mov(esp, ebx)
}

fn spin(a: &mut CodeAssembler, turns: u32) -> Assembled {
    let mut again = a.create_label();
    a.mov(ecx, turns)?;
    a.set_label(&mut again)?;
    a.dec(ecx)?;
    a.jnz(again)
}

/// One instruction or a few that ring 3 should not, or may, but seldom does.
fn instruction(a: &mut CodeAssembler, random: &mut ChaCha8Rng) -> Assembled {
    let selector = random.random_range(0..0x90_u32);
    match random.random_range(0..14) {
        0 => a.hlt(),
        1 => a.sti(),
        2 => a.out(dx, al),
        3 => a.fninit(),
        4 => a.cpuid(),
        5 => a.sgdt(ptr(DATA as i32)),
        6 => a.sldt(ax),
        7 | 8 => {
            a.mov(eax, selector)?;
            match random.random_range(0..5) {
                0 => a.mov(ds, ax),
                1 => a.mov(es, ax),
                2 => a.mov(fs, ax),
                3 => a.mov(gs, ax),
                _ => a.mov(ss, ax),
            }
        }
        9 => {
            // A far return, also to the code segment of 64 bits.
            a.push(*[0x33, 0x23, selector as i32].choose(random).unwrap())?;
            a.push(CODE as i32)?;
            a.retf()
        }
        10 => {
            let mut there = a.create_label();
            a.push(*[0x202, 0x3202, 0x2_0202, 0x4202, 0x302, 0x4_0202].choose(random).unwrap())?;
            a.push(*[0x23, 0x23, 0x33, 0x10].choose(random).unwrap())?;
            a.lea(eax, ptr(there))?;
            a.push(eax)?;
            a.iretd()?;
            a.set_label(&mut there)?;
            a.nop()
        }
        11 => {
            // Beyond its limit, and around the end of 4 GiB.
            a.mov(eax, odd(random) as u32)?;
            if random.random() { a.mov(dword_ptr(eax), ecx) } else { a.mov(ecx, dword_ptr(eax)) }
        }
        12 => {
            a.mov(eax, offset(random) as u32)?;
            a.mov(dword_ptr(eax), ecx)
        }
        _ => {
            a.mov(eax, odd(random) as u32)?;
            a.jmp(eax)
        }
    }
}
