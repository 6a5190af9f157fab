//! Into the kernel and out of it.
//!
//! There are three paths. Each has an entry stub for ring 3 ([`system_call_entry`], for SYSCALL, serves all three) and one for ring 0
//! (for the jump from the kernel interface page of a server there):
//!
//! | system call | entry stub for ring 0 | behind it |
//! |---|---|---|
//! | CALL | [`kernel_call_entry`] | the fast path of CALL |
//! | REPLY_AND_WAIT | [`kernel_reply_and_wait_entry`] | the fast path of REPLY_AND_WAIT |
//! | all others | [`kernel_entry`] | [`any_call`]: the slow path, and CALL_DIRECT from ring 3 |
//!
//! They take, in every placement:
//!
//! ```text
//!   EAX       number of the system call        RSI       tag or second argument
//!   RDI       handle or first argument         R12..R15  message words 0..3
//! ```
//!
//! (the stubs of CALL and REPLY_AND_WAIT know the number) and save RSP, RBX, RBP (and RIP, where it comes in RCX) in the
//! current thread. Everything else is lost by contract, so nothing else is saved on the fast path. The kernel runs on
//! one stack per CPU, which is empty each time it is left; a thread that waits has all its state in its [`Context`].
//!
//! There are four exits: to ring 3 or ring 0, from a call (few registers) or with everything.
//!
//! Each instruction of the two fast paths is counted (`results/path-length`). That is why a stub for ring 0 runs on into its
//! path, and why a fast path keeps nothing but the tag for the way out.

use core::arch::{global_asm, naked_asm};
use core::mem::offset_of;

use abi::boot::{KERNEL_CODE_SELECTOR, KERNEL_DATA_SELECTOR, USER_CODE_SELECTOR, USER_DATA_SELECTOR};
use abi::call::number;

use super::descriptors::{CODE_64, CODE_64_OFFSET};
use super::direct;
use crate::arch::context::{Context, RFLAGS_INTERRUPTS_ON};
use crate::cpu::{self, Cpu};
use crate::ipc::fast;
use crate::memory::Placement;
use crate::object::thread::{self, Resume, Thread};
use crate::system_call::handle as handle_call;

const _: () = assert!(Placement::User as u8 == 0 && Resume::FromCall as u8 == 0);
const _: () = assert!(number::CALL == 0 && number::REPLY_AND_WAIT == 1);

/// SYSCALL from ring 3 arrives here (IA32_LSTAR), with interrupts off (IA32_FMASK).
///
/// In addition to the registers above: RCX = where to return to, RSP = the caller's, GS = the caller's.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn system_call_entry() {
    naked_asm!(
        "swapgs",
        "mov rdx, gs:[{current}]",
        "mov [rdx + {rip}], rcx",
        "cmp eax, {reply_and_wait}",
        "jb inkbed_entry_call",
        "je inkbed_entry_reply_and_wait",
        "jmp {any_call}",
        current = const cpu::offset::CURRENT,
        rip = const CONTEXT + offset_of!(Context, rip),
        reply_and_wait = const number::REPLY_AND_WAIT,
        any_call = sym any_call,
    )
}

/// The jump from a `kernel` stub other than those of CALL, REPLY_AND_WAIT and CALL_DIRECT arrives here: in ring 0, on the
/// server's own stack, whose top is the return address.
///
/// The server may be interrupted before the first instruction, CLI, at all entry stubs for ring 0; it goes on with it then.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn kernel_entry() {
    naked_asm!(
        "cli",
        "cmp qword ptr gs:[{direct}], 0",
        "jne {call_from_direct_entry}",
        "mov rdx, gs:[{current}]",
        "jmp {any_call}",
        direct = const cpu::offset::DIRECT,
        current = const cpu::offset::CURRENT,
        call_from_direct_entry = sym call_from_direct_entry,
        any_call = sym any_call,
    )
}

