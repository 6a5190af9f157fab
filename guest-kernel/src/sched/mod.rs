//! Who runs next, and what a CPU does while nobody can: waits for an interrupt, and does what other CPUs want.
//!
//! This is the top of what happens in the kernel: operations on threads change states and queues, and then somebody is chosen here.

pub mod budget;
pub mod fault;

use abi::port::exit_code;

use crate::arch;
use crate::cpu::Cpu;
use crate::cpu::counters::count;
use crate::cpu::kernel::Kernel;
use crate::ipc::{Next, remote};
use crate::lifecycle::policy;
use crate::object::thread::{State, Thread};
use crate::smp::world;

/// Does what other CPUs want of this one: stops for one of them, takes threads and notification bits. Its own thread, if one was
/// running, must have all its state in its context; it runs on only if it is still the current one. False if nothing was wanted.
pub fn attend(cpu: &Cpu) -> bool {
    let has_stopped = world::stop_if_called(cpu);
    let promoted = policy::promote_now(cpu);
    if has_stopped || promoted {
        cpu.because_of_lifecycle(|| cpu.look_at_current_again());
    }
    remote::take_arrivals(cpu) || has_stopped || promoted
}

/// Another CPU has interrupted this one, while a thread ran whose registers are in its context. Returns the thread that
/// runs next.
pub fn interrupted(cpu: &'static Cpu) -> &'static Thread {
    attend(cpu);
    match cpu.current() {
        Some(current) => after_call(cpu, current, Next::Caller),
        // Its server was stopped or moved meanwhile.
        None => cpu.because_of_lifecycle(|| run_next(cpu)),
    }
}

/// Decides who runs now, after a system call of `caller` that may have blocked it or made others ready, and makes that thread the
/// running one. Waits for an interrupt when nobody can run.
///
/// A part of its few callers: on the slow path of IPC that is nine instructions fewer a round trip.
#[inline(always)]
pub fn after_call(cpu: &'static Cpu, caller: &'static Thread, next: Next) -> &'static Thread {
    if matches!(next, Next::Departed) {
        return run_next_instead_of(cpu, caller);
    }
    let ready = cpu.ready();
    if caller.is_running() {
        let higher = ready.occupied() >> caller.priority() >> 1;
        if higher == 0 {
            arm_timer_if_shared(cpu, caller);
            return caller;
        }
        ready.push_front(caller);
        return run_next(cpu);
    }
    if let Next::Partner(partner) = next
        && partner.state() == State::Ready
    {
        ready.remove(partner);
        ready.push_front(partner);
        return run_next(cpu);
    }
    run_next_instead_of(cpu, caller)
}

/// As [`run_next`], after `blocked` has left the CPU to whoever is ready, and to nobody in particular. It may be out of reach.
pub fn run_next_instead_of(cpu: &'static Cpu, blocked: &'static Thread) -> &'static Thread {
    let turn = cpu.borrowed_turn();
    if !turn.is_with(blocked) {
        return run_next(cpu);
    }
    let next = cpu.because_of(&cpu.counters().by_preemption, || run_next(cpu));
    turn.pass(blocked, next);
    next
}

/// Takes the first ready thread, waiting for one if need be, and makes it the running one.
pub fn run_next(cpu: &'static Cpu) -> &'static Thread {
    let next = loop {
        if let Some(next) = cpu.ready().pop() {
            break next;
        }
        if !attend(cpu) {
            idle(cpu);
        }
    };
    // Whoever interrupts or ends its call and goes on without another in between was not switched away from.
    if cpu.is_current(next) {
        next.set_running();
    } else {
        count(&cpu.counters().switches_slow);
        cpu.switch_to(next);
    }
    arm_timer_if_shared(cpu, next);
    next
}

/// Waits for an interrupt because nobody can run; returns after it was handled. Ends the case if none can come: from a
/// single CPU that is plain, with several the VMM sees it by the time that none of them runs.
fn idle(cpu: &Cpu) {
    let ends_here = |kernel: &Kernel| kernel.settings.has_driver && kernel.cpus.count() == 1;
    if !cpu.awaits_timer() && cpu.kernel().is_some_and(ends_here) {
        arch::exit(exit_code::DEADLOCK);
    }
    arch::wait_for_interrupt();
}

/// Begins a time slice, which the timer ends, if another thread of the running one's priority is ready: the only case for one. In
/// a plan without time slices one is running all the time ([`Cpu::set_kernel`]).
fn arm_timer_if_shared(cpu: &Cpu, running: &Thread) {
    let shared = cpu.ready().occupied() >> running.priority() & 1 != 0;
    if shared && !cpu.ready().set_time_slice(true) {
        arch::arm_timer();
    }
}

/// The timer has interrupted `current`, whose registers are in its context: another one of its priority gets its
/// turn. Returns the thread that runs next.
pub fn time_slice_over(cpu: &'static Cpu, current: &'static Thread) -> &'static Thread {
    count(&cpu.counters().timer_interrupts);
    cpu.ready().set_time_slice(false);
    if cpu.ready().occupied() >> current.priority() == 0 {
        return current;
    }
    count(&cpu.counters().preemptions);
    cpu.ready().push_back(current);
    let next = cpu.because_of(&cpu.counters().by_preemption, || run_next(cpu));
    cpu.borrowed_turn().take(current, next);
    next
}

#[cfg(test)]
mod tests;
