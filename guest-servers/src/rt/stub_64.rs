//! System calls of 64-bit programs: all arguments and results in registers.

#![expect(unsafe_code, reason = "instructions of the processor")]

use core::arch::asm;

use abi::call::number;

use super::Registers;

/// Does system call `NUMBER`.
#[inline(always)]
pub fn system_call<const NUMBER: u32>(registers: Registers) -> Registers {
    const { assert!(NUMBER < number::COUNT) };
    let rax: u64;
    let (mut rdi, mut rsi) = (registers.rdi, registers.rsi);
    let [mut r12, mut r13, mut r14, mut r15] = registers.words;
    // SAFETY: the stub keeps the contract of `abi::call`: RBX, RBP and RSP are kept, the registers below hold results,
    // all others and the flags are declared as lost. The kernel writes only to the thread's message buffer, which is
    // made of cells.
    unsafe {
        asm!(
            "call inkbed_stub_{number}",
            number = const NUMBER,
            lateout("rax") rax,
            inout("rdi") rdi,
            inout("rsi") rsi,
            inout("r12") r12,
            inout("r13") r13,
            inout("r14") r14,
            inout("r15") r15,
            lateout("rcx") _,
            lateout("rdx") _,
            lateout("r8") _,
            lateout("r9") _,
            lateout("r10") _,
            lateout("r11") _,
        );
    }
    Registers { rax, rdi, rsi, words: [r12, r13, r14, r15] }
}

/// Does the system call with a number past the last one, as a hostile program may, by way of the `user` stub's own
/// instruction. Only a server in user space may call this: in the kernel SYSCALL has no meaning.
pub fn raw_system_call(number: u64) -> u64 {
    let status: u64;
    // SAFETY: as above; SYSCALL itself loses RCX and R11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => status,
            inout("rdi") 0_u64 => _,
            inout("rsi") 0_u64 => _,
            inout("r12") 0_u64 => _,
            inout("r13") 0_u64 => _,
            inout("r14") 0_u64 => _,
            inout("r15") 0_u64 => _,
            lateout("rcx") _,
            lateout("rdx") _,
            lateout("r8") _,
            lateout("r9") _,
            lateout("r10") _,
            lateout("r11") _,
        );
    }
    status
}
