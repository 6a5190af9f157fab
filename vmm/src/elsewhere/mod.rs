//! Guests that run elsewhere than in this VMM. Each other machine is one file here.
//!
//! Such a machine gets the guest as a file (`machine::boot_image`) and leaves its memory behind, with the report in it.
//! It has no marks that a VMM could see, and none of KVM's statistics.

pub mod qemu;
