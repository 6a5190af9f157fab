//! Tests that need several parts of the machine model, but no KVM.
