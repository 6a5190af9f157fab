//! Servers that come and go: what it costs to find a place for one.

use abi::address::SLOT_COUNT;
use abi::program;
use abi::workload::{Arguments, slots};

use super::{Workload, parts};
use crate::case::key::{Absent, Key, Kind};
use crate::case::workload::{CountColumn, Crowd, Figure};
use crate::case::{Parameters, keys};
use crate::system::{Participant, System, Target};

/// One of many servers is stopped, started again and called.
pub struct Slots;

/// Servers that there are at once.
static SERVERS: Key = Key {
    kind: Kind::Number(1, |_| (SLOT_COUNT as i64, "the slots of the kernel")),
    absent: Absent::Number(1),
    help: "servers that exist at once",
    ..keys::SERVERS
};

static KEYS: &[&Key] = &[&keys::CLIENT, &keys::SERVER, &SERVERS, &keys::SERVER_PROGRAM];

fn servers(case: &Parameters) -> u64 {
    case.number(&SERVERS).unwrap_or(1)
}

impl Workload for Slots {
    fn name(&self) -> &'static str {
        "slots"
    }

    fn sentence(&self) -> &'static str {
        "one of many servers is stopped, started again and called"
    }

    fn round_trip(&self) -> &'static str {
        "the next one of the servers is stopped, started again in a fresh slot or region, and called twice"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["stop", "start", "first_call", "call"]
    }

    fn keys(&self) -> &'static [&'static Key] {
        KEYS
    }

    fn way(&self) -> &'static str {
        "client → server"
    }

    fn server_program(&self, _case: &Parameters) -> Option<&'static str> {
        Some(program::NULL)
    }

    fn system(&self, case: &Parameters) -> System {
        let mut system = parts::system(self, case);
        let Some(server) = parts::server(case) else { return system };
        let servers = servers(case) as u32;
        system.participants.extend((1..=servers).map(|space| Participant {
            space: if space == 1 { server.space } else { space },
            ..server.clone()
        }));
        system.client().may_call = (1..=servers as usize).map(Target::from).collect();
        system.way = vec![0, 1, 0, 1, 0];
        system
    }

    fn arguments(&self, case: &Parameters) -> Arguments {
        let placement = case.server.map_or(0, |placement| placement.number()).into();
        slots::Arguments { servers: servers(case), placement }.encode()
    }

    fn crowd(&self, case: &Parameters) -> Crowd {
        Crowd { servers: servers(case), threads: 0 }
    }

    fn columns(&self) -> &'static [CountColumn] {
        static COLUMNS: [CountColumn; 1] =
            [CountColumn::early("frames\ntaken", Figure::PerRoundTrip("frames_taken"))];
        &COLUMNS
    }
}
