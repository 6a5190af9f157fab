//! All requests of a recording, in the order in which a real program made them.

use std::sync::Arc;

use abi::program::{self, process};
use abi::workload::{Arguments, replay};

use super::{Workload, parts};
use crate::case::key::{Absent, Heading, Key, Kind};
use crate::case::value::Value;
use crate::case::workload::{Crowd, Nature};
use crate::case::{Parameters, keys};
use crate::requests::kept;
use crate::requests::mapping::Mapping;
use crate::requests::replay::Replay as Recorded;
use crate::system::placement::Placement;
use crate::system::{Participant, System, Target};

/// What a real program requested of Linux is requested of natural servers.
pub struct Replay;

/// Whose requests.
pub static RECORDING: Key = Key {
    name: "recording",
    kind: Kind::Choice(kept::NAMES),
    absent: Absent::First,
    help: "whose requests: a recording of bench-config/recordings",
    may_be_set: true,
    order: 125,
    in_name: keys::bare(125),
    column: Some(Heading::plain("recording", 600, false)),
    ..Key::USUAL
};

/// Of the servers, how many are in the kernel.
pub static IN_KERNEL: Key = Key {
    name: "in_kernel",
    kind: Kind::Number(0, |_| (Mapping::built_in().servers().len() as i64, "the servers of servers.toml")),
    absent: Absent::Number(0),
    help: "how many servers are in the kernel, those that save most page-table loads first (`inkbed advise`)",
    may_be_set: true,
    order: 126,
    in_name: keys::numbered(126),
    column: Some(Heading::plain("servers\nin kernel", 611, true)),
    ..Key::USUAL
};

static KEYS: &[&Key] = &[&RECORDING, &IN_KERNEL];

/// The recording of a case: a test reads each.
fn recorded(case: &Parameters) -> Arc<Recorded> {
    let index = match RECORDING.get(case) {
        Some(Value::Choice(index)) => index,
        _ => 0,
    };
    kept::replay(kept::NAMES[index]).expect("a test reads every recording that is kept")
}

fn in_kernel(case: &Parameters) -> usize {
    case.number(&IN_KERNEL).unwrap_or(0) as usize
}

impl Workload for Replay {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn sentence(&self) -> &'static str {
        "all requests of a real program, each through the natural servers that would answer it"
    }

    fn round_trip(&self) -> &'static str {
        "all requests of the recording, one after the other in the order of their answers, each through its servers and back; every \
         process of the program is a client in a space of its own"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["replay"]
    }

    fn keys(&self) -> &'static [&'static Key] {
        KEYS
    }

    fn way(&self) -> &'static str {
        "client → servers"
    }

    fn nature(&self) -> Nature {
        Nature { exists_in_32_bits: false, ..Nature::USUAL }
    }

    /// The processes, and a service for each server of servers.toml. Handles lead to the services in their order, then to the processes.
    fn system(&self, case: &Parameters) -> System {
        let recorded = recorded(case);
        let servers = recorded.servers.len();
        let moved = recorded.first(in_kernel(case));
        let table = &recorded.table;
        let mut system = parts::system(self, case);
        for (index, server) in recorded.servers.values().enumerate() {
            let placement = if moved.has(index) { Placement::Kernel } else { Placement::User };
            let mut service = Participant::new(program::SERVICE, placement, index as u32 + 1);
            service.pages = server.pages as u32;
            system.add(service);
        }
        let index_of = |process: usize| if process == 0 { 0 } else { servers + process };
        let handles: Vec<Target> =
            (1..=servers).chain((0..recorded.processes).map(index_of)).map(Target::from).collect();
        for number in 1..recorded.processes {
            let mut process = Participant::new(program::PROCESS, case.client, index_of(number) as u32);
            process.arguments[process::NUMBER] = number as u64;
            process.arguments[process::TABLE_BYTES] = table.len() as u64;
            system.add(process);
        }
        for participant in &mut system.participants {
            let is_service = participant.program == program::SERVICE;
            participant.may_call =
                handles.iter().take(if is_service { servers } else { handles.len() }).copied().collect();
            participant.table = (!is_service).then(|| Arc::clone(table));
        }
        system.way = Vec::new();
        for (process, way) in recorded.requests() {
            let there = way.iter().map(|server| server + 1);
            let back = way.iter().rev().skip(1).map(|server| server + 1);
            system.way.push(index_of(process));
            system.way.extend(there.chain(back));
            system.way.push(index_of(process));
        }
        system.way.push(0);
        system.way.dedup();
        system
    }

    fn arguments(&self, case: &Parameters) -> Arguments {
        replay::Arguments { table_bytes: recorded(case).table.len() as u64 }.encode()
    }

    fn crowd(&self, case: &Parameters) -> Crowd {
        let recorded = recorded(case);
        Crowd { servers: (recorded.servers.len() + recorded.processes) as u64, threads: 0 }
    }

    fn compared_with(&self, case: &mut Parameters) {
        case.settings.remove(&IN_KERNEL);
    }

    fn why_not_traced(&self) -> Option<&'static str> {
        Some("a round trip is a whole recording, of millions of instructions")
    }
}
