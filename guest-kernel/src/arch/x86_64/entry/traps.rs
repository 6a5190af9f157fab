//! Exceptions and interrupts.
//!
//! All of them arrive on an interrupt stack (IST), because a server in the kernel may have any stack pointer. The stubs
//! push what the CPU did not, then all registers, so that the stack holds a [`TrapFrame`]. What happens next depends on
//! where it came from:
//!
//! * from a thread (ring 3, or ring 0 with a stack pointer outside this CPU's own stacks): its registers go to its
//!   context, and the kernel decides who runs next, on the kernel's stack;
//! * from the kernel's own code: an interrupt while idle returns there, an exception is a bug.

use core::arch::{asm, naked_asm};
use core::mem::offset_of;

use abi::report::{Fault, Registers};

use super::compatibility::{self, syscall_gate, sysenter_gate};
use super::descriptors::GATE_COUNT;
use super::system_call::{resume, system_call_entry};
use super::{last_words, probe};
use crate::arch::context::RFLAGS_INTERRUPTS_OFF;
use crate::arch::x86_64::machine;
use crate::arch::x86_64::timer::{ATTENTION_VECTOR, TIMER_VECTOR, end_of_interrupt};
use crate::cpu::{self, Cpu};
use crate::object::server::Server;
use crate::object::thread::Thread;
use crate::sched::{self, fault};

/// What the stubs leave on the stack, lowest address first.
#[repr(C)]
pub struct TrapFrame {
    /// RAX, RCX, RDX, RBX, nothing, RBP, RSI, RDI, R8 to R15: in the order of their encoding.
    pub general: [u64; 16],
    /// Vector.
    pub vector: u64,
    /// Error code, 0 for vectors without one.
    pub error_code: u64,
    /// From here on as the CPU pushes it.
    pub rip: u64,
    /// Code segment; its two low bits are the privilege level.
    pub cs: u64,
    /// Flags.
    pub rflags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Stack segment.
    pub ss: u64,
}

/// Vectors for which the CPU pushes an error code (Intel SDM vol. 3, table 7-1; AMD APM vol. 2, table 8-1).
const VECTORS_WITH_ERROR_CODE: u64 =
    1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | 1 << 21 | 1 << 29 | 1 << 30;
/// Vector of page faults.
pub const PAGE_FAULT: usize = 14;
/// Bytes from one stub to the next.
pub const STUB_SIZE: usize = 16;
/// Alignment of the first stub, bytes: in the addresses of as many bytes of stubs only the lowest bits differ.
pub const STUBS_ALIGNMENT: usize = 1024;

/// Error code of a page fault by fetching an instruction in ring 3 from a page that ring 3 may not use, but that may be
/// there or not: SYSCALL on a KVM that emulates ring 0.
const USER_INSTRUCTION_FETCH: u32 = 0x14;

/// Address of the stub for the gate of `vector`.
pub fn stub_address(vector: usize) -> u64 {
    if vector == PAGE_FAULT {
        return page_fault_stub as *const () as u64;
    }
    let first = (stubs as *const () as usize).next_multiple_of(STUBS_ALIGNMENT);
    (first + vector * STUB_SIZE) as u64
}

/// One stub per vector, [`STUB_SIZE`] bytes each: pushes a zero where the CPU pushed no error code, then the vector.
#[unsafe(naked)]
unsafe extern "sysv64" fn stubs() {
    naked_asm!(
        ".set inkbed_vector, 0",
        ".balign {alignment}",
        ".rept {vector_count}",
        ".balign {size}",
        ".if (({with_error_code} >> inkbed_vector) & 1) == 0",
        "push 0",
        ".endif",
        ".byte 0x6a, inkbed_vector", // push imm8; `push symbol` would be a load
        "jmp {common}",
        ".set inkbed_vector, inkbed_vector + 1",
        ".endr",
        // The last one is for the gate of 32-bit programs while nothing else is there.
        vector_count = const GATE_COUNT,
        alignment = const STUBS_ALIGNMENT,
        size = const STUB_SIZE,
        with_error_code = const VECTORS_WITH_ERROR_CODE,
        common = sym common,
    )
}

