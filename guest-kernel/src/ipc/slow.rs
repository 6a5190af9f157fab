//! The slow path: every IPC operation in full.
//!
//! Each function takes the current thread with its registers in its [`crate::object::thread::Context`], does one system call
//! for it, and returns the thread that runs next.

use abi::call::{Tag, status};

use super::remote;
use crate::cpu::Cpu;
use crate::lifecycle::trust;
use crate::object::endpoint::Endpoint;
use crate::object::message::{can_transfer, transfer};
use crate::object::server::Server;
use crate::object::thread::{State, Thread};

/// `CALL`: sends and waits for the reply of exactly this call.
pub fn call(cpu: &'static Cpu, caller: &'static Thread, handle: u64, tag: Tag) -> &'static Thread {
    send_or_queue(cpu, caller, handle, tag, State::Calling)
}

/// `SEND`: sends and goes on once a receiver has the message.
pub fn send(cpu: &'static Cpu, sender: &'static Thread, handle: u64, tag: Tag) -> &'static Thread {
    send_or_queue(cpu, sender, handle, tag, State::Sending)
}

/// `REPLY_AND_WAIT`: replies to the caller that is owed one, then receives.
pub fn reply_and_wait(cpu: &'static Cpu, server: &'static Thread, tag: Tag) -> &'static Thread {
    let mut replied_to = None;
    if let Some(caller) = server.owed() {
        if !tag.is_sendable() {
            server.set_error(status::BAD_TAG);
            return cpu.reschedule(server, None);
        }
        if can_transfer(tag, server, caller) {
            transfer(tag, server, caller);
            caller.set_results(status::OK, 0, tag);
        } else if server.buffer.get().is_none() {
            server.set_error(status::NO_BUFFER);
            return cpu.reschedule(server, None);
        } else {
            caller.set_error(status::NO_BUFFER);
        }
        server.take_caller();
        // Once it has been made ready, a thread of another CPU is out of reach.
        replied_to = (caller.cpu.get() == server.cpu.get()).then_some(caller);
        cpu.make_ready(caller);
    }
    receive(cpu, server);
    cpu.reschedule(server, replied_to)
}

/// `WAIT`: receives, replying to nobody.
pub fn wait(cpu: &'static Cpu, server: &'static Thread) -> &'static Thread {
    if let Some(caller) = server.take_caller() {
        caller.set_error(status::NO_REPLY);
        cpu.make_ready(caller);
    }
    receive(cpu, server);
    cpu.reschedule(server, None)
}

/// `NOTIFY`: sets bits of the target's notification word.
pub fn notify(cpu: &'static Cpu, sender: &'static Thread, handle: u64, bits: u64) -> &'static Thread {
    let Some(right) = sender.rights.get(handle) else {
        sender.set_error(status::NO_RIGHT);
        return cpu.reschedule(sender, None);
    };
    if right.endpoint.server.get().is_none_or(Server::is_dead) {
        sender.set_error(status::PARTNER_DEAD);
        return cpu.reschedule(sender, None);
    }
    match right.endpoint.elsewhere.get() {
        Some(endpoint) => remote::notify(cpu, endpoint, bits),
        None => add_notification(cpu, right.endpoint, bits),
    }
    sender.set_results(status::OK, 0, Tag(0));
    cpu.reschedule(sender, None)
}

/// Sets bits of a notification word, and wakes a receiver that waits for any.
pub(super) fn add_notification(cpu: &'static Cpu, endpoint: &'static Endpoint, bits: u64) {
    endpoint.notification.set(endpoint.notification.get() | bits);
    if endpoint.notification.get() != 0
        && let Some(receiver) = endpoint.receivers.pop()
    {
        deliver_notification(receiver, endpoint.notification.take());
        cpu.make_ready(receiver);
    }
}

