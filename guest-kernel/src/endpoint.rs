//! Endpoints, where the threads of a server receive, and the rights that lead to them.

use core::cell::Cell;

use crate::queue::Queue;

/// Where messages to one server arrive. At most one of the two queues holds threads.
#[derive(Default)]
pub struct Endpoint {
    /// Threads of the server that wait for a message. Last in, first out: the one whose stack is still in the cache.
    pub receivers: Queue,
    /// Threads that wait for the server to take their message. First in, first out.
    pub senders: Queue,
    /// Notification bits that no receiver has seen yet.
    pub notification: Cell<u64>,
    /// Whether the server is dead. It has no receivers then.
    pub dead: Cell<bool>,
}

/// The right to reach one server. A program names it by its index in its server's rights.
#[derive(Clone, Copy)]
pub struct Right {
    /// Where messages go.
    pub endpoint: &'static Endpoint,
    /// What the receiver sees as the sender.
    pub badge: u64,
}
