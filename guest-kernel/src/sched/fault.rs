//! A thread has faulted, or has ended its server: somebody else runs next.

use abi::call::status;
use abi::report::Fault;

use super::run_next;
use crate::cpu::Cpu;
use crate::lifecycle::death;
use crate::object::server::Server;
use crate::object::thread::Thread;

/// Ends `server` because of `fault`, and with it the case if the server drives it; its policy may have it start again.
/// Returns the thread that runs next.
pub fn kill(cpu: &'static Cpu, server: &'static Server, fault: &Fault) -> &'static Thread {
    cpu.because_of_lifecycle(|| {
        death::end(cpu, server, fault);
        run_next(cpu)
    })
}

/// Ends the server whose direct entry `caller` was running when it faulted. The caller gets an error, as if it had
/// called the server's thread.
pub fn kill_direct(
    cpu: &'static Cpu,
    server: &'static Server,
    caller: &'static Thread,
    fault: &Fault,
) -> &'static Thread {
    cpu.leave_direct_entry();
    caller.set_error(status::PARTNER_DEAD);
    cpu.ready().push_front(caller);
    kill(cpu, server, fault)
}
