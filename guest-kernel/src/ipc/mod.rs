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

pub mod fast;
pub mod remote;
pub mod slow;

#[cfg(test)]
mod tests;
