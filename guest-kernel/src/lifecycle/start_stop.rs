//! Stopping servers and starting them again while the system runs.
//!
//! A server's object, with its endpoint and its rights, is there for ever, so whoever may reach it may reach it again. Its
//! region comes and goes: it is loaded anew, in any placement that its trust group allows, and all of its frames and its
//! slot are given back when it stops.

use abi::call::status;
use abi::region::stack_end;

use crate::cpu::Cpu;
use crate::cpu::world::Alone;
use crate::lifecycle::death;
use crate::memory::Placement;
use crate::object::server::Server;
use crate::object::thread::{State, Thread};
use crate::object::trust;

/// Stops a server as if it had ended itself: who waits for it gets an error.
pub fn stop(alone: &Alone<'_>, server: &'static Server) -> Result<(), u64> {
    if alone.cpu().runs(server) || server.is_driver {
        return Err(status::NOT_PERMITTED);
    }
    if server.is_dead() {
        return Err(status::PARTNER_DEAD);
    }
    death::take_down(alone, server);
    Ok(())
}

/// Starts a server that has stopped or died, from its beginning.
pub fn start(alone: &Alone<'_>, server: &'static Server, placement: Placement) -> Result<(), u64> {
    let cpu = alone.cpu();
    if !server.is_dead() {
        return Err(status::BAD_ARGUMENT);
    }
    if !trust::may_run(server.trust_group(), placement) {
        return Err(status::NOT_TRUSTED);
    }
    let regions = cpu.regions().ok_or(status::NOT_PERMITTED)?;
    let frames = regions.frames_in_use();
    regions.load(alone, server, placement)?;
    cpu.counters().frames_taken.add(regions.frames_in_use() - frames);
    server.begin_life();
    // The thread that faulted is not switched away from: whoever runs next, even itself, is switched to.
    if cpu.runs(server) {
        cpu.forget_current();
    }
    for thread in server.threads() {
        begin(cpu, thread);
    }
    Ok(())
}

/// Moves a server to another address: it starts from its beginning there, with the state that it has offered. Calls that
/// arrive meanwhile wait. The policy is the caller's affair.
pub fn relocate(alone: &Alone<'_>, server: &'static Server, placement: Placement) -> Result<(), u64> {
    let cpu = alone.cpu();
    if server.home.is_some() || server.is_driver || server.placement().is_32_bit() || placement.is_32_bit() {
        // A home is an address that is kept, and so is that of a 32-bit program; the driver has its samples where they are.
        return Err(status::NOT_PERMITTED);
    }
    if server.placement() == placement {
        return Err(status::BAD_ARGUMENT);
    }
    let threads = server.threads();
    if threads.iter().any(|thread| thread.state() != State::Receiving) {
        return Err(status::BUSY);
    }
    cpu.regions().ok_or(status::NOT_PERMITTED)?.relocate(alone, server, placement)?;
    server.begin_elsewhere();
    for thread in threads {
        begin(cpu, thread);
    }
    Ok(())
}

/// Has a thread start at the server's entry.
pub fn begin(cpu: &Cpu, thread: &'static Thread) {
    thread.begin(stack_end(thread.server.base(), thread.index) - 8);
    cpu.make_ready(thread);
}
