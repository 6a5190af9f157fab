//! IPC between CPUs: the thread itself is the message.
//!
//! A thread that calls, or sends to, a server on another CPU is blocked until the server has its message, so it can be given away:
//! it is posted to the server's CPU, which owns it from then on, queues it as a sender like its own threads, copies its message,
//! and owes it the reply. The reply, or an error, posts it back ([`Cpu::make_ready`]). Results, errors and rights are those of
//! local IPC, because the code is. Nothing is locked, and nothing is copied on the way.
//!
//! A notification must not block its sender. Its bits are added to the endpoint's word for such bits, and the endpoint is
//! posted if that was empty.

use abi::call::status;

use super::Next;
use super::slow::{Delivery, add_notification, deliver_or_queue};
use crate::cpu::Cpu;
use crate::cpu::counters::count;
use crate::object::endpoint::Endpoint;
use crate::object::partners;
use crate::object::thread::{State, Thread};

/// Sends the current thread, whose message and badge are set, to the CPU of `target`, in state `state` (`Calling` or `Sending`).
pub fn depart(cpu: &Cpu, sender: &'static Thread, target: &'static Endpoint, state: State) -> Next {
    count(&cpu.counters().ipc_remote);
    partners::note_sent(sender, target);
    sender.depart(target, state);
    cpu.post(target.cpu(), sender);
    Next::Departed
}

/// Takes all threads and notification bits that have come. False if there were none.
pub fn take_arrivals(cpu: &Cpu) -> bool {
    let mut any = false;
    for thread in cpu.take_arrivals() {
        any = true;
        arrive(cpu, thread);
    }
    for endpoint in cpu.take_notified() {
        any = true;
        take_notification(cpu, endpoint);
    }
    any
}

/// A thread has come: one of this CPU's own comes back, or that of another one has a message for a server here.
fn arrive(cpu: &Cpu, thread: &'static Thread) {
    let sent_as = thread.state();
    if sent_as == State::Dead {
        // Its server has ended meanwhile.
        return;
    }
    let Some(target) = thread.queued_at() else { return cpu.make_ready(thread) };
    if let Some(endpoint) = target.elsewhere() {
        // The server's threads have moved away meanwhile.
        thread.send_on(endpoint);
        return cpu.post(endpoint.cpu(), thread);
    }
    let error = if target.is_dead() {
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
pub fn notify(cpu: &Cpu, target: &'static Endpoint, bits: u64) {
    count(&cpu.counters().ipc_remote);
    if target.remote_bits.add(bits) {
        cpu.post_notification(target);
    }
}

/// An endpoint has been posted: takes the bits that other CPUs have set.
fn take_notification(cpu: &Cpu, endpoint: &'static Endpoint) {
    let bits = endpoint.remote_bits.take();
    if let Some(elsewhere) = endpoint.elsewhere() {
        notify(cpu, elsewhere, bits);
    } else if !endpoint.is_dead() {
        add_notification(cpu, endpoint, bits);
    }
}
