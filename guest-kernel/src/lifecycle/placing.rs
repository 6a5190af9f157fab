//! Moving threads between CPUs.

use core::ptr;

use abi::call::status;

use crate::cpu::Cpu;
use crate::ipc::{remote, slow};
use crate::object::endpoint::Endpoint;
use crate::object::thread::{State, Thread};
use crate::smp::world::Alone;

/// Moves `thread` to the CPU with index `target`, one of those that its server is spread over. Fails with a status, having
/// changed nothing.
pub fn move_thread(alone: &Alone, thread: &'static Thread, target: u64) -> Result<(), u64> {
    let cpu = alone.cpu();
    let server = thread.server;
    let target = u32::try_from(target).map_err(|_| status::BAD_ARGUMENT)?;
    if !server.cpus.contains(target) {
        return Err(status::BAD_ARGUMENT);
    }
    if server.is_dead() {
        return Err(status::PARTNER_DEAD);
    }
    let is_running_here = cpu.current.get().is_some_and(|current| ptr::eq(current, thread));
    if server.has_thread_endpoints || is_running_here || thread.state.get() == State::AtMark {
        return Err(status::NOT_PERMITTED);
    }
    let (from, to) = (cpu.of(thread), target);
    if from.index.get() != to {
        change_cpu(from, thread, to);
        lead_on(from, thread.server.endpoints.get());
    }
    Ok(())
}

/// Takes the thread out of its CPU's queues, and puts it in the same ones of the other CPU.
fn change_cpu(from: &'static Cpu, thread: &'static Thread, to: u32) {
    let server = thread.server;
    let endpoint = &server.endpoints.get()[(to - server.cpus.first) as usize];
    let state = thread.state.get();
    match state {
        State::Ready => from.ready.remove(thread),
        State::Receiving => {
            thread.endpoint.get().receivers.remove(thread);
        }
        _ => {}
    }
    let caller = thread.take_caller();
    thread.cpu.set(to);
    thread.endpoint.set(endpoint);
    thread.rights.set_as(&server.rights_on(to));
    endpoint.elsewhere.set(None);
    // Who owes whom a reply across CPUs is noted elsewhere than on one CPU.
    if let Some(caller) = caller {
        caller.is_away.set(caller.cpu.get() != to);
        thread.set_caller(caller);
    }
    if state == State::AwaitingReply
        && let Some(partner) = thread.partner.get()
    {
        partner.take_caller();
        partner.set_caller(thread);
    }
    let target = from.of(thread);
    thread.is_away.set(matches!(state, State::Calling | State::Sending | State::AwaitingReply));
    match state {
        // Its registers are in its context: it was interrupted, or has just made a system call.
        State::Running | State::Ready => target.ready.push_back(thread),
        State::Receiving => {
            slow::receive(target, thread);
            if thread.state.get() != State::Receiving {
                target.ready.push_back(thread);
            }
        }
        _ => {}
    }
}

/// Has the endpoint that no thread is left at send on who waits there, and who comes later.
fn lead_on(from: &'static Cpu, endpoints: &'static [Endpoint]) {
    let index = from.index.get();
    let here = endpoints.iter().find(|endpoint| endpoint.cpu.get() == index);
    let Some((here, server)) = here.and_then(|here| here.server.get().map(|server| (here, server))) else {
        return;
    };
    if server.threads.get().iter().any(|thread| thread.cpu.get() == index) {
        return;
    }
    let Some(thread) = server.threads.get().first() else { return };
    let elsewhere = thread.endpoint.get();
    here.elsewhere.set(Some(elsewhere));
    while let Some(sender) = here.senders.pop_front() {
        if sender.cpu.get() == index {
            sender.is_away.set(true);
        }
        sender.queued_at.set(Some(elsewhere));
        from.post(elsewhere.cpu.get(), sender);
    }
    let bits = here.notification.take();
    if bits != 0 {
        remote::notify(from, elsewhere, bits);
    }
}
