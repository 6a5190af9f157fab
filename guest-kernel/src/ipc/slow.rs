//! The slow path: every IPC operation in full.
//!
//! Each function takes the current thread with its registers in its [`crate::thread::Context`], does one system call
//! for it, and returns the thread that runs next.

use abi::call::{Tag, status};

use crate::cpu::Cpu;
use crate::message::{can_transfer, transfer};
use crate::thread::{State, Thread};
use crate::trust;

/// `CALL`: sends and waits for the reply of exactly this call.
pub fn call(cpu: &Cpu, caller: &'static Thread, handle: u64, tag: Tag) -> &'static Thread {
    send_or_queue(cpu, caller, handle, tag, State::Calling)
}

/// `SEND`: sends and goes on once a receiver has the message.
pub fn send(cpu: &Cpu, sender: &'static Thread, handle: u64, tag: Tag) -> &'static Thread {
    send_or_queue(cpu, sender, handle, tag, State::Sending)
}

/// `REPLY_AND_WAIT`: replies to the caller that is owed one, then receives.
pub fn reply_and_wait(cpu: &Cpu, server: &'static Thread, tag: Tag) -> &'static Thread {
    let mut replied_to = None;
    if let Some(caller) = server.caller.get() {
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
        server.caller.set(None);
        cpu.make_ready(caller);
        replied_to = Some(caller);
    }
    receive(cpu, server);
    cpu.reschedule(server, replied_to)
}

/// `WAIT`: receives, replying to nobody.
pub fn wait(cpu: &Cpu, server: &'static Thread) -> &'static Thread {
    if let Some(caller) = server.caller.take() {
        caller.set_error(status::NO_REPLY);
        cpu.make_ready(caller);
    }
    receive(cpu, server);
    cpu.reschedule(server, None)
}

/// `NOTIFY`: sets bits of the target's notification word.
pub fn notify(cpu: &Cpu, sender: &'static Thread, handle: u64, bits: u64) -> &'static Thread {
    let Some(right) = sender.rights.get(handle) else {
        sender.set_error(status::NO_RIGHT);
        return cpu.reschedule(sender, None);
    };
    let endpoint = right.endpoint;
    if endpoint.dead.get() {
        sender.set_error(status::PARTNER_DEAD);
        return cpu.reschedule(sender, None);
    }
    endpoint.notification.set(endpoint.notification.get() | bits);
    sender.set_results(status::OK, 0, Tag(0));
    if endpoint.notification.get() != 0
        && let Some(receiver) = endpoint.receivers.pop()
    {
        deliver_notification(receiver, endpoint.notification.take());
        cpu.make_ready(receiver);
    }
    cpu.reschedule(sender, None)
}

/// Sends to a receiver that waits, or queues the sender in state `queued_as` (`Calling` or `Sending`).
fn send_or_queue(
    cpu: &Cpu,
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
            let Some(receiver) = right.endpoint.receivers.top() else {
                sender.state.set(queued_as);
                sender.queued_at.set(Some(right.endpoint));
                right.endpoint.senders.push_back(sender);
                return cpu.reschedule(sender, None);
            };
            if can_transfer(tag, sender, receiver) {
                right.endpoint.receivers.take_off(receiver);
                hand_over(cpu, sender, receiver, queued_as);
                cpu.make_ready(receiver);
                return cpu.reschedule(sender, Some(receiver));
            }
            status::NO_BUFFER
        }
    };
    sender.set_error(error);
    cpu.reschedule(sender, None)
}

/// Gives the sender's message to the receiver and decides how the sender goes on: waiting for the reply to a call,
/// or done with a send. Makes neither of them ready.
fn hand_over(cpu: &Cpu, sender: &'static Thread, receiver: &'static Thread, sent_as: State) {
    let tag = sender.tag.get();
    transfer(tag, sender, receiver);
    receiver.set_results(status::OK, sender.badge.get(), tag);
    if sent_as == State::Calling {
        sender.state.set(State::AwaitingReply);
        sender.partner.set(Some(receiver));
        receiver.caller.set(Some(sender));
    } else {
        sender.set_results(status::OK, 0, Tag(0));
    }
    if receiver.is_migratable {
        trust::message_received(cpu, sender, receiver);
    }
}

/// Receives for the running `receiver`: a notification or a queued message at once, else it waits.
fn receive(cpu: &Cpu, receiver: &'static Thread) {
    let endpoint = &receiver.server.endpoint;
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
