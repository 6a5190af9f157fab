//! The ring-3 side of 32-bit programs, which run in compatibility mode on segments of their own.
//!
//! To the rest of the kernel a 32-bit thread is a thread in the kernel: it makes its system calls at the entry stubs for ring 0 and
//! goes on behind them, on a stack in ring 0 of its own ([`Ring3State`]). What it executes there is the code of this
//! module: three gates from ring 3, one trampoline, one way back. So IPC has no case for 32-bit threads, and the paths of 64-bit ones
//! are as long as they were.
//!
//! | gate | where | takes |
//! |---|---|---|
//! | [`interrupt_gate`] | everywhere | the frame that the CPU pushes |
//! | [`sysenter_gate`] | Intel | ECX = ESP; goes on at the kernel interface page's RET |
//! | [`syscall_gate`] | AMD | ECX = EIP |
//!
//! All of them take EAX = number of the system call, and the rest in the thread's message block. The way back is IRETQ,
//! because SYSRET and SYSEXIT load flat segments.
//!
//! The one pair of user segments in the GDT is rewritten whenever a thread goes to ring 3 that has other ones: no thread can
//! load those of another. The 64-bit user code segment is not there while a 32-bit thread runs: by a jump to it the thread would
//! leave its segments, and its SYSCALL would come in by the entry stub of threads that are never resumed in ring 0.
//!
//! ```text
//!   a thread's Ring3State, from its end down:
//!     SS RSP RFLAGS CS RIP        frame for IRETQ
//!     return address of a stub    RSP of the thread's context points here, or at RIP
//!     ...
//! ```

use core::arch::{asm, naked_asm};
use core::mem::offset_of;

use abi::address::TRAP_STACK;
use abi::boot::{KERNEL_CODE_SELECTOR, USER_DATA_SELECTOR};
use abi::call::number;
use abi::region::{KERNEL_INTERFACE_OFFSET, MessageBlock};
use abi::report::{Fault, feature};
use x86_64::registers::model_specific::Msr;

use super::descriptors::{self, CODE_32_OFFSET, CODE_64_OFFSET, DATA_OFFSET};
use super::system_call::{kernel_call_entry, kernel_entry, kernel_reply_and_wait_entry, resume};
use crate::arch::Ring3State;
use crate::arch::context::{RFLAGS_INTERRUPTS_OFF, RFLAGS_INTERRUPTS_ON};
use crate::arch::x86_64::interface::RETURN_OFFSET;
use crate::cpu::{self, Cpu};
use crate::object::thread::{self, Thread};
use crate::sched::{self, fault};

const _: () = assert!(number::CALL == 0 && number::REPLY_AND_WAIT == 1);

const RIP: usize = offset_of!(Ring3State, rip);

/// Opens the gates of 32-bit programs on this CPU: the interrupt gate, and those that it has of the others.
pub fn enable(cpu: &Cpu, features: u64) {
    const IA32_SYSENTER_CS: Msr = Msr::new(0x174);
    const IA32_SYSENTER_ESP: Msr = Msr::new(0x175);
    const IA32_SYSENTER_EIP: Msr = Msr::new(0x176);
    const IA32_CSTAR: Msr = Msr::new(0xc000_0083);
    let address = |gate: unsafe extern "sysv64" fn()| gate as *const () as u64;
    descriptors::exchange_gate(cpu, descriptors::gate(address(interrupt_gate)));
    // SAFETY: the gates take what a 32-bit program has at their instructions, and refuse everybody else. CPUID announces SYSENTER;
    // every processor with SYSCALL has its registers, and not all say whether they execute it in compatibility mode.
    unsafe {
        if features & feature::SYSENTER_32 != 0 {
            { IA32_SYSENTER_CS }.write(KERNEL_CODE_SELECTOR.into());
            { IA32_SYSENTER_ESP }.write(TRAP_STACK.end(cpu.index()));
            { IA32_SYSENTER_EIP }.write(address(sysenter_gate));
        }
        { IA32_CSTAR }.write(address(syscall_gate));
    }
}

/// INT from ring 3 arrives here, with interrupts off, but with the alignment check flag as the caller had it, which would switch
/// SMAP off for the servers that run next.
///
/// Stack: RIP, CS, RFLAGS, RSP, SS.
#[unsafe(naked)]
unsafe extern "sysv64" fn interrupt_gate() {
    naked_asm!(
        "swapgs",
        "push {no_flags}",
        "popfq",
        "mov rcx, gs:[{current}]",
        "mov rcx, [rcx + {compatibility}]",
        "jrcxz 2f",
        "pop qword ptr [rcx + {rip}]",
        "mov rdx, [rsp + 16]",
        "mov [rcx + {rsp}], rdx",
        "jmp {trampoline}",
        "2:",
        "jmp {refuse}",
        no_flags = const RFLAGS_INTERRUPTS_OFF,
        current = const cpu::offset::CURRENT,
        compatibility = const thread::offset::RING_3,
        rip = const RIP,
        rsp = const offset_of!(Ring3State, rsp),
        trampoline = sym trampoline,
        refuse = sym refuse,
    )
}

