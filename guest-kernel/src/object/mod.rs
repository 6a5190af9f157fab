//! The kernel's objects: threads, servers, spaces, endpoints, and the rights that lead to them.

pub mod endpoint;
pub mod message;
pub mod partners;
pub mod queue;
pub mod server;
pub mod space;
pub mod thread;
pub mod trust;
