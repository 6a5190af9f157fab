//! The kernel's objects: threads, servers, spaces, endpoints, and the rights that lead to them.

#[allow(unsafe_code)]
pub mod endpoint;
#[allow(unsafe_code)]
pub mod message;
pub mod partners;
pub mod queue;
pub mod server;
pub mod space;
pub mod thread;
pub mod trust;