/// SYSCALL from compatibility mode arrives here (IA32_CSTAR), with interrupts off (IA32_FMASK). RCX = where to return to, RSP =
/// the caller's.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn syscall_gate() {
    naked_asm!(
        "swapgs",
        "mov rdx, rcx",
        "mov rcx, gs:[{current}]",
        "mov rcx, [rcx + {compatibility}]",
        "jrcxz 2f",
        "mov [rcx + {rip}], rdx",
        "mov [rcx + {rsp}], rsp",
        "jmp {trampoline}",
        "2:",
        "jmp {refuse}",
        current = const cpu::offset::CURRENT,
        compatibility = const thread::offset::RING_3,
        rip = const RIP,
        rsp = const offset_of!(Ring3State, rsp),
        trampoline = sym trampoline,
        refuse = sym refuse,
    )
}

/// SYSENTER arrives here (IA32_SYSENTER_EIP), with interrupts off, but all other flags as the caller had them, and nothing
/// of where it was. RCX = its stack pointer, RSP = end of the stack of traps. With the trap flag set a debug exception comes
/// before the first instruction ([`super::traps`]).
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn sysenter_gate() {
    naked_asm!(
        "swapgs",
        "push {no_flags}",
        "popfq",
        "mov edx, ecx",
        "mov rcx, gs:[{current}]",
        "mov rcx, [rcx + {compatibility}]",
        "jrcxz 2f",
        "mov qword ptr [rcx + {rip}], {go_on}",
        "mov [rcx + {rsp}], rdx",
        "jmp {trampoline}",
        "2:",
        "jmp {refuse}",
        no_flags = const RFLAGS_INTERRUPTS_OFF,
        current = const cpu::offset::CURRENT,
        compatibility = const thread::offset::RING_3,
        rip = const RIP,
        rsp = const offset_of!(Ring3State, rsp),
        go_on = const KERNEL_INTERFACE_OFFSET + RETURN_OFFSET,
        trampoline = sym trampoline,
        refuse = sym refuse,
    )
}

/// The trampoline behind the gates, and the way back. RCX = the thread's [`Ring3State`], which holds RIP and RSP; EAX = number of the
/// system call; interrupts off, GS = this CPU.
///
/// Takes the thread to the entry stub for ring 0 of its call, as `call` does: the stub keeps RBX and RBP. CALL_DIRECT is CALL
/// here: a direct entry would run on the thread's small stack.
#[unsafe(naked)]
unsafe extern "sysv64" fn trampoline() {
    naked_asm!(
        "mov [rcx + {rdi}], rdi",
        "mov [rcx + {rsi}], rsi",
        "mov qword ptr [rcx + {rflags}], {user_rflags}",
        "lea rsp, [rcx + {rip}]",
        "mov rcx, [rcx + {message_block}]",
        "mov rdi, [rcx + {handle}]",
        "mov rsi, [rcx + {tag}]",
        "mov r12, [rcx + {words}]",
        "mov r13, [rcx + {words} + 8]",
        "mov r14, [rcx + {words} + 16]",
        "mov r15, [rcx + {words} + 24]",
        "lea rdx, [rip + 2f]",
        "push rdx",
        "cmp eax, {reply_and_wait}",
        "jb {kernel_call_entry}",
        "je {kernel_reply_and_wait_entry}",
        "cmp eax, {call_direct}",
        "je {kernel_call_entry}",
        "jmp {kernel_entry}",
        // The way back: EAX = status, RDI, RSI, R12..R15 = results. The exit has switched interrupts on.
        "2:",
        "cli",
        "mov rcx, [rsp + {message_block} - {rip}]",
        "mov [rcx + {handle}], rdi",
        "mov [rcx + {tag}], rsi",
        "mov [rcx + {words}], r12",
        "mov [rcx + {words} + 8], r13",
        "mov [rcx + {words} + 16], r14",
        "mov [rcx + {words} + 24], r15",
        "mov rdi, [rsp + {rdi} - {rip}]",
        "mov rsi, [rsp + {rsi} - {rip}]",
        // Whoever ran in between may have had other segments, or, as a 64-bit program, loaded anything.
        "mov rdx, [rsp + {data} - {rip}]",
        "cmp rdx, gs:[{data_descriptor}]",
        "jne 3f",
        "mov ecx, ds",
        "mov edx, es",
        "and ecx, edx",
        "cmp ecx, {user_data}",
        "jne 3f",
        "4:",
        "xor ecx, ecx",
        "xor edx, edx",
        "inkbed_compatibility_leave:",
        "mov qword ptr gs:[{code_64_descriptor}], 0",
        "swapgs",
        "inkbed_compatibility_iret:",
        "iretq",
        "3:",
        "lea rcx, [rsp - {rip}]",
        "call {load_segments}",
        "jmp 4b",
        rdi = const offset_of!(Ring3State, rdi),
        rsi = const offset_of!(Ring3State, rsi),
        rip = const RIP,
        rflags = const offset_of!(Ring3State, rflags),
        user_rflags = const RFLAGS_INTERRUPTS_ON,
        message_block = const offset_of!(Ring3State, message_block),
        data = const offset_of!(Ring3State, data),
        handle = const offset_of!(MessageBlock, handle),
        tag = const offset_of!(MessageBlock, tag),
        words = const offset_of!(MessageBlock, words),
        reply_and_wait = const number::REPLY_AND_WAIT,
        call_direct = const number::CALL_DIRECT,
        data_descriptor = const DATA_OFFSET,
        code_64_descriptor = const CODE_64_OFFSET,
        user_data = const USER_DATA_SELECTOR,
        kernel_call_entry = sym kernel_call_entry,
        kernel_reply_and_wait_entry = sym kernel_reply_and_wait_entry,
        kernel_entry = sym kernel_entry,
        load_segments = sym load_segments,
    )
}

