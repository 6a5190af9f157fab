//! Both directions of a call apart.

use abi::program;
use abi::workload::{Arguments, directions};

use super::{Workload, parts};
use crate::case::{Parameters, key::Key, keys};
use crate::system::System;

/// One call and its answer, with a clock reading in the server: both directions apart.
pub struct Directions;

static KEYS: &[&Key] = &[&keys::SAME_SPACE, &keys::CLIENT, &keys::SERVER, &keys::SERVER_PROGRAM];

impl Workload for Directions {
    fn name(&self) -> &'static str {
        "directions"
    }

    fn sentence(&self) -> &'static str {
        "one call, timed in both directions"
    }

    fn round_trip(&self) -> &'static str {
        "the same, with a clock reading in the server (`clock`)"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["round_trip", "client_to_server", "server_to_client"]
    }

    fn keys(&self) -> &'static [&'static Key] {
        KEYS
    }

    fn way(&self) -> &'static str {
        "client → server"
    }

    fn server_program(&self, _case: &Parameters) -> Option<&'static str> {
        Some(program::CLOCK)
    }

    fn system(&self, case: &Parameters) -> System {
        parts::client_and_server(self, case)
    }

    fn arguments(&self, _case: &Parameters) -> Arguments {
        directions::Arguments {}.encode()
    }

    fn label(&self, channel: &'static str, _is_32_bit: bool) -> &'static str {
        match channel {
            "round_trip" => "round trip",
            "client_to_server" => "request",
            "server_to_client" => "reply",
            other => other,
        }
    }
}