/// Addresses of the entry stubs for ring 0, by system call.
pub fn entry_stubs() -> [u64; number::COUNT as usize] {
    let address = |stub: unsafe extern "sysv64" fn()| stub as *const () as u64;
    let mut stubs = [address(kernel_entry); number::COUNT as usize];
    for (call, stub) in [
        (number::CALL, kernel_call_entry as unsafe extern "sysv64" fn()),
        (number::REPLY_AND_WAIT, kernel_reply_and_wait_entry),
        (number::CALL_DIRECT, direct::kernel_direct_call_entry),
    ] {
        stubs[call as usize] = address(stub);
    }
    stubs
}

/// A direct entry must not make system calls: this is a fault of its server.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn call_from_direct_entry() {
    naked_asm!("ud2")
}

/// CALL: the entry stub for ring 0, and the path behind both stubs with the fast exit.
///
/// On the path: RDX = current thread, interrupts off, GS = this CPU. The tag is kept in RBP over the fast path: the receiver
/// gets it from there.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn kernel_call_entry() {
    naked_asm!(
        "cli",
        "cmp qword ptr gs:[{direct}], 0",
        "jne {call_from_direct_entry}",
        "mov rdx, gs:[{current}]",
        "inkbed_entry_call:",
        // 1. Save what the contract keeps, and change to the kernel's stack.
        "mov [rdx + {rsp}], rsp",
        "mov [rdx + {rbx}], rbx",
        "mov [rdx + {rbp}], rbp",
        "mov rsp, gs:[{kernel_stack_end}]",
        // 2. fn(handle, tag, current, cpu) -> (next or null, badge).
        "mov rcx, gs:[{this}]",
        "mov rbp, rsi",
        "call {fast_call}",
        "test rax, rax",
        "jz 6f",
        // 3. The fast exit: RAX = next thread, RDX = badge, RBP = tag, R12..R15 = message.
        "inkbed_entry_fast_exit:",
        "mov rdi, rdx",
        "mov rsi, rbp",
        "mov rsp, [rax + {rsp}]",
        "mov rbx, [rax + {rbx}]",
        "mov rbp, [rax + {rbp}]",
        "cmp byte ptr [rax + {placement}], {user}",
        "jne 5f",
        "mov rcx, [rax + {rip}]",
        "xor eax, eax", // status::OK
        "jmp {exit_to_user}",
        "5:",
        "xor eax, eax",
        "sti", // takes effect after the next instruction
        "ret",
        "6:",
        "xor eax, eax", // number::CALL
        "jmp {slow_path}",
        rsp = const CONTEXT + offset_of!(Context, rsp),
        rbx = const CONTEXT + offset_of!(Context, rbx),
        rbp = const CONTEXT + offset_of!(Context, rbp),
        rip = const CONTEXT + offset_of!(Context, rip),
        placement = const thread::offset::PLACEMENT,
        user = const Placement::User as u8,
        kernel_stack_end = const cpu::offset::KERNEL_STACK_END,
        this = const cpu::offset::THIS,
        direct = const cpu::offset::DIRECT,
        current = const cpu::offset::CURRENT,
        call_from_direct_entry = sym call_from_direct_entry,
        fast_call = sym fast::call,
        exit_to_user = sym exit_to_user,
        slow_path = sym slow_path,
    )
}

/// REPLY_AND_WAIT: the entry stub for ring 0, and the path behind both stubs. As [`kernel_call_entry`], whose exit it shares.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn kernel_reply_and_wait_entry() {
    naked_asm!(
        "cli",
        "cmp qword ptr gs:[{direct}], 0",
        "jne {call_from_direct_entry}",
        "mov rdx, gs:[{current}]",
        "inkbed_entry_reply_and_wait:",
        "mov [rdx + {rsp}], rsp",
        "mov [rdx + {rbx}], rbx",
        "mov [rdx + {rbp}], rbp",
        "mov rsp, gs:[{kernel_stack_end}]",
        "mov rcx, gs:[{this}]",
        "mov rbp, rsi",
        "call {fast_reply_and_wait}",
        "test rax, rax",
        "jnz inkbed_entry_fast_exit",
        "mov eax, {reply_and_wait}",
        "jmp {slow_path}",
        rsp = const CONTEXT + offset_of!(Context, rsp),
        rbx = const CONTEXT + offset_of!(Context, rbx),
        rbp = const CONTEXT + offset_of!(Context, rbp),
        kernel_stack_end = const cpu::offset::KERNEL_STACK_END,
        this = const cpu::offset::THIS,
        direct = const cpu::offset::DIRECT,
        current = const cpu::offset::CURRENT,
        reply_and_wait = const number::REPLY_AND_WAIT,
        call_from_direct_entry = sym call_from_direct_entry,
        fast_reply_and_wait = sym fast::reply_and_wait,
        slow_path = sym slow_path,
    )
}

