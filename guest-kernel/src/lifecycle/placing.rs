//! Moving threads between CPUs.

use abi::call::status;

use crate::cpu::Cpu;
use crate::cpu::world::Alone;
use crate::ipc::{remote, slow};
use crate::object::endpoint::Endpoint;
use crate::object::thread::{State, Thread};

/// Moves `thread` to the CPU with index `target`, one of those that its server is spread over. Fails with a status, having
/// changed nothing.
pub fn move_thread(alone: &Alone<'_>, thread: &'static Thread, target: u64) -> Result<(), u64> {
    let cpu = alone.cpu();
    let server = thread.server;
    let target = u32::try_from(target).map_err(|_| status::BAD_ARGUMENT)?;
    if !server.cpus.contains(target) {
        return Err(status::BAD_ARGUMENT);
    }
    if server.is_dead() {
        return Err(status::PARTNER_DEAD);
    }
    if server.has_thread_endpoints || cpu.is_current(thread) || thread.state() == State::AtMark {
        return Err(status::NOT_PERMITTED);
    }
    let from = alone.cpu_of(thread);
    if from.index() != target {
        change_cpu(alone, thread, target);
        lead_on(from, thread.server.endpoints());
    }
    Ok(())
}

/// Takes the thread out of its CPU's queues, and puts it in the same ones of the other CPU.
fn change_cpu(alone: &Alone<'_>, thread: &'static Thread, to: u32) {
    let state = thread.state();
    match state {
        State::Ready => alone.cpu_of(thread).ready().remove(thread),
        State::Receiving => {
            thread.endpoint().remove_receiver(thread);
        }
        _ => {}
    }
    thread.move_to(to);
    let target = alone.cpu_of(thread);
    match state {
        // Its registers are in its context: it was interrupted, or has just made a system call.
        State::Running | State::Ready => target.ready().push_back(thread),
        State::Receiving => {
            slow::receive(target, thread);
            if thread.state() != State::Receiving {
                target.ready().push_back(thread);
            }
        }
        _ => {}
    }
}

/// Has the endpoint that no thread is left at send on who waits there, and who comes later.
fn lead_on(from: &Cpu, endpoints: &'static [Endpoint]) {
    let index = from.index();
    let here = endpoints.iter().find(|endpoint| endpoint.cpu() == index);
    let Some((here, server)) = here.and_then(|here| here.server().map(|server| (here, server))) else {
        return;
    };
    if server.threads().iter().any(|thread| thread.cpu() == index) {
        return;
    }
    let Some(thread) = server.threads().first() else { return };
    let elsewhere = thread.endpoint();
    here.lead_to(elsewhere);
    while let Some(sender) = here.pop_sender() {
        sender.send_on_from(index, elsewhere);
        from.post(elsewhere.cpu(), sender);
    }
    let bits = here.take_notification();
    if bits != 0 {
        remote::notify(from, elsewhere, bits);
    }
}