/// Page faults, among them SYSCALL itself where KVM emulates ring 0: it arrives as an instruction fetch in ring 3 at
/// the address in IA32_LSTAR, with all registers as SYSCALL leaves them. A thread can jump there by itself, too, with
/// anything in RCX; an address that is not in the lower half would make SYSRET fault in ring 0, so that is an ordinary
/// page fault.
///
/// Stack: error code, RIP, CS, RFLAGS, RSP, SS.
#[unsafe(naked)]
unsafe extern "sysv64" fn page_fault_stub() {
    naked_asm!(
        "test dword ptr [rsp], {fetch}",
        "jz 3f",
        "push rax",
        "mov rax, [rsp + 8]",
        "and eax, {fetch}",
        "cmp eax, {fetch}",
        "jne 2f",
        "lea rax, [rip + {system_call_entry}]",
        "cmp [rsp + 16], rax",
        "jne 2f",
        "test byte ptr [rsp + 24], 3",
        "jz 2f",
        "mov rax, rcx",
        "shr rax, 47",
        "jnz 2f",
        "pop rax",
        "push {no_flags}", // as IA32_FMASK does
        "popfq",
        "mov rsp, [rsp + 32]",
        "jmp {system_call_entry}",
        "2:",
        "pop rax",
        "3:",
        "push {vector}",
        "jmp {common}",
        no_flags = const RFLAGS_INTERRUPTS_OFF,
        fetch = const USER_INSTRUCTION_FETCH,
        vector = const PAGE_FAULT,
        system_call_entry = sym system_call_entry,
        common = sym common,
    )
}

/// Completes the [`TrapFrame`] and calls Rust.
///
/// Stack: vector, error code, RIP, CS, RFLAGS, RSP, SS.
#[unsafe(naked)]
unsafe extern "sysv64" fn common() {
    naked_asm!(
        "push r15",
        "push r14",
        "push r13",
        "push r12",
        "push r11",
        "push r10",
        "push r9",
        "push r8",
        "push rdi",
        "push rsi",
        "push rbp",
        "push 0",
        "push rbx",
        "push rdx",
        "push rcx",
        "push rax",
        // Gates leave the alignment check flag, which switches SMAP off, and the direction flag as ring 3 had them.
        "push {no_flags}",
        "popfq",
        "mov rdi, rsp",
        "test byte ptr [rsp + {cs}], 3",
        "jnz 2f",
        // From ring 0, at one of the instructions there that run with the user's GS: a 32-bit thread that cannot go back to where
        // it was, or a thread that has had a debug exception before the first instruction behind SYSENTER, or, on processors that
        // look at the trap flag of before, SYSCALL.
        "mov rax, [rsp + {rip}]",
        "lea rcx, [rip + inkbed_compatibility_iret]",
        "cmp rax, rcx",
        "je 2f",
        "lea rcx, [rip + {sysenter_gate}]",
        "cmp rax, rcx",
        "je 2f",
        "lea rcx, [rip + {syscall_gate}]",
        "cmp rax, rcx",
        "je 2f",
        "lea rcx, [rip + {system_call_entry}]",
        "cmp rax, rcx",
        "je 2f",
        // From ring 0: from the kernel's own code exactly if the stack pointer is in the per-CPU areas.
        "mov rax, [rsp + {rsp}]",
        "shr rax, 39",
        "cmp eax, {cpu_areas}",
        "je 4f",
        "jmp 3f",
        // From ring 3.
        "2:",
        "swapgs",
        // From a thread: fn(frame, cpu) -> next thread.
        "3:",
        "mov rsp, gs:[{kernel_stack_end}]",
        "mov rsi, gs:[{this}]",
        "xor ebp, ebp", // ends the chain of frames
        "call {trap_in_thread}",
        "jmp {resume}",
        // From the kernel's own code, unless that is running a server's direct entry.
        "4:",
        "cmp qword ptr gs:[{direct}], 0",
        "jne 3b",
        // fn(frame), and back to where it came from.
        "xor ebp, ebp",
        "call {trap_in_kernel}",
        "pop rax",
        "pop rcx",
        "pop rdx",
        "pop rbx",
        "pop rbp", // the place of RSP
        "pop rbp",
        "pop rsi",
        "pop rdi",
        "pop r8",
        "pop r9",
        "pop r10",
        "pop r11",
        "pop r12",
        "pop r13",
        "pop r14",
        "pop r15",
        "add rsp, 16",
        "iretq",
        no_flags = const RFLAGS_INTERRUPTS_OFF,
        cs = const offset_of!(TrapFrame, cs),
        rsp = const offset_of!(TrapFrame, rsp),
        rip = const offset_of!(TrapFrame, rip),
        sysenter_gate = sym sysenter_gate,
        syscall_gate = sym syscall_gate,
        system_call_entry = sym system_call_entry,
        cpu_areas = const abi::address::CPU_AREA_BASE >> 39,
        kernel_stack_end = const cpu::offset::KERNEL_STACK_END,
        this = const cpu::offset::THIS,
        direct = const cpu::offset::DIRECT,
        trap_in_thread = sym trap_in_thread,
        trap_in_kernel = sym trap_in_kernel,
        resume = sym resume,
    )
}

