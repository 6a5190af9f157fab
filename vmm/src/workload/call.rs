//! One call: what everything else is made of.

use abi::program;
use abi::workload::{Arguments, call};

use super::{Workload, parts};
use crate::case::parameter::Transfer;
use crate::case::{Parameters, key::Key, keys};
use crate::system::System;

/// One call and its answer.
pub struct Call;

static KEYS: &[&Key] =
    &[&keys::SAME_SPACE, &keys::CLIENT, &keys::SERVER, &keys::TRANSFER, &keys::WORDS, &keys::SERVER_PROGRAM];

impl Workload for Call {
    fn name(&self) -> &'static str {
        "call"
    }

    fn sentence(&self) -> &'static str {
        "one call and its answer"
    }

    fn round_trip(&self) -> &'static str {
        "one call and its answer (`null` for 0 words, else `echo`)"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["round_trip"]
    }

    fn keys(&self) -> &'static [&'static Key] {
        KEYS
    }

    fn way(&self) -> &'static str {
        "client → server"
    }

    fn server_program(&self, case: &Parameters) -> Option<&'static str> {
        Some(answering(case))
    }

    fn system(&self, case: &Parameters) -> System {
        parts::client_and_server(self, case)
    }

    fn arguments(&self, case: &Parameters) -> Arguments {
        arguments(case)
    }
}

/// The program that answers with what it is asked. `null` answers with an empty message, so it can only stand at the end of an
/// empty one.
pub(super) fn answering(case: &Parameters) -> &'static str {
    if case.number(&keys::WORDS) == Some(0) { program::NULL } else { program::ECHO }
}

/// What a client is told that does not know who answers.
pub(super) fn arguments(case: &Parameters) -> Arguments {
    call::Arguments {
        words: case.number(&keys::WORDS).unwrap_or(0),
        direct: u64::from(case.transfer == Transfer::Direct),
    }
    .encode()
}