/// CALL behind its entry stubs, for a caller in any placement whose registers are as there; RDX = current thread, interrupts
/// off, GS = this CPU.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn call_path() {
    naked_asm!("jmp inkbed_entry_call")
}

/// The path behind the entry stubs of all other system calls. RDX = current thread, interrupts off, GS = this CPU.
#[unsafe(naked)]
unsafe extern "sysv64" fn any_call() {
    naked_asm!(
        "mov [rdx + {rsp}], rsp",
        "mov [rdx + {rbx}], rbx",
        "mov [rdx + {rbp}], rbp",
        "mov rsp, gs:[{kernel_stack_end}]",
        "cmp eax, {call_direct}",
        "je {user_direct_call}",
        "mov [rdx + {rdi}], rdi",
        "mov [rdx + {rsi}], rsi",
        "jmp {slow_path}",
        rsp = const CONTEXT + offset_of!(Context, rsp),
        rbx = const CONTEXT + offset_of!(Context, rbx),
        rbp = const CONTEXT + offset_of!(Context, rbp),
        rdi = const CONTEXT + offset_of!(Context, rdi),
        rsi = const CONTEXT + offset_of!(Context, rsi),
        kernel_stack_end = const cpu::offset::KERNEL_STACK_END,
        call_direct = const number::CALL_DIRECT,
        user_direct_call = sym direct::user_direct_call,
        slow_path = sym slow_path,
    )
}

/// The slow path of system call EAX: fn(cpu, thread, number) -> next thread. The two arguments are in the current thread's
/// context already, the message is still in R12 to R15.
#[unsafe(naked)]
unsafe extern "sysv64" fn slow_path() {
    naked_asm!(
        "mov rsi, gs:[{current}]",
        "mov [rsi + {words}], r12",
        "mov [rsi + {words} + 8], r13",
        "mov [rsi + {words} + 16], r14",
        "mov [rsi + {words} + 24], r15",
        "mov rdi, gs:[{this}]",
        "mov edx, eax",
        "xor ebp, ebp", // ends the chain of frames
        "call {handle}",
        "jmp {resume}",
        words = const CONTEXT + offset_of!(Context, words),
        this = const cpu::offset::THIS,
        current = const cpu::offset::CURRENT,
        handle = sym handle,
        resume = sym resume,
    )
}

/// The last steps to ring 3 by SYSRET. RAX, RBX, RSP, RBP, RSI, RDI, R12..R15 = what the thread gets, RCX = where it
/// goes on. Clears the registers that could tell it about the kernel.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn exit_to_user() {
    naked_asm!(
        "mov r11d, {rflags}",
        "xor edx, edx",
        "xor r8d, r8d",
        "xor r9d, r9d",
        "xor r10d, r10d",
        "swapgs",
        "sysretq",
        rflags = const RFLAGS_INTERRUPTS_ON,
    )
}

