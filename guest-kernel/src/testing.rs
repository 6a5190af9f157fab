//! Objects for tests of the portable logic.

use crate::cpu::Cpu;
use crate::object::endpoint::{Endpoint, Right};
use crate::object::server::{PageRanges, Placement, Server, Shape, Spread};
use crate::object::space::Space;
use crate::object::thread::{State, Thread};

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
    server_on(placement, space, priority, 0)
}

/// A server with one thread on the CPU with this index.
pub fn server_on(
    placement: Placement,
    space: Option<&'static Space>,
    priority: u8,
    cpu: u32,
) -> &'static Thread {
    let shape = Shape {
        is_driver: false,
        cpus: Spread { first: cpu, count: 1 },
        thread_endpoints: false,
        slot_mib: 0,
    };
    let pages = PageRanges::default();
    let server: &'static Server =
        Box::leak(Box::new(Server::new(0, placement, 1 << 32, pages, space, space, shape)));
    let [endpoint, proxy]: &'static [[Endpoint; 1]; 2] = Box::leak(Box::default());
    for either in [&endpoint[0], &proxy[0]] {
        either.cpu.set(cpu);
        either.server.set(Some(server));
    }
    proxy[0].elsewhere.set(Some(&endpoint[0]));
    server.endpoints.set(endpoint);
    server.proxies.set(proxy);
    let threads = Box::leak(Box::new([Thread::new(server, 0, priority)]));
    server.threads.set(threads);
    &threads[0]
}

/// Gives `from` the right to reach the servers of `targets`, as handles 0, 1, …, with badges 100, 101, …
pub fn give_rights(from: &Thread, targets: &[&'static Thread]) {
    let rights: Vec<Right> = targets
        .iter()
        .zip(100..)
        .map(|(target, badge)| Right { endpoint: target.server.endpoint_for(from.cpu.get(), 0), badge })
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
    thread.endpoint.get().receivers.push(thread);
}
