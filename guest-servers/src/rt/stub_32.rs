//! System calls of 32-bit programs: arguments and results in the thread's message block.

#![expect(unsafe_code, reason = "instructions of the processor")]

use core::arch::asm;
use core::ptr::with_exposed_provenance_mut;

use abi::call::number;
use abi::region::{MESSAGE_BLOCK_SIZE, MessageBlock, THREAD_STRIDE};

use super::Registers;

/// The message block of the running thread, from its stack pointer: both lie in the thread's own area.
#[inline(always)]
fn message_block() -> *mut MessageBlock {
    let last: usize;
    // SAFETY: only reads the stack pointer.
    unsafe {
        asm!(
            "mov {last}, esp",
            "or {last}, {offset}",
            last = out(reg) last,
            offset = const THREAD_STRIDE - 1,
            options(nomem, nostack)
        );
    }
    with_exposed_provenance_mut(last + 1 - MESSAGE_BLOCK_SIZE as usize)
}

/// Writes the arguments to the message block and returns it.
#[inline(always)]
fn put(registers: &Registers) -> *mut MessageBlock {
    let block = message_block();
    // SAFETY: the block is the thread's own, mapped for ever, aligned, and nobody holds a reference to it.
    unsafe {
        block.write(MessageBlock { handle: registers.rdi, tag: registers.rsi, words: registers.words })
    };
    block
}

/// Does system call `NUMBER`.
#[inline(always)]
pub fn system_call<const NUMBER: u32>(registers: Registers) -> Registers {
    const { assert!(NUMBER < number::COUNT) };
    let block = put(&registers);
    let status: u32;
    // SAFETY: the stub keeps the contract of `abi::call`: EAX holds the status, ECX, EDX and the flags are declared as lost, all
    // others are kept. The kernel writes only to the message block and to the thread's message buffer, which is made of
    // cells.
    let results = unsafe {
        asm!(
            "call inkbed_stub_{number}",
            number = const NUMBER,
            lateout("eax") status,
            lateout("ecx") _,
            lateout("edx") _,
        );
        block.read()
    };
    Registers { rax: status.into(), rdi: results.handle, rsi: results.tag, words: results.words }
}

/// Does the system call with a number past the last one, as a hostile program may: by way of the interrupt gate, which
/// takes whatever is in EAX.
pub fn raw_system_call(number: u64) -> u64 {
    put(&Registers::default());
    let status: u32;
    // SAFETY: as above.
    unsafe {
        asm!(
            "int {vector}",
            vector = const abi::call::VECTOR_32,
            inlateout("eax") number as u32 => status,
            lateout("ecx") _,
            lateout("edx") _,
        );
    }
    status.into()
}
