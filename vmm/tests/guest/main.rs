//! The guest test suite: boots the embedded kernel and servers and asserts on typed results.
//!
//! The same binary runs on the host's KVM by `cargo test`, on kvm_amd inside QEMU and on kvm_intel inside Bochs by
//! `.ci/nested`. Without `/dev/kvm` every test prints why it is skipped; `INKBED_REQUIRE_KVM=1` makes that a failure.
//! `INKBED_REQUIRE_FEATURES=pcid,smep,…` does the same for features of the guest's CPU.

mod boot_length;
mod crowd;
mod direct;
mod faults;
mod features;
mod flags;
mod flush;
mod harness;
mod hostile_servers;
#[path = "../support/kvm.rs"]
mod kvm;
mod lifecycle;
#[path = "../support/long.rs"]
mod long;
mod messages;
mod migration;
mod page_table_loads;
mod path_length;
mod pmu;
mod preemption;
mod raw;
mod relocation;
mod replay;
mod scheduling;
mod small;
mod small_migration;
mod smp;
mod start;
mod steal_time;
mod stepping;
mod stress;
mod trace;
mod trust;
