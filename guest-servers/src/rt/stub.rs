//! The one way into the kernel: a call of a stub of the kernel interface page.
//!
//! The page lies at a fixed distance from the program (`abi::region`), and the linker script gives every stub an
//! address in it, so a call is one instruction with a relative address: no table, no relocation, no difference between
//! placements. What the stub does is the kernel's affair.

use core::arch::asm;

use abi::call::number;

/// The registers of a system call, in and out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Registers {
    /// Status, out only.
    pub rax: u64,
    /// Handle or first argument; badge.
    pub rdi: u64,
    /// Tag or second argument; tag.
    pub rsi: u64,
    /// Message words 0 to 3.
    pub words: [u64; 4],
}

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