/// An interrupt or exception while the current thread was running. Returns the thread that runs next.
extern "sysv64" fn trap_in_thread(frame: &TrapFrame, cpu: &'static Cpu) -> &'static Thread {
    let Some(thread) = cpu.current() else {
        probe::trapped(frame);
        last_words::kernel_bug(frame)
    };
    if frame.vector < TIMER_VECTOR {
        if is_critical(frame.vector) {
            last_words::kernel_bug(frame);
        }
        if let Some(server) = cpu.direct_server() {
            return fault::kill_direct(cpu, server, thread, &fault_of(frame, server));
        }
        return fault::kill(cpu, thread.server, &fault_of_thread(frame, thread));
    }
    save(frame, thread);
    if frame.vector == TIMER_VECTOR {
        end_of_interrupt();
        return sched::time_slice_over(cpu, thread);
    }
    if frame.vector == ATTENTION_VECTOR {
        end_of_interrupt();
        return sched::interrupted(cpu);
    }
    thread
}

/// NMI, double fault, machine check: nobody's fault that the kernel could name.
fn is_critical(vector: u64) -> bool {
    matches!(vector, 2 | 8 | 18)
}

/// An interrupt while the kernel waited for one, or an exception in the kernel's own code.
extern "sysv64" fn trap_in_kernel(frame: &mut TrapFrame) {
    match frame.vector {
        0..TIMER_VECTOR => last_words::kernel_bug(frame),
        TIMER_VECTOR => {
            end_of_interrupt();
            this_cpu().timer_fired_while_idle();
        }
        // Who waits looks for itself what this CPU is wanted for.
        ATTENTION_VECTOR => end_of_interrupt(),
        _ => {}
    }
    frame.rip = machine::after_halt(frame.rip);
}

/// This CPU. Only in the kernel's own code, after boot has set GS.
fn this_cpu() -> &'static Cpu {
    let address: u64;
    // SAFETY: GS points to this CPU's record, whose field `this` is its own address.
    unsafe {
        asm!(
            "mov {}, gs:[{this}]",
            out(reg) address,
            this = const cpu::offset::THIS,
            options(nostack, preserves_flags, readonly)
        );
        &*core::ptr::with_exposed_provenance(address as usize)
    }
}

/// Puts all registers of an interrupted thread in its context.
fn save(frame: &TrapFrame, thread: &Thread) {
    let context = &thread.context;
    let [rax, rcx, rdx, rbx, _, rbp, rsi, rdi, r8, r9, r10, r11, words @ ..] = frame.general;
    let registers = [
        (&context.rax, rax),
        (&context.rcx, rcx),
        (&context.rdx, rdx),
        (&context.rbx, rbx),
        (&context.rsp, frame.rsp),
        (&context.rbp, rbp),
        (&context.rsi, rsi),
        (&context.rdi, rdi),
        (&context.r8, r8),
        (&context.r9, r9),
        (&context.r10, r10),
        (&context.r11, r11),
        (&context.rip, frame.rip),
        (&context.rflags, frame.rflags),
    ];
    for (register, value) in registers {
        register.set(value);
    }
    for (register, value) in context.words.iter().zip(words) {
        register.set(value);
    }
    thread.resume_with_everything();
    if let Some(ring_3) = thread.ring_3()
        && frame.is_from_ring_3()
    {
        ring_3.save(frame.rip, frame.rflags, frame.rsp, context);
    }
}

/// As [`fault_of`]; of a thread that faulted on its way to ring 3 or from there, where it is in ring 3.
fn fault_of_thread(frame: &TrapFrame, thread: &Thread) -> Fault {
    let mut fault = fault_of(frame, thread.server);
    if frame.rip == system_call_entry as *const () as u64 && !frame.is_from_ring_3() {
        let [_, rcx, ..] = frame.general;
        fault.rip = rcx;
    }
    if let Some(ring_3) = thread.ring_3()
        && compatibility::runs_with_users_gs(frame.rip)
    {
        [fault.rip, fault.rsp] = ring_3.place();
    }
    fault
}

fn fault_of(frame: &TrapFrame, server: &Server) -> Fault {
    Fault {
        server: server.index,
        vector: frame.vector as u32,
        error_code: frame.error_code,
        rip: frame.rip,
        rsp: frame.rsp,
        rbp: frame.general[5],
        address: if frame.vector as usize == PAGE_FAULT { last_words::fault_address() } else { 0 },
        region_base: server.program_base(),
    }
}

impl TrapFrame {
    fn is_from_ring_3(&self) -> bool {
        self.cs & 3 != 0
    }

    /// The registers as reports have them.
    pub fn registers(&self) -> Registers {
        let mut general = self.general;
        general[4] = self.rsp;
        Registers {
            general,
            rip: self.rip,
            rflags: self.rflags,
            cs: self.cs,
            ss: self.ss,
            cr2: last_words::fault_address(),
            cr3: last_words::page_table(),
            vector: self.vector,
            error_code: self.error_code,
        }
    }
}
