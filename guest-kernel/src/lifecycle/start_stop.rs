//! Stopping servers and starting them again while the system runs.
//!
//! A server's object, with its endpoint and its rights, is there for ever, so whoever may reach it may reach it again. Its
//! region comes and goes: it is loaded anew, in any placement that its trust group allows, and all of its frames and its
//! slot are given back when it stops.

use abi::call::status;
use abi::region::stack_end;

use crate::cpu::Cpu;
use crate::lifecycle::death;
use crate::lifecycle::trust;
use crate::object::server::{Placement, Server};
use crate::object::thread::{State, Thread};
use crate::smp::world::Alone;

/// Where regions come from, and go to.
pub trait Regions {
    /// Loads the server's program into a fresh region. Fails with a status, having left nothing behind.
    fn load(&self, alone: &Alone, server: &'static Server, placement: Placement) -> Result<(), u64>;

    /// Loads the server's program into a fresh region in another placement, carries its state over, and takes the old region
    /// away. Fails with a status, having changed nothing.
    fn relocate(&self, alone: &Alone, server: &'static Server, placement: Placement) -> Result<(), u64>;

    /// Takes the server's region away from every page table and TLB, then gives its frames and its slot back.
    fn take_away(&self, alone: &Alone, server: &'static Server);

    /// Takes a slot of the region of small spaces, with one of its sizes, and returns its base address.
    fn take_small_slot(&self, size: u64) -> Option<u64>;

    /// Gives such a slot back.
    fn give_small_slot_back(&self, base: u64, size: u64);

    /// Frames handed out and not given back.
    fn frames_in_use(&self) -> u64;

    /// Physical address where KVM may keep its steal-time record of a CPU, if it does and there is room.
    fn steal_time_of(&self, cpu: u32) -> Option<u64>;
}

/// Stops a server as if it had ended itself: who waits for it gets an error.
pub fn stop(alone: &Alone, server: &'static Server) -> Result<(), u64> {
    let runs = alone.cpu().current.get().is_some_and(|current| core::ptr::eq(current.server, server));
    if runs || server.is_driver {
        return Err(status::NOT_PERMITTED);
    }
    if server.is_dead() {
        return Err(status::PARTNER_DEAD);
    }
    death::take_down(alone, server);
    Ok(())
}

/// Starts a server that has stopped or died, from its beginning.
pub fn start(alone: &Alone, server: &'static Server, placement: Placement) -> Result<(), u64> {
    let cpu = alone.cpu();
    if !server.is_dead() {
        return Err(status::BAD_ARGUMENT);
    }
    if !trust::may_run(server.trust_group.get(), placement) {
        return Err(status::NOT_TRUSTED);
    }
    let kernel = cpu.kernel.get().ok_or(status::NOT_PERMITTED)?;
    let regions = kernel.regions.get().ok_or(status::NOT_PERMITTED)?;
    let frames = frames_in_use(cpu);
    regions.load(alone, server, placement)?;
    cpu.counters.frames_taken.add(frames_in_use(cpu) - frames);
    server.state.set((0, 0));
    server.endpoints.get().iter().for_each(|endpoint| endpoint.notification.set(0));
    server.set_dead(false);
    server.life.set(server.life.get().wrapping_add(1));
    server.policy.start_over();
    // The thread that faulted is not switched away from: whoever runs next, even itself, is switched to.
    if cpu.current.get().is_some_and(|current| core::ptr::eq(current.server, server)) {
        cpu.current.set(None);
    }
    for thread in server.threads.get() {
        begin(cpu, thread);
    }
    Ok(())
}

/// Moves a server to another address: it starts from its beginning there, with the state that it has offered. Calls that
/// arrive meanwhile wait. The policy is the caller's affair.
pub fn relocate(alone: &Alone, server: &'static Server, placement: Placement) -> Result<(), u64> {
    let cpu = alone.cpu();
    if server.home.is_some()
        || server.is_driver
        || server.placement.get().is_32_bit()
        || placement.is_32_bit()
    {
        // A home is an address that is kept, and so is that of a 32-bit program; the driver has its samples where they are.
        return Err(status::NOT_PERMITTED);
    }
    if server.placement.get() == placement {
        return Err(status::BAD_ARGUMENT);
    }
    let threads = server.threads.get();
    if threads.iter().any(|thread| thread.state.get() != State::Receiving) {
        return Err(status::BUSY);
    }
    let kernel = cpu.kernel.get().ok_or(status::NOT_PERMITTED)?;
    kernel.regions.get().ok_or(status::NOT_PERMITTED)?.relocate(alone, server, placement)?;
    server.direct_entry.set(0);
    server.endpoints.get().iter().for_each(|endpoint| endpoint.direct_entry.set(0));
    server.state.set((0, 0));
    // All of its threads are there, and no others.
    server.endpoints.get().iter().for_each(|endpoint| endpoint.receivers.clear());
    for thread in threads {
        begin(cpu, thread);
    }
    Ok(())
}

/// Has a thread start at the server's entry.
pub(crate) fn begin(cpu: &Cpu, thread: &'static Thread) {
    thread.begin(stack_end(thread.server.base.get(), thread.index) - 8);
    cpu.make_ready(thread);
}

/// Frames handed out and not given back, 0 before the plan is started.
pub fn frames_in_use(cpu: &Cpu) -> u64 {
    cpu.kernel.get().and_then(|kernel| kernel.regions.get()).map_or(0, Regions::frames_in_use)
}
