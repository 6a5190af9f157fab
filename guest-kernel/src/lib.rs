//! inkbed's microkernel: spaces, threads, synchronous IPC, and servers in user space or in the kernel's own.
//!
//! [`arch`] holds everything that knows x86-64. The rest is portable logic, tested on the host:
//!
//! * [`boot`]: from the VMM's plan to running servers.
//! * [`object`]: threads, servers, spaces, endpoints.
//! * [`cpu`]: who runs, which space is resident, and why the kernel switches.
//! * [`ipc`], [`system_call`]: what threads ask for.
//! * [`lifecycle`]: servers that start, stop, end and move, and who is trusted to run in the kernel.
//! * [`smp`], [`sync`]: several CPUs.
//! * [`memory`]: frames, kernel objects, slots.
//! * [`measure`]: what the VMM is told.
//!
//! Unsafe code is in [`arch`], and in the modules outside of it whose declarations allow it.
#![cfg_attr(target_os = "none", no_std)]
#![deny(unsafe_code)]

pub mod arch;
pub mod boot;
pub mod cpu;
pub mod ipc;
pub mod lifecycle;
pub mod measure;
pub mod memory;
pub mod object;
pub mod sched;
pub mod smp;
pub mod sync;
pub mod system_call;
#[cfg(test)]
#[allow(unsafe_code)]
mod testing;
