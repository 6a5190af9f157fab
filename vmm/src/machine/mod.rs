//! The machine model: one file per notion of KVM.

pub mod guest;
