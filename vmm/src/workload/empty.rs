//! Two clock reads: what is in every sample of the others, too.

use abi::workload::{Arguments, empty};

use super::{Workload, parts};
use crate::case::workload::{Does, Nature};
use crate::case::{Parameters, key::Key, keys};
use crate::system::System;

/// Two clock reads with nothing between them.
pub struct Empty;

static KEYS: &[&Key] = &[&keys::CLIENT];

impl Workload for Empty {
    fn name(&self) -> &'static str {
        "empty"
    }

    fn sentence(&self) -> &'static str {
        "two clock reads with nothing between them"
    }

    fn round_trip(&self) -> &'static str {
        "two clock readings with nothing between them; no server"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["empty_pair"]
    }

    fn keys(&self) -> &'static [&'static Key] {
        KEYS
    }

    fn way(&self) -> &'static str {
        "client"
    }

    fn nature(&self) -> Nature {
        Nature { does: Does::ReadsClock, is_compared: false, ..Nature::USUAL }
    }

    fn system(&self, case: &Parameters) -> System {
        parts::system(self, case)
    }

    fn arguments(&self, _case: &Parameters) -> Arguments {
        empty::Arguments {}.encode()
    }
}
