//! The fast path: short messages between a thread and a partner that is ready for them.
//!
//! Each function is a list of checks, each leaving to the slow path, then a point of no return, then a few stores (the
//! form is seL4's `fastpath.c`). Message words never leave R12 to R15: the assembly around these functions saved the
//! other registers, and Rust keeps those four as callee-saved.
//!
//! What keeps it short is kept by the slow paths, and they must go on keeping it:
//!
//! * Everything here belongs to this CPU: no lock, no atomic access. Whoever cannot be reached by plain stores looks like
//!   an endpoint without receivers, or a server that owes nobody a reply.
//! * Receivers are a [`crate::object::queue::Stack`]: an endpoint with receivers is neither
//!   dead nor has it senders or notification bits.
//! * [`crate::cpu::run_queue::RunQueue`] folds priorities and the time slice into the one number that is compared here.
//! * A fast IPC is one thread switch and is counted once, as the former (`CounterCells::snapshot`).

use abi::call::Tag;

use super::received;
use crate::cpu::Cpu;
use crate::cpu::counters::count;
use crate::object::endpoint::Right;
use crate::object::thread::Thread;

/// What to do next: returned in RAX and RDX.
#[repr(C)]
pub struct FastExit {
    /// The thread to go on with; `None` sends the operation to the slow path, with nothing changed.
    pub next: Option<&'static Thread>,
    /// The badge that it gets in RDI.
    pub badge: u64,
}

/// Leaves the fast path with nothing changed: notes the arguments of the system call where the slow path finds them.
/// Part of its callers, because a function that calls none needs no stack frame.
#[inline(always)]
fn take_slow_path(handle: u64, tag: Tag, thread: &'static Thread) -> FastExit {
    thread.context.rdi.set(handle);
    thread.context.rsi.set(tag.0);
    FastExit { next: None, badge: 0 }
}

/// `CALL`: hands the message and the CPU to a waiting receiver.
pub extern "sysv64" fn call(handle: u64, tag: Tag, caller: &'static Thread, cpu: &'static Cpu) -> FastExit {
    // The message must fit in registers.
    if !tag.is_short() {
        return take_slow_path(handle, tag, caller);
    }
    // The caller must have the right.
    let Some(right) = caller.rights.get(handle) else { return take_slow_path(handle, tag, caller) };
    // A thread of the server must be waiting (so the server is not dead, either).
    let Some(receiver) = right.endpoint.receiver() else { return take_slow_path(handle, tag, caller) };
    // Nobody else must be due before it.
    if !cpu.ready().has_none_due_before(receiver) {
        return take_slow_path(handle, tag, caller);
    }
    // A server that may migrate remembers its partners, and has a policy.
    if receiver.is_migratable {
        return call_migratable(handle, tag, caller, cpu, receiver);
    }
    // ---- POINT OF NO RETURN: the call happens. ----
    hand_over(right, receiver, caller, cpu)
}

/// The end of a call to a server that may migrate, and does so now if its policy has it so. Apart, so that the way without it
/// need not save a register. Its parameters are where those of [`call`] are.
#[cold]
extern "sysv64" fn call_migratable(
    handle: u64,
    tag: Tag,
    caller: &'static Thread,
    cpu: &'static Cpu,
    receiver: &'static Thread,
) -> FastExit {
    let Some(right) = caller.rights.get(handle) else { return take_slow_path(handle, tag, caller) };
    let exit = hand_over(right, receiver, caller, cpu);
    received::message_received(cpu, caller, receiver);
    exit
}

/// The few stores of a call.
#[inline(always)]
fn hand_over(
    right: &'static Right,
    receiver: &'static Thread,
    caller: &'static Thread,
    cpu: &'static Cpu,
) -> FastExit {
    right.endpoint.take_receiver(receiver);
    caller.call_taken_by(receiver);
    count(&cpu.counters().ipc_fast);
    cpu.switch_to(receiver);
    FastExit { next: Some(receiver), badge: right.badge }
}

/// `REPLY_AND_WAIT`: hands the answer and the CPU back to the caller.
pub extern "sysv64" fn reply_and_wait(
    argument: u64,
    tag: Tag,
    server: &'static Thread,
    cpu: &'static Cpu,
) -> FastExit {
    // The answer must fit in registers.
    if !tag.is_short() {
        return take_slow_path(argument, tag, server);
    }
    // Somebody must be owed an answer.
    let Some(caller) = server.local_caller() else { return take_slow_path(argument, tag, server) };
    // Nothing must be there for the server to receive.
    let endpoint = server.endpoint();
    if endpoint.has_something_to_receive() {
        return take_slow_path(argument, tag, server);
    }
    // Nobody else must be due before the caller.
    if !cpu.ready().has_none_due_before(caller) {
        return take_slow_path(argument, tag, server);
    }

    // ---- POINT OF NO RETURN: the reply happens. ----
    server.forget_local_caller();
    server.receive();
    count(&cpu.counters().ipc_fast);
    cpu.switch_to(caller);
    FastExit { next: Some(caller), badge: 0 }
}
