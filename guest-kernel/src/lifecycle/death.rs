//! The end of a server: everybody who waits for it gets an error, nobody else notices.

use abi::call::status;
use abi::port::exit_code;
use abi::report::Fault;

use crate::arch;
use crate::cpu::{Cpu, count};
use crate::lifecycle::trust;
use crate::object::server::Server;
use crate::object::space::Space;
use crate::object::thread::{State, Thread};
use crate::smp::world::{self, Alone};

/// Ends `server` because of `fault`, and with it the case if the server drives it; its policy may have it start again.
/// Returns the thread that runs next.
pub fn kill(cpu: &'static Cpu, server: &'static Server, fault: &Fault) -> &'static Thread {
    cpu.because_of_lifecycle(|| {
        end(cpu, server, fault);
        cpu.run_next()
    })
}

/// Ends `server`, in the way that what it has to do with other CPUs demands.
fn end(cpu: &'static Cpu, server: &'static Server, fault: &Fault) {
    count(&cpu.counters.faults);
    if let Some(kernel) = cpu.kernel.get() {
        kernel.report.add_fault(fault);
        if server.is_driver {
            arch::exit(exit_code::DRIVER_DIED);
        }
    }
    if has_to_do_with_other_cpus(cpu, server) {
        let (life, placement) = (server.life.get(), server.placement.get());
        if let Some(faulted) = cpu.current.get()
            && faulted.state.get() == State::Running
        {
            // Its registers are lost: nobody may have it go on elsewhere before its end.
            faulted.state.set(State::Dead);
        }
        world::stop(cpu, |alone| {
            // Another CPU may have been first, and may even have started it again.
            if !server.is_dead() && server.life.get() == life {
                take_down(alone, server);
                trust::after_fault(alone, server, placement);
            }
        });
    } else {
        bury(cpu, server);
        world::take_away_later(cpu, server);
    }
}

/// Whether anything of the server is, or may be known, on another CPU: its threads, where they wait, its pages. If there is
/// no other CPU nothing has to stand still, and it is all the same.
fn has_to_do_with_other_cpus(cpu: &Cpu, server: &Server) -> bool {
    let is_alone = cpu.kernel.get().is_none_or(|kernel| kernel.cpus.len() == 1);
    let is_elsewhere = |thread: &Thread| thread.cpu.get() != cpu.index.get() || thread.is_away.get();
    is_alone
        || server.space.get().is_none_or(Space::is_shared)
        || server.cpus.count > 1
        || server.threads.get().iter().any(is_elsewhere)
}

/// Ends the server whose direct entry `caller` was running when it faulted. The caller gets an error, as if it had
/// called the server's thread.
pub fn kill_direct(
    cpu: &'static Cpu,
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
pub fn take_down(alone: &Alone, server: &'static Server) {
    bury(alone.cpu(), server);
    give_back(alone, server);
}

/// Takes a buried server's region away, and gives back its memory.
pub fn give_back(alone: &Alone, server: &'static Server) {
    let cpu = alone.cpu();
    if let Some(regions) = cpu.kernel.get().and_then(|kernel| kernel.regions.get()) {
        let frames = regions.frames_in_use();
        regions.take_away(alone, server);
        cpu.counters.frames_given_back.add(frames - regions.frames_in_use());
    }
}

/// Takes the server's threads out of every queue and answers everybody who waits for one of them.
fn bury(cpu: &'static Cpu, server: &'static Server) {
    server.set_dead(true);
    server.direct_entry.set(0);
    server.endpoints.get().iter().for_each(|endpoint| endpoint.receivers.clear());
    for thread in server.threads.get() {
        count(&cpu.counters.threads_ended);
        bury_thread(cpu, thread);
    }
    // Only now: none of them is owed a reply by another one any more.
    for caller in server.threads.get().iter().filter_map(Thread::take_caller) {
        caller.set_error(status::PARTNER_DEAD);
        cpu.make_ready(caller);
    }
    for endpoint in server.endpoints.get() {
        endpoint.direct_entry.set(0);
        while let Some(sender) = endpoint.senders.pop_front() {
            sender.set_error(status::PARTNER_DEAD);
            cpu.make_ready(sender);
        }
    }
}

/// Takes a thread out of the queue that it is in, and its call back.
fn bury_thread(cpu: &'static Cpu, thread: &'static Thread) {
    match thread.state.replace(State::Dead) {
        State::Ready => cpu.of(thread).ready.remove(thread),
        State::Calling | State::Sending => {
            if let Some(target) = thread.queued_at.get() {
                target.senders.remove(thread);
            }
        }
        State::AwaitingReply => {
            // The reply will find nobody to go to.
            if let Some(partner) = thread.partner.take() {
                partner.take_caller();
            }
        }
        // All receivers are gone already.
        State::Receiving | State::New | State::Running | State::AtMark | State::Dead => {}
    }
}
