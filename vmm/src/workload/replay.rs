//! All requests of a recording, in the order in which a real program made them.

use std::sync::Arc;

use abi::address::PAGE_SIZE;
use abi::program::{self, process};
use abi::workload::{Arguments, replay};

use super::{Workload, guest, parts};
use crate::case::key::{Absent, Heading, InName, Key, Kind};
use crate::case::value::Value;
use crate::case::workload::{CountColumn, Crowd, Figure, Nature};
use crate::case::{Parameters, keys};
use crate::guest_image::GuestImage;
use crate::machine::guest::{GuestConfig, Pin};
use crate::requests::kept;
use crate::requests::known::{self, Recording};
use crate::requests::mapping::Mapping;
use crate::requests::predict::Placement as InKernel;
use crate::requests::replay::Replay as Recorded;
use crate::system::placement::Placement;
use crate::system::plan::NoSuchProgram;
use crate::system::{Participant, System, Target};

/// What a real program requested of Linux is requested of natural servers.
pub struct Replay;

/// Whose requests.
pub static RECORDING: Key = Key {
    name: "recording",
    kind: Kind::Recording,
    absent: Absent::Of(|_| known::recorded(kept::NAMES[0]).map(Value::Recording)),
    if_absent: "`\"gcc\"`",
    help: "whose requests: a recording of bench-config/recordings by its name, or a file that `inkbed record` wrote by its path, which \
           begins at the folder of this file",
    may_be_set: true,
    order: 125,
    in_name: Some(InName { order: 125, text: |_, case| Some(recording(case)?.name().to_owned()) }),
    column: Some(Heading { cell: |_, case| name(case), ..Heading::plain("recording", 600, false) }),
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

static COLUMNS: &[CountColumn] = &[
    CountColumn::early("saved", Figure::LoadsSaved),
    CountColumn::early("requests", Figure::Requests),
    CountColumn::early("loads per\nrequest", Figure::LoadsPerRequest),
];

/// Memory for all the servers and processes that a replay has room for, without their pages.
const MEMORY_BYTES: u64 = 128 << 20;

/// No KVM is slower, by far: where ring 0 is emulated, there are some thousand.
const MESSAGES_PER_SECOND: u64 = 200;

/// The recording of a case that replays one.
pub fn recording(case: &Parameters) -> Option<&'static Recording> {
    if !case.workload.has(&RECORDING) {
        return None;
    }
    match RECORDING.get(case) {
        Some(Value::Recording(recording)) => Some(recording),
        _ => known::recorded(kept::NAMES[0]),
    }
}

fn name(case: &Parameters) -> String {
    recording(case).map_or(String::new(), |recording| recording.name().to_owned())
}

/// What a guest of the case replays. Experiments read a file before they name it in a case, and no guest is made for a case of a record.
fn recorded(case: &Parameters) -> Arc<Recorded> {
    recording(case).and_then(Recording::replay).expect("the recording of a case that is run has been read")
}

fn in_kernel(case: &Parameters) -> usize {
    case.number(&IN_KERNEL).unwrap_or(0) as usize
}

fn arguments(recorded: &Recorded) -> Arguments {
    replay::Arguments { table_bytes: recorded.table.len() as u64 }.encode()
}

/// The processes, and a service for each server of servers.toml. Handles lead to the services in their order, then to the processes.
fn system(recorded: &Recorded, moved: InKernel, case: &Parameters) -> System {
    let servers = recorded.servers.len();
    let table = &recorded.table;
    let mut system = parts::system(&Replay, case);
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

/// A guest that replays the recording twice, with these servers in the kernel, and measures the second time.
pub fn replay_config(
    recorded: &Recorded,
    moved: InKernel,
    image: &GuestImage,
) -> Result<GuestConfig, NoSuchProgram> {
    let pages: u64 = recorded.servers.values().map(|server| server.pages).sum();
    let case = Parameters {
        warm_up: 1,
        samples: 1,
        memory_bytes: MEMORY_BYTES + (pages * PAGE_SIZE).next_multiple_of(1 << 20),
        deadline_seconds: 60 + recorded.sequence.messages() / MESSAGES_PER_SECOND,
        ..Parameters::plain(&Replay)
    };
    let mut system = system(recorded, moved, &case);
    system.client().arguments = arguments(recorded);
    guest::guest_config_of(system, &case, image, &Pin::None)
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

    fn system(&self, case: &Parameters) -> System {
        let recorded = recorded(case);
        system(&recorded, recorded.first(in_kernel(case)), case)
    }

    fn arguments(&self, case: &Parameters) -> Arguments {
        arguments(&recorded(case))
    }

    fn crowd(&self, case: &Parameters) -> Crowd {
        let recorded = recorded(case);
        Crowd { servers: (recorded.servers.len() + recorded.processes) as u64, threads: 0 }
    }

    fn compared_with(&self, case: &mut Parameters) {
        IN_KERNEL.set(case, Value::Number(0));
    }

    fn requests(&self, case: &Parameters) -> Option<u64> {
        Some(recorded(case).sequence.requests)
    }

    fn columns(&self) -> &'static [CountColumn] {
        COLUMNS
    }

    fn why_not_traced(&self) -> Option<&'static str> {
        Some("a round trip is a whole recording, of millions of instructions")
    }
}
