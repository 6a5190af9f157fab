//! inkbed: boots a small L4-style microkernel under KVM and measures what IPC costs by the placement of the server.

#![deny(unsafe_code)]
// A terminal that cannot be written to must not end a run: `cli::output` is where it is written to.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!(
    "inkbed is for Linux on x86-64: KVM runs guests of the host's own processor only, and the guest is for x86-64"
);

mod bounded;
pub mod case;
pub mod cli;
pub mod compare;
pub mod doctor;
pub mod elsewhere;
pub mod experiment;
pub mod guest_image;
pub mod host;
pub mod lens;
pub mod machine;
pub mod merge;
pub mod printable;
pub mod record;
pub mod reduce;
pub mod report;
pub mod requests;
pub mod run;
pub mod selftest;
pub mod statistics;
pub mod system;
pub mod tlb;
pub mod workload;

#[cfg(test)]
mod damage;