/// Sends to a receiver that waits, or queues the sender in state `queued_as` (`Calling` or `Sending`).
fn send_or_queue(
    cpu: &'static Cpu,
    sender: &'static Thread,
    handle: u64,
    tag: Tag,
    queued_as: State,
) -> &'static Thread {
    let error = match sender.rights.get(handle) {
        None => status::NO_RIGHT,
        Some(_) if !tag.is_sendable() => status::BAD_TAG,
        Some(right) if right.endpoint.dead.get() => status::PARTNER_DEAD,
        Some(right) => {
            sender.tag.set(tag);
            sender.badge.set(right.badge);
            if let Some(endpoint) = right.endpoint.elsewhere.get() {
                sender.state.set(queued_as);
                return remote::depart(cpu, sender, endpoint);
            }
            match deliver_or_queue(cpu, sender, right.endpoint, queued_as) {
                Delivery::Done(receiver) => return cpu.reschedule(sender, Some(receiver)),
                Delivery::Queued => return cpu.reschedule(sender, None),
                Delivery::NoBuffer => status::NO_BUFFER,
            }
        }
    };
    sender.set_error(error);
    cpu.reschedule(sender, None)
}

/// What became of a message.
pub(super) enum Delivery {
    /// This thread has it, and is ready.
    Done(&'static Thread),
    /// Its sender waits in the endpoint's queue.
    Queued,
    /// It is too long for one of the two.
    NoBuffer,
}

/// Gives a message to a receiver that waits, or queues its sender in state `queued_as` (`Calling` or `Sending`). Does not
/// make the sender ready.
pub(super) fn deliver_or_queue(
    cpu: &'static Cpu,
    sender: &'static Thread,
    endpoint: &'static Endpoint,
    queued_as: State,
) -> Delivery {
    let Some(receiver) = endpoint.receivers.top() else {
        sender.state.set(queued_as);
        sender.queued_at.set(Some(endpoint));
        endpoint.senders.push_back(sender);
        return Delivery::Queued;
    };
    if !can_transfer(sender.tag.get(), sender, receiver) {
        return Delivery::NoBuffer;
    }
    endpoint.receivers.take_off(receiver);
    hand_over(cpu, sender, receiver, queued_as);
    cpu.make_ready(receiver);
    Delivery::Done(receiver)
}

/// Gives the sender's message to the receiver and decides how the sender goes on: waiting for the reply to a call,
/// or done with a send. Makes neither of them ready.
fn hand_over(cpu: &'static Cpu, sender: &'static Thread, receiver: &'static Thread, sent_as: State) {
    let tag = sender.tag.get();
    transfer(tag, sender, receiver);
    receiver.set_results(status::OK, sender.badge.get(), tag);
    if sent_as == State::Calling {
        sender.state.set(State::AwaitingReply);
        sender.partner.set(Some(receiver));
        receiver.set_caller(sender);
    } else {
        sender.set_results(status::OK, 0, Tag(0));
    }
    if receiver.is_migratable {
        trust::message_received(cpu, sender, receiver);
    }
}

/// Receives for `receiver`, which is in no queue: a notification or a queued message at once, else it waits.
pub(crate) fn receive(cpu: &'static Cpu, receiver: &'static Thread) {
    let endpoint = receiver.endpoint.get();
    let bits = endpoint.notification.take();
    if bits != 0 {
        return deliver_notification(receiver, bits);
    }
    while let Some(sender) = endpoint.senders.pop_front() {
        if !can_transfer(sender.tag.get(), sender, receiver) {
            sender.set_error(status::NO_BUFFER);
            cpu.make_ready(sender);
            continue;
        }
        let sent_as = sender.state.get();
        hand_over(cpu, sender, receiver, sent_as);
        if sent_as == State::Sending {
            cpu.make_ready(sender);
        }
        return;
    }
    receiver.state.set(State::Receiving);
    endpoint.receivers.push(receiver);
}

fn deliver_notification(receiver: &Thread, bits: u64) {
    for (word, value) in receiver.context.words.iter().zip([bits, 0, 0, 0]) {
        word.set(value);
    }
    receiver.set_results(status::OK, 0, Tag(Tag::NOTIFICATION | 1));
}
