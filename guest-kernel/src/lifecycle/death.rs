//! The end of a server: everybody who waits for it gets an error, nobody else notices.

use abi::call::status;
use abi::port::exit_code;
use abi::report::Fault;

use crate::arch;
use crate::cpu::Cpu;
use crate::cpu::counters::count;
use crate::cpu::world::Alone;
use crate::lifecycle::policy;
use crate::object::server::Server;
use crate::object::space::Space;
use crate::object::thread::{State, Thread};
use crate::smp::world;

/// Ends `server` because of `fault`, and with it the case if the server drives it; its policy may have it start again. What it has
/// to do with other CPUs decides how.
pub fn end(cpu: &Cpu, server: &'static Server, fault: &Fault) {
    count(&cpu.counters().faults);
    if let Some(kernel) = cpu.kernel() {
        kernel.report.add_fault(fault);
        if server.is_driver {
            arch::exit(exit_code::DRIVER_DIED);
        }
    }
    if has_to_do_with_other_cpus(cpu, server) {
        let (life, placement) = (server.life(), server.placement());
        if let Some(faulted) = cpu.current().filter(|current| current.is_running()) {
            // Its registers are lost: nobody may have it go on elsewhere before its end.
            faulted.end();
        }
        world::stop(cpu, |alone| {
            // Another CPU may have been first, and may even have started it again.
            if !server.is_dead() && server.life() == life {
                take_down(alone, server);
                policy::after_fault(alone, server, placement);
            }
        });
    } else {
        end_threads(cpu, server, |_| cpu);
        if let Some(kernel) = cpu.kernel() {
            kernel.world.give_back_later(server);
        }
    }
}

/// Whether anything of the server is, or may be known, on another CPU: its threads, where they wait, its pages. If there is
/// no other CPU nothing has to stop, and it is all the same.
fn has_to_do_with_other_cpus(cpu: &Cpu, server: &Server) -> bool {
    let is_alone = cpu.kernel().is_none_or(|kernel| kernel.cpus.count() == 1);
    let is_elsewhere = |thread: &Thread| thread.cpu() != cpu.index() || thread.is_away();
    is_alone
        || server.space().is_none_or(Space::is_shared)
        || server.cpus.count > 1
        || server.threads().iter().any(is_elsewhere)
}

/// Ends a server, and gives back what it had.
pub fn take_down(alone: &Alone<'_>, server: &'static Server) {
    end_threads(alone.cpu(), server, |thread| alone.cpu_of(thread));
    world::give_back(alone, server);
}

/// Takes the server's threads out of every queue and answers everybody who waits for one of them. `cpu_of` gives the CPU of a
/// thread.
fn end_threads<'cpu>(cpu: &Cpu, server: &'static Server, cpu_of: impl Fn(&Thread) -> &'cpu Cpu) {
    server.end();
    for thread in server.threads() {
        count(&cpu.counters().threads_ended);
        end_thread(thread, &cpu_of);
    }
    // Only now: none of them is owed a reply by another one any more.
    for caller in server.threads().iter().filter_map(Thread::take_caller) {
        caller.set_error(status::PARTNER_DEAD);
        cpu.make_ready(caller);
    }
    server.forget_direct_entry();
    for endpoint in server.endpoints() {
        while let Some(sender) = endpoint.pop_sender() {
            sender.set_error(status::PARTNER_DEAD);
            cpu.make_ready(sender);
        }
    }
}

/// Takes a thread out of the queue that it is in, and its call back.
fn end_thread<'cpu>(thread: &'static Thread, cpu_of: impl Fn(&Thread) -> &'cpu Cpu) {
    match thread.end() {
        State::Ready => cpu_of(thread).ready().remove(thread),
        State::Calling | State::Sending => {
            if let Some(target) = thread.queued_at() {
                target.remove_sender(thread);
            }
        }
        State::AwaitingReply => thread.take_call_back(),
        // All receivers are gone already.
        State::Receiving | State::New | State::Running | State::AtMark | State::Dead => {}
    }
}