/// Goes on with the thread in RAX, whose state is all in its context.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn resume() {
    naked_asm!(
        "cmp byte ptr [rax + {resume}], {from_call}",
        "jne 2f",
        // From a call.
        "mov rdi, [rax + {rdi}]",
        "mov rsi, [rax + {rsi}]",
        "mov r12, [rax + {words}]",
        "mov r13, [rax + {words} + 8]",
        "mov r14, [rax + {words} + 16]",
        "mov r15, [rax + {words} + 24]",
        "mov rsp, [rax + {rsp}]",
        "mov rbx, [rax + {rbx}]",
        "mov rbp, [rax + {rbp}]",
        "mov rcx, [rax + {rip}]",
        "cmp byte ptr [rax + {placement}], {user}",
        "mov rax, [rax + {rax}]",
        "je {exit_to_user}",
        "sti", // takes effect after the next instruction
        "ret",
        // With everything. The frame for IRETQ goes on the kernel's stack: SS, RSP, RFLAGS, CS, RIP.
        "2:",
        "mov byte ptr [rax + {resume}], {from_call}",
        "mov rsp, gs:[{kernel_stack_end}]",
        "mov ecx, {kernel_data}",
        "mov edx, {kernel_code}",
        "cmp byte ptr [rax + {placement}], {user}",
        "jne 3f",
        "mov ecx, {user_data}",
        "movabs rdx, {code_64}",
        "mov gs:[{code_64_descriptor}], rdx", // 32-bit threads find none
        "mov edx, {user_code}",
        "swapgs", // this CPU's record is not needed any more
        "3:",
        "push rcx",
        "push [rax + {rsp}]",
        "push [rax + {rflags}]",
        "push rdx",
        "push [rax + {rip}]",
        "mov rcx, [rax + {rcx}]",
        "mov rdx, [rax + {rdx}]",
        "mov rbx, [rax + {rbx}]",
        "mov rbp, [rax + {rbp}]",
        "mov rsi, [rax + {rsi}]",
        "mov rdi, [rax + {rdi}]",
        "mov r8, [rax + {r8}]",
        "mov r9, [rax + {r9}]",
        "mov r10, [rax + {r10}]",
        "mov r11, [rax + {r11}]",
        "mov r12, [rax + {words}]",
        "mov r13, [rax + {words} + 8]",
        "mov r14, [rax + {words} + 16]",
        "mov r15, [rax + {words} + 24]",
        "mov rax, [rax + {rax}]",
        "iretq",
        rax = const CONTEXT + offset_of!(Context, rax),
        rcx = const CONTEXT + offset_of!(Context, rcx),
        rdx = const CONTEXT + offset_of!(Context, rdx),
        rbx = const CONTEXT + offset_of!(Context, rbx),
        rsp = const CONTEXT + offset_of!(Context, rsp),
        rbp = const CONTEXT + offset_of!(Context, rbp),
        rsi = const CONTEXT + offset_of!(Context, rsi),
        rdi = const CONTEXT + offset_of!(Context, rdi),
        r8 = const CONTEXT + offset_of!(Context, r8),
        r9 = const CONTEXT + offset_of!(Context, r9),
        r10 = const CONTEXT + offset_of!(Context, r10),
        r11 = const CONTEXT + offset_of!(Context, r11),
        words = const CONTEXT + offset_of!(Context, words),
        rip = const CONTEXT + offset_of!(Context, rip),
        rflags = const CONTEXT + offset_of!(Context, rflags),
        resume = const thread::offset::RESUME,
        placement = const thread::offset::PLACEMENT,
        kernel_stack_end = const cpu::offset::KERNEL_STACK_END,
        from_call = const Resume::FromCall as u8,
        user = const Placement::User as u8,
        user_data = const USER_DATA_SELECTOR,
        user_code = const USER_CODE_SELECTOR,
        code_64 = const CODE_64,
        code_64_descriptor = const CODE_64_OFFSET,
        kernel_data = const KERNEL_DATA_SELECTOR,
        kernel_code = const KERNEL_CODE_SELECTOR,
        exit_to_user = sym exit_to_user,
    )
}

/// Starts the first thread of this CPU, leaving the boot code for ever. RDI = thread.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn start_first(thread: &'static Thread) -> ! {
    naked_asm!("mov rax, rdi", "jmp {resume}", resume = sym resume)
}

/// From assembly to Rust: the one call of the slow path.
extern "sysv64" fn handle(cpu: &'static Cpu, thread: &'static Thread, number: u32) -> &'static Thread {
    handle_call(cpu, thread, number)
}

/// Offset of the registers in a thread.
pub(super) const CONTEXT: usize = thread::offset::CONTEXT;
// An absolute symbol, no code: offset in a CPU's record of the pointer to the running thread, bytes. Whoever traces the
// kernel sees a thread switch by the store there.
global_asm!(
    ".globl inkbed_cpu_current",
    ".set inkbed_cpu_current, {current}",
    current = const cpu::offset::CURRENT,
);
