//! The slow path: every IPC operation in full.
//!
//! Each function takes the current thread with its registers in its [`crate::arch::context::Context`], does one system call
//! for it, and returns who may run next.

use abi::call::{Tag, status};

use super::received::message_received;
use super::{Next, remote};
use crate::cpu::Cpu;
use crate::object::endpoint::Endpoint;
use crate::object::message::{can_transfer, transfer};
use crate::object::server::Server;
use crate::object::thread::{State, Thread};

/// `CALL`: sends and waits for the reply of exactly this call.
pub fn call(cpu: &Cpu, caller: &'static Thread, handle: u64, tag: Tag) -> Next {
    send_or_queue(cpu, caller, handle, tag, State::Calling)
}

/// `SEND`: sends and goes on once a receiver has the message.
pub fn send(cpu: &Cpu, sender: &'static Thread, handle: u64, tag: Tag) -> Next {
    send_or_queue(cpu, sender, handle, tag, State::Sending)
}

/// `REPLY_AND_WAIT`: replies to the caller that is owed one, then receives.
pub fn reply_and_wait(cpu: &Cpu, server: &'static Thread, tag: Tag) -> Next {
    let mut replied_to = None;
    if let Some(caller) = server.owed() {
        if !tag.is_sendable() {
            server.set_error(status::BAD_TAG);
            return Next::Caller;
        }
        if can_transfer(tag, server, caller) {
            transfer(tag, server, caller);
            caller.set_results(status::OK, 0, tag);
        } else if server.buffer().is_none() {
            server.set_error(status::NO_BUFFER);
            return Next::Caller;
        } else {
            caller.set_error(status::NO_BUFFER);
        }
        server.take_caller();
        // Once it has been made ready, a thread of another CPU is out of reach.
        replied_to = (caller.cpu() == server.cpu()).then_some(caller);
        cpu.make_ready(caller);
    }
    receive(cpu, server);
    replied_to.map_or(Next::Caller, Next::Partner)
}

/// `WAIT`: receives, replying to nobody.
pub fn wait(cpu: &Cpu, server: &'static Thread) -> Next {
    if let Some(caller) = server.take_caller() {
        caller.set_error(status::NO_REPLY);
        cpu.make_ready(caller);
    }
    receive(cpu, server);
    Next::Caller
}

/// `NOTIFY`: sets bits of the target's notification word.
pub fn notify(cpu: &Cpu, sender: &'static Thread, handle: u64, bits: u64) -> Next {
    let Some(right) = sender.rights.get(handle) else {
        sender.set_error(status::NO_RIGHT);
        return Next::Caller;
    };
    if right.endpoint.server().is_none_or(Server::is_dead) {
        sender.set_error(status::PARTNER_DEAD);
        return Next::Caller;
    }
    match right.endpoint.elsewhere() {
        Some(endpoint) => remote::notify(cpu, endpoint, bits),
        None => add_notification(cpu, right.endpoint, bits),
    }
    sender.set_results(status::OK, 0, Tag(0));
    Next::Caller
}

/// Sets bits of a notification word, and wakes a receiver that waits for any.
pub(super) fn add_notification(cpu: &Cpu, endpoint: &'static Endpoint, bits: u64) {
    if let Some(receiver) = endpoint.notify(bits) {
        deliver_notification(receiver, endpoint.take_notification());
        cpu.make_ready(receiver);
    }
}

/// Sends to a receiver that waits, or queues the sender in state `queued_as` (`Calling` or `Sending`).
fn send_or_queue(cpu: &Cpu, sender: &'static Thread, handle: u64, tag: Tag, queued_as: State) -> Next {
    let error = match sender.rights.get(handle) {
        None => status::NO_RIGHT,
        Some(_) if !tag.is_sendable() => status::BAD_TAG,
        Some(right) if right.endpoint.is_dead() => status::PARTNER_DEAD,
        Some(right) => {
            sender.prepare_to_send(tag, right.badge);
            if let Some(endpoint) = right.endpoint.elsewhere() {
                return remote::depart(cpu, sender, endpoint, queued_as);
            }
            match deliver_or_queue(cpu, sender, right.endpoint, queued_as) {
                Delivery::Done(receiver) => return Next::Partner(receiver),
                Delivery::Queued => return Next::Caller,
                Delivery::NoBuffer => status::NO_BUFFER,
            }
        }
    };
    sender.set_error(error);
    Next::Caller
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
    cpu: &Cpu,
    sender: &'static Thread,
    endpoint: &'static Endpoint,
    queued_as: State,
) -> Delivery {
    let Some(receiver) = endpoint.receiver() else {
        sender.wait_to_send(endpoint, queued_as);
        return Delivery::Queued;
    };
    if !can_transfer(sender.tag(), sender, receiver) {
        return Delivery::NoBuffer;
    }
    endpoint.take_receiver(receiver);
    hand_over(cpu, sender, receiver, queued_as);
    cpu.make_ready(receiver);
    Delivery::Done(receiver)
}

/// Gives the sender's message to the receiver and decides how the sender goes on: waiting for the reply to a call,
/// or done with a send. Makes neither of them ready.
fn hand_over(cpu: &Cpu, sender: &'static Thread, receiver: &'static Thread, sent_as: State) {
    let tag = sender.tag();
    transfer(tag, sender, receiver);
    receiver.set_results(status::OK, sender.badge(), tag);
    if sent_as == State::Calling {
        sender.call_taken_anywhere_by(receiver);
    } else {
        sender.set_results(status::OK, 0, Tag(0));
    }
    if receiver.is_migratable {
        message_received(cpu, sender, receiver);
    }
}

/// Receives for `receiver`, which is in no queue: a notification or a queued message at once, else it waits.
pub fn receive(cpu: &Cpu, receiver: &'static Thread) {
    let endpoint = receiver.endpoint();
    let bits = endpoint.take_notification();
    if bits != 0 {
        return deliver_notification(receiver, bits);
    }
    while let Some(sender) = endpoint.pop_sender() {
        if !can_transfer(sender.tag(), sender, receiver) {
            sender.set_error(status::NO_BUFFER);
            cpu.make_ready(sender);
            continue;
        }
        let sent_as = sender.state();
        hand_over(cpu, sender, receiver, sent_as);
        if sent_as == State::Sending {
            cpu.make_ready(sender);
        }
        return;
    }
    receiver.receive();
}

fn deliver_notification(receiver: &Thread, bits: u64) {
    for (word, value) in receiver.context.words.iter().zip([bits, 0, 0, 0]) {
        word.set(value);
    }
    receiver.set_results(status::OK, 0, Tag(Tag::NOTIFICATION | 1));
}
