//! The shortest way into the kernel and out again.

use abi::workload::{Arguments, null_system_call};

use super::{Workload, parts};
use crate::case::workload::Nature;
use crate::case::{Parameters, key::Key, keys};
use crate::system::System;

/// The system call that does nothing.
pub struct NullSystemCall;

static KEYS: &[&Key] = &[&keys::CLIENT];

impl Workload for NullSystemCall {
    fn name(&self) -> &'static str {
        "null_system_call"
    }

    fn sentence(&self) -> &'static str {
        "into the kernel and out again"
    }

    fn round_trip(&self) -> &'static str {
        "the system call that does nothing; no server"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["system_call"]
    }

    fn keys(&self) -> &'static [&'static Key] {
        KEYS
    }

    fn way(&self) -> &'static str {
        "client"
    }

    fn nature(&self) -> Nature {
        Nature { is_compared: false, ..Nature::USUAL }
    }

    fn system(&self, case: &Parameters) -> System {
        parts::system(self, case)
    }

    fn arguments(&self, _case: &Parameters) -> Arguments {
        null_system_call::Arguments {}.encode()
    }
}
