//! The fast path: short messages between a thread and a partner that is ready for them.
//!
//! Each function is a list of checks, each leaving to the slow path, then a point of no return, then a few stores (the
//! form is seL4's `fastpath.c`). Message words never leave R12 to R15: the assembly around these functions saved the
//! other registers, and Rust keeps those four as callee-saved.

use abi::call::Tag;

use crate::cpu::{Cpu, count};
use crate::thread::{State, Thread};
use crate::trust;

/// What to do next: returned in RAX and RDX.
#[repr(C)]
pub struct FastExit {
    /// The thread to go on with; `None` sends the operation to the slow path, with nothing changed.
    pub next: Option<&'static Thread>,
    /// The badge that it gets in RDI.
    pub badge: u64,
}

const TAKE_SLOW_PATH: FastExit = FastExit { next: None, badge: 0 };

/// `CALL`: hands the message and the CPU to a waiting receiver.
pub extern "sysv64" fn call(handle: u64, tag: Tag, caller: &'static Thread, cpu: &'static Cpu) -> FastExit {
    // The message must fit in registers.
    if !tag.is_short() {
        return TAKE_SLOW_PATH;
    }
    // The caller must have the right.
    let Some(right) = caller.rights.get(handle) else { return TAKE_SLOW_PATH };
    // A thread of the server must be waiting (so the server is not dead, either).
    let Some(receiver) = right.endpoint.receivers.front() else { return TAKE_SLOW_PATH };
    // Nobody else must be due before it.
    if !cpu.may_run_directly(receiver) {
        return TAKE_SLOW_PATH;
    }

    // ---- POINT OF NO RETURN: the call happens. ----
    right.endpoint.receivers.remove_front(receiver);
    receiver.caller.set(Some(caller));
    caller.partner.set(Some(receiver));
    caller.state.set(State::AwaitingReply);
    count(&cpu.counters.ipc_fast);
    cpu.switch_to(receiver);
    if receiver.is_migratable {
        // The last thing, so that it is a jump, and the path without it need not save a register.
        return message_received(caller, receiver, right.badge, cpu);
    }
    FastExit { next: Some(receiver), badge: right.badge }
}

/// The end of a call to a server that may migrate, and does so now if its policy has it so.
#[cold]
extern "sysv64" fn message_received(
    caller: &'static Thread,
    receiver: &'static Thread,
    badge: u64,
    cpu: &'static Cpu,
) -> FastExit {
    trust::message_received(cpu, caller, receiver);
    FastExit { next: Some(receiver), badge }
}

/// `REPLY_AND_WAIT`: hands the answer and the CPU back to the caller.
pub extern "sysv64" fn reply_and_wait(
    _unused: u64,
    tag: Tag,
    server: &'static Thread,
    cpu: &'static Cpu,
) -> FastExit {
    // The answer must fit in registers.
    if !tag.is_short() {
        return TAKE_SLOW_PATH;
    }
    // Somebody must be owed an answer.
    let Some(caller) = server.caller.get() else { return TAKE_SLOW_PATH };
    // Nothing must be there for the server to receive.
    let endpoint = &server.server.endpoint;
    if !endpoint.senders.is_empty() || endpoint.notification.get() != 0 {
        return TAKE_SLOW_PATH;
    }
    // Nobody else must be due before the caller.
    if !cpu.may_run_directly(caller) {
        return TAKE_SLOW_PATH;
    }

    // ---- POINT OF NO RETURN: the reply happens. ----
    server.caller.set(None);
    server.state.set(State::Receiving);
    endpoint.receivers.push_front(server);
    count(&cpu.counters.ipc_fast);
    cpu.switch_to(caller);
    FastExit { next: Some(caller), badge: 0 }
}
