//! Two clients of one server: the talk's other case.

use abi::program;
use abi::workload::{Arguments, alternate};

use super::{Workload, parts};
use crate::case::{Parameters, key::Key, keys};
use crate::system::System;

/// The client calls the server, then the server serves another client's space.
pub struct Alternate;

static KEYS: &[&Key] = &[&keys::CLIENT, &keys::SERVER, &keys::OTHER_CLIENT, &keys::SERVER_PROGRAM];

impl Workload for Alternate {
    fn name(&self) -> &'static str {
        "alternate"
    }

    fn sentence(&self) -> &'static str {
        "client A calls the server, then client B does, and A waits for B"
    }

    fn round_trip(&self) -> &'static str {
        "client A calls the server, then a second client B in a space of its own calls the same server while A waits for B"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["round_trip"]
    }

    fn keys(&self) -> &'static [&'static Key] {
        KEYS
    }

    fn way(&self) -> &'static str {
        "A → server ← B"
    }

    fn server_program(&self, _case: &Parameters) -> Option<&'static str> {
        Some(program::NULL)
    }

    fn system(&self, case: &Parameters) -> System {
        let mut system = parts::system(self, case);
        let Some(server) = parts::server(case) else { return system };
        let server = system.add(server);
        // The client calls the server, then the other client, which calls the same server.
        let other = system.add(parts::relay(case.other_client, case.groups.other_client));
        system.client().may_call = vec![server.into(), other.into()];
        system.way = vec![0, server, 0, other, server, other, 0];
        system
    }

    fn arguments(&self, _case: &Parameters) -> Arguments {
        alternate::Arguments::default().encode()
    }
}
