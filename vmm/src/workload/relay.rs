//! A call through a server in the middle.

use abi::workload::Arguments;

use super::{Workload, call, parts};
use crate::case::{Parameters, key::Key, keys};
use crate::system::System;

/// Client → relay → server and back.
pub struct Relay;

static KEYS: &[&Key] = &[&keys::CLIENT, &keys::RELAY, &keys::SERVER, &keys::WORDS, &keys::SERVER_PROGRAM];

impl Workload for Relay {
    fn name(&self) -> &'static str {
        "relay"
    }

    fn sentence(&self) -> &'static str {
        "client → relay → server and back"
    }

    fn round_trip(&self) -> &'static str {
        "client → relay → server and back"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["round_trip"]
    }

    fn keys(&self) -> &'static [&'static Key] {
        KEYS
    }

    fn way(&self) -> &'static str {
        "client → relay → server"
    }

    fn server_program(&self, case: &Parameters) -> Option<&'static str> {
        Some(call::answering(case))
    }

    fn system(&self, case: &Parameters) -> System {
        let mut system = parts::system(self, case);
        let Some(server) = parts::server(case) else { return system };
        let server = system.add(server);
        let relay = system.add(parts::relay(case.relay, case.groups.relay));
        system.client().may_call = vec![relay.into()];
        system.way = vec![0, relay, server, relay, 0];
        system
    }

    fn arguments(&self, case: &Parameters) -> Arguments {
        call::arguments(case)
    }
}
