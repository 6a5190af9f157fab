//! The machine model: one file per notion of KVM.
//!
//! [`run()`] boots one guest, described by a [`guest::GuestConfig`], and returns a [`guest::GuestRun`]. The way there:
//! `kernel_image` and `layout` decide what lies where, `vm`, `vcpu` and `cpuid` create it in KVM, `boot` and
//! `page_table` fill guest memory, `threads` runs it with `exit`, `devices` and `measure`, and `outcome`
//! judges with `report` and `last_words` what came of it.
//! A `probe` counts what it likes at the marks; an `observe`r watches a vCPU with the means of `debug`. Neither is known here.
//!
//! The guest is untrusted: what it writes is copied first and then checked, and nothing of it can make the VMM panic,
//! wait for ever or take memory without bound.

pub mod content;
pub mod error;
pub mod guest;

pub(crate) mod boot;
pub(crate) mod boot_image;
pub(crate) mod clock;
pub(crate) mod cpuid;
mod deadline;
pub(crate) mod debug;
mod device_file;
pub(crate) mod devices;
mod exception;
pub(crate) mod exit;
pub(crate) mod host_limits;
mod kernel_image;
mod kick;
pub(crate) mod kvm;
pub(crate) mod last_words;
mod layout;
mod measure;
pub(crate) mod memory;
pub(crate) mod observe;
pub(crate) mod outcome;
pub(crate) mod page_table;
pub(crate) mod pin;
pub(crate) mod plan;
mod printer;
pub(crate) mod probe;
mod record;
pub(crate) mod report;
pub(crate) mod request;
mod run;
pub(crate) mod stages;
mod standstill;
pub(crate) mod stats;
pub(crate) mod stillness;
pub(crate) mod stop;
pub(crate) mod symbolise;
pub(crate) mod threads;
pub(crate) mod vcpu;
pub(crate) mod vm;
pub(crate) mod walk;

#[cfg(test)]
mod tests;

pub use error::MachineError;
pub use pin::allowed_cpus;
pub use run::run;
pub(crate) use run::{run_observed, run_probed};
pub use stop::StopFlag;
