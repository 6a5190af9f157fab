//! What is remembered of messages to servers that may migrate.

use crate::cpu::Cpu;
use crate::object::partners;
use crate::object::thread::Thread;

/// A server that may migrate has got a message: notes the partners, and has the server move into the kernel, with its group,
/// once it has proved stable. Both threads' registers must be in their contexts, as far as they count.
#[cold]
pub fn message_received(cpu: &Cpu, sender: &Thread, receiver: &Thread) {
    partners::note(sender, receiver);
    let server = receiver.server;
    if server.policy.proved_stable()
        && let Some(kernel) = cpu.kernel()
    {
        (kernel.settings.when_proved_stable)(cpu, server);
    }
}
