//! The end of a server: everybody who waits for it gets an error, nobody else notices.

use abi::call::status;
use abi::port::exit_code;
use abi::report::Fault;

use crate::arch;
use crate::cpu::{Cpu, count};
use crate::server::Server;
use crate::thread::{State, Thread};
use crate::trust;

/// Ends `server` because of `fault`, and with it the case if the server drives it; its policy may have it start again.
/// Returns the thread that runs next.
pub fn kill(cpu: &Cpu, server: &'static Server, fault: &Fault) -> &'static Thread {
    count(&cpu.counters.faults);
    if let Some(kernel) = cpu.kernel.get() {
        kernel.report.add_fault(fault);
        if server.is_driver {
            arch::exit(exit_code::DRIVER_DIED);
        }
    }
    let placement = server.placement.get();
    take_down(cpu, server);
    trust::after_fault(cpu, server, placement);
    cpu.run_next()
}

/// Ends the server whose direct entry `caller` was running when it faulted. The caller gets an error, as if it had
/// called the server's thread.
pub fn kill_direct(
    cpu: &Cpu,
    server: &'static Server,
    caller: &'static Thread,
    fault: &Fault,
) -> &'static Thread {
    cpu.direct.set(None);
    caller.set_error(status::PARTNER_DEAD);
    cpu.ready.push_front(caller);
    kill(cpu, server, fault)
}

/// Ends a server, and gives back what it had.
pub fn take_down(cpu: &Cpu, server: &'static Server) {
    bury(cpu, server);
    if let Some(regions) = cpu.kernel.get().and_then(|kernel| kernel.regions.get()) {
        let frames = regions.frames_in_use();
        regions.take_away(cpu, server);
        let given_back = &cpu.counters.frames_given_back;
        given_back.set(given_back.get() + (frames - regions.frames_in_use()));
    }
}

/// Takes the server's threads out of every queue and answers everybody who waits for one of them.
fn bury(cpu: &Cpu, server: &'static Server) {
    let endpoint = &server.endpoint;
    endpoint.dead.set(true);
    endpoint.direct_entry.set(0);
    server.direct_entry.set(0);
    endpoint.receivers.clear();
    for thread in server.threads.get() {
        bury_thread(cpu, thread);
    }
    while let Some(sender) = endpoint.senders.pop_front() {
        sender.set_error(status::PARTNER_DEAD);
        cpu.make_ready(sender);
    }
}

fn bury_thread(cpu: &Cpu, thread: &'static Thread) {
    match thread.state.replace(State::Dead) {
        State::Ready => cpu.ready.remove(thread),
        State::Calling | State::Sending => {
            if let Some(target) = thread.queued_at.get() {
                target.senders.remove(thread);
            }
        }
        State::AwaitingReply => {
            // The reply will find nobody to go to.
            if let Some(partner) = thread.partner.take() {
                partner.caller.set(None);
            }
        }
        // All receivers are gone already.
        State::Receiving | State::New | State::Running | State::Dead => {}
    }
    if let Some(caller) = thread.caller.take() {
        caller.set_error(status::PARTNER_DEAD);
        cpu.make_ready(caller);
    }
}
