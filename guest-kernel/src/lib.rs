//! inkbed's microkernel: spaces, threads, synchronous IPC, and servers in user space or in the kernel's own.
//!
//! [`arch`] holds everything that knows x86-64. The rest is portable logic, tested on the host:
//!
//! * `start`: from the VMM's [`plan`] to running servers; `load`, [`image`], `region`, `spaces`, [`slot`], [`small_slot`], [`memory`] are
//!   its tools.
//! * [`cpu`], [`schedule`], [`queue`]: who runs, and which space is resident.
//! * [`thread`], [`server`], [`space`], [`endpoint`]: the objects.
//! * [`ipc`], [`message`], [`system_call`], [`death`], [`migrate`], [`partners`], [`flush`], [`lifecycle`]: what happens to them.
//! * [`cause`]: which switches are those of messages, and which are not.
//! * [`trust`]: who may run in the kernel, and what is decided about it without the driver.
//! * [`mailbox`], [`rendezvous`], [`world`], [`placing`]: several CPUs. [`sync`] has their atomics.
//! * [`kernel`], [`mark`], [`report`]: what the VMM is told.
#![cfg_attr(target_os = "none", no_std)]

pub mod arch;
pub mod cause;
pub mod cpu;
pub mod death;
pub mod endpoint;
pub mod flush;
pub mod image;
pub mod ipc;
pub mod kernel;
pub mod lifecycle;
#[cfg(target_os = "none")]
pub mod load;
pub mod mailbox;
pub mod mark;
pub mod memory;
pub mod message;
pub mod migrate;
pub mod notice;
pub mod partners;
pub mod placing;
pub mod plan;
pub mod queue;
#[cfg(target_os = "none")]
pub mod region;
pub mod rendezvous;
pub mod report;
pub mod schedule;
pub mod server;
pub mod slot;
pub mod small_slot;
pub mod space;
#[cfg(target_os = "none")]
pub mod spaces;
#[cfg(target_os = "none")]
pub mod start;
pub mod sync;
pub mod system_call;
#[cfg(test)]
mod testing;
pub mod thread;
pub mod trust;
pub mod world;
