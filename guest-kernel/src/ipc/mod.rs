//! Synchronous IPC.
//!
//! [`fast`] is what a call and its reply take when nothing stands in the way; [`slow`] is everything on one CPU, readable;
//! [`remote`] is the way to other CPUs. All keep the same invariants:
//!
//! * A thread in state `Receiving` is in the receivers' queue of its own endpoint and owes nobody a reply.
//! * A thread in state `Calling` or `Sending` is in the senders' queue of exactly one endpoint.
//! * `client.state == AwaitingReply` and `client.partner == server` exactly when `server.caller == client`, or, if they run
//!   on two CPUs, `server.remote_caller == client`.
//! * An endpoint that has receivers has no senders, and no notification bits.
//!
//! Nothing on the slow path and between CPUs decides who runs: each operation returns what that depends on ([`Next`]).

pub mod fast;
pub mod received;
pub mod remote;
pub mod slow;

use crate::object::thread::Thread;

/// Who may run after a system call.
#[derive(Clone, Copy)]
pub enum Next {
    /// The thread that made the call, unless it waits now or a thread of higher priority is ready.
    Caller,
    /// If the caller waits now: its partner, which has just got a message and is ready, before others of its priority.
    Partner(&'static Thread),
    /// Whoever is ready. The caller is out of reach.
    Departed,
}