/// Address of the code that takes 32-bit threads to ring 3 with all registers.
pub fn way_to_ring_3() -> u64 {
    back_with_everything as *const () as u64
}

/// A 32-bit thread that was interrupted in ring 3, or has never run, goes there: resumed with all registers but RSP, which is
/// that of its empty stack in ring 0; interrupts off, GS = this CPU.
#[unsafe(naked)]
unsafe extern "sysv64" fn back_with_everything() {
    naked_asm!(
        "push rcx",
        "push rdx",
        "mov rdx, [rsp + 16 + {data} - {rip}]",
        "cmp rdx, gs:[{data_descriptor}]",
        "jne 3f",
        "mov ecx, ds",
        "mov edx, es",
        "and ecx, edx",
        "cmp ecx, {user_data}",
        "jne 3f",
        "4:",
        "pop rdx",
        "pop rcx",
        "jmp inkbed_compatibility_leave",
        "3:",
        "lea rcx, [rsp + 16 - {rip}]",
        "call {load_segments}",
        "jmp 4b",
        rip = const RIP,
        data = const offset_of!(Ring3State, data),
        data_descriptor = const DATA_OFFSET,
        user_data = const USER_DATA_SELECTOR,
        load_segments = sym load_segments,
    )
}

/// Whether an address is that of one of the instructions in ring 0 that run with a 32-bit user's GS: the IRETQ of the way back, and
/// the first ones behind SYSENTER and SYSCALL.
pub fn runs_with_users_gs(rip: u64) -> bool {
    let iret: u64;
    // SAFETY: reads no memory.
    unsafe {
        asm!("lea {}, [rip + inkbed_compatibility_iret]", out(reg) iret, options(nomem, nostack, preserves_flags));
    }
    [iret, sysenter_gate as *const () as u64, syscall_gate as *const () as u64].contains(&rip)
}

/// Puts a thread's segments in the GDT and loads them. CS and SS come with IRETQ. FS and GS must not keep another thread's; the
/// GS that is loaded is the user's. RCX = its [`Ring3State`]; RCX and RDX are lost.
#[unsafe(naked)]
unsafe extern "sysv64" fn load_segments() {
    naked_asm!(
        "mov rdx, [rcx + {code}]",
        "mov gs:[{code_descriptor}], rdx",
        "mov rdx, [rcx + {data}]",
        "mov gs:[{data_descriptor}], rdx",
        "inc qword ptr gs:[{segment_loads}]",
        "mov edx, {user_data}",
        "mov ds, edx",
        "mov es, edx",
        "xor edx, edx",
        "mov fs, edx",
        "swapgs",
        "mov gs, edx",
        "swapgs",
        "ret",
        code = const offset_of!(Ring3State, code),
        data = const offset_of!(Ring3State, data),
        code_descriptor = const CODE_32_OFFSET,
        data_descriptor = const DATA_OFFSET,
        segment_loads = const cpu::offset::SEGMENT_LOADS,
        user_data = const USER_DATA_SELECTOR,
    )
}

/// A thread that is no 32-bit program's has come through a gate of theirs: the end of its server. Interrupts off, GS = this CPU.
#[unsafe(naked)]
unsafe extern "sysv64" fn refuse() {
    naked_asm!(
        "mov rsp, gs:[{kernel_stack_end}]",
        "mov rdi, gs:[{this}]",
        "xor ebp, ebp",
        "call {kill_intruder}",
        "jmp {resume}",
        kernel_stack_end = const cpu::offset::KERNEL_STACK_END,
        this = const cpu::offset::THIS,
        kill_intruder = sym kill_intruder,
        resume = sym resume,
    )
}

extern "sysv64" fn kill_intruder(cpu: &'static Cpu) -> &'static Thread {
    const GENERAL_PROTECTION: u32 = 13;
    let Some(thread) = cpu.current() else { return sched::run_next(cpu) };
    let server = thread.server;
    let intrusion = Fault {
        server: server.index,
        vector: GENERAL_PROTECTION,
        region_base: server.program_base(),
        ..Fault::default()
    };
    fault::kill(cpu, server, &intrusion)
}
