//! What it costs to move a server into the kernel and out again.

use abi::workload::{Arguments, migrate};

use super::{Workload, migration};
use crate::case::workload::{CountColumn, Crowd, Moves, Nature, Refused};
use crate::case::{Parameters, key::Key};
use crate::system::System;

/// A server and its partners move into the kernel and out again while a client calls.
pub struct Migrate;

impl Workload for Migrate {
    fn name(&self) -> &'static str {
        "migrate"
    }

    fn sentence(&self) -> &'static str {
        "servers move into the kernel, or a small space, and out again while a client calls"
    }

    fn round_trip(&self) -> &'static str {
        "a call; the servers move into the kernel; a call, and another one; they move out; a call"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["call_in_user", "move_in", "gap_in", "call_in_kernel", "move_out", "gap_out"]
    }

    fn about_samples(&self) -> &'static str {
        "gaps are from the last answer before a move to the first one after it"
    }

    fn keys(&self) -> &'static [&'static Key] {
        migration::KEYS
    }

    fn way(&self) -> &'static str {
        "client"
    }

    fn check(&self, case: &Parameters) -> Result<(), Refused> {
        migration::check(case)
    }

    fn plan_flags(&self, case: &Parameters) -> u64 {
        migration::plan_flags(case)
    }

    fn crowd(&self, case: &Parameters) -> Crowd {
        migration::crowd(case)
    }

    fn nature(&self) -> Nature {
        Nature { moves: Moves::EveryRoundTrip, is_compared: false, ..Nature::USUAL }
    }

    fn system(&self, case: &Parameters) -> System {
        migration::system(self, case)
    }

    fn arguments(&self, case: &Parameters) -> Arguments {
        let (servers, method) = migration::moving(case);
        migrate::Arguments { servers, method }.encode()
    }

    fn columns(&self) -> &'static [CountColumn] {
        &migration::COLUMNS
    }

    /// Servers for 32 bits move between large spaces and small ones, not into the kernel.
    fn label(&self, channel: &'static str, is_32_bit: bool) -> &'static str {
        match channel {
            "call_in_user" if is_32_bit => "call_outside",
            "call_in_kernel" if is_32_bit => "call_inside",
            other => other,
        }
    }
}
