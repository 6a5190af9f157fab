//! IPC between CPUs: the thread itself is the message.
//!
//! A thread that calls, or sends to, a server on another CPU is blocked until the server has its message, so it can be given
//! away: it is posted as a letter to the server's CPU, which owns it from then on, queues it as a sender like its own
//! threads, copies its message, and owes it the reply. The reply, or an error, posts it back ([`Cpu::make_ready`]). Results,
//! errors and rights are those of local IPC, because the code is. Nothing is locked, and nothing is copied on the way.
//!
//! A notification must not block its sender. Its bits are added to the endpoint's word for such bits, and the endpoint is
//! posted if that was empty.

use abi::call::status;

use super::slow::{Delivery, add_notification, deliver_or_queue};
use crate::cpu::{Cpu, count};
use crate::object::endpoint::Endpoint;
use crate::object::partners;
use crate::object::thread::{State, Thread};

/// Sends the current thread, whose message, badge and state (`Calling` or `Sending`) are set, to the CPU of `target`.
/// Returns the thread that runs next.
pub fn depart(cpu: &'static Cpu, sender: &'static Thread, target: &'static Endpoint) -> &'static Thread {
    count(&cpu.counters.ipc_remote);
    partners::note_sent(sender, target);
    sender.is_away.set(true);
    sender.queued_at.set(Some(target));
    cpu.post(target.cpu.get(), sender);
    // The sender is another CPU's now.
    cpu.run_next_instead_of(sender)
}

/// A letter has come: one of this CPU's own threads comes back, or that of another one has a message for a server here.
pub fn arrive(cpu: &'static Cpu, thread: &'static Thread) {
    if thread.state.get() == State::Dead {
        // Its server has ended meanwhile.
        return;
    }
    let Some(target) = thread.queued_at.get() else { return cpu.make_ready(thread) };
    if let Some(endpoint) = target.elsewhere.get() {
        // The server's threads have moved away meanwhile.
        thread.queued_at.set(Some(endpoint));
        return cpu.post(endpoint.cpu.get(), thread);
    }
    let sent_as = thread.state.get();
    let error = if target.dead.get() {
        status::PARTNER_DEAD
    } else {
        match deliver_or_queue(cpu, thread, target, sent_as) {
            Delivery::Done(_) if sent_as == State::Sending => return cpu.make_ready(thread),
            Delivery::Done(_) | Delivery::Queued => return,
            Delivery::NoBuffer => status::NO_BUFFER,
        }
    };
    thread.set_error(error);
    cpu.make_ready(thread);
}

/// Sets notification bits of an endpoint on another CPU. They are lost if its server is dead.
pub fn notify(cpu: &'static Cpu, target: &'static Endpoint, bits: u64) {
    count(&cpu.counters.ipc_remote);
    if target.remote_bits.add(bits) {
        cpu.post_notification(target);
    }
}

/// An endpoint has come as a letter: takes the bits that other CPUs have set.
pub fn take_notification(cpu: &'static Cpu, endpoint: &'static Endpoint) {
    let bits = endpoint.remote_bits.take();
    if let Some(elsewhere) = endpoint.elsewhere.get() {
        notify(cpu, elsewhere, bits);
    } else if !endpoint.dead.get() {
        add_notification(cpu, endpoint, bits);
    }
}
