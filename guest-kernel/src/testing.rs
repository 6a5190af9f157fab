//! Objects for tests of the portable logic.

use crate::cpu::Cpu;
use crate::endpoint::Right;
use crate::server::{PageRanges, Placement, Server};
use crate::space::Space;
use crate::thread::{State, Thread};

/// A user server with one thread of this priority in a space of its own.
pub fn thread_of_priority(priority: u8) -> &'static Thread {
    server(Placement::User, priority)
}

/// The same, of any priority.
pub fn thread() -> &'static Thread {
    thread_of_priority(10)
}

/// A server with one thread.
pub fn server(placement: Placement, priority: u8) -> &'static Thread {
    let space = (placement == Placement::User)
        .then(|| -> &'static Space { Box::leak(Box::new(Space::new(0x1000, 0, false))) });
    server_in(placement, space, priority)
}

/// A server with one thread in a given space.
pub fn server_in(placement: Placement, space: Option<&'static Space>, priority: u8) -> &'static Thread {
    let server =
        Box::leak(Box::new(Server::new(0, placement, 1 << 32, PageRanges::default(), space, space, false)));
    let threads = Box::leak(Box::new([Thread::new(server, priority)]));
    server.threads.set(threads);
    server.endpoint.server.set(Some(server));
    &threads[0]
}

/// Gives `from` the right to reach the servers of `targets`, as handles 0, 1, …, with badges 100, 101, …
pub fn give_rights(from: &Thread, targets: &[&'static Thread]) {
    let rights: Vec<Right> = targets
        .iter()
        .zip(100..)
        .map(|(target, badge)| Right { endpoint: &target.server.endpoint, badge })
        .collect();
    from.rights.set(rights.leak());
}

/// A CPU on which `running` runs, its space resident.
pub fn cpu_running(running: &'static Thread) -> &'static Cpu {
    let cpu: &'static Cpu = Box::leak(Box::new(Cpu::default()));
    cpu.current.set(Some(running));
    cpu.resident.set(running.space.get());
    running.state.set(State::Running);
    cpu
}

/// Has `thread` wait for messages, as if it had called WAIT.
pub fn wait(thread: &'static Thread) {
    thread.state.set(State::Receiving);
    thread.server.endpoint.receivers.push(thread);
}
