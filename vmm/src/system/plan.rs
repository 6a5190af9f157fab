//! From a case to the guest that measures it.

use std::time::Duration;

use abi::plan::{ARGUMENT_COUNT, PlanRight, PlanServer, server_flag};
use abi::program::{client, together};

use super::topology::{Participant, Target, Topology};
use crate::case::Parameters;
use crate::case::parameter::{Gate, Migration, Serving, Transfer};
use crate::case::seconds::Seconds;
use crate::experiment::scheme;
use crate::guest_image::GuestImage;
use crate::machine::guest::{Console, Elf, GuestConfig, Pin};
use crate::machine::pin;
use crate::system::placement::Placement;
use crate::workload::Workload;

/// A case names a program that is not at hand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no program `{program}` among the guest's programs")]
pub struct NoSuchProgram {
    /// Its name.
    pub program: String,
}

/// All programs of a case run at one priority, so that only messages decide who runs.
pub const PRIORITY: u32 = 10;

/// The guest for one launch of a case.
pub fn guest_config(case: &Parameters, image: &GuestImage, pin: &Pin) -> Result<GuestConfig, NoSuchProgram> {
    let topology = Topology::of(case);
    let mut modules = Modules { image, used: Vec::new() };
    let mut servers = Vec::new();
    let mut rights = Vec::new();
    for (index, participant) in topology.participants.iter().enumerate() {
        let first_right = rights.len() as u32;
        rights.extend(participant.may_call.iter().map(|target| right(*target, index)));
        let mut server = plan_server(participant, modules.index_of(participant)?);
        if participant.placement == Placement::Small || participant.moves_to.is_some_and(Placement::is_32_bit)
        {
            server.small_slot_mib = case.slot_bytes.map_or(0, |bytes| (bytes >> 20) as u32);
        }
        server.first_right = first_right;
        server.right_count = participant.may_call.len() as u32;
        server.arguments =
            if index == 0 { client_arguments(case, &topology, pin) } else { server_arguments(participant) };
        if index == 0 {
            server.flags |= server_flag::DRIVER;
            if case.workload == Workload::MigrateUnderLoad {
                server.thread_count = 2;
            }
        } else {
            server.demote_after = case.demote_after.unwrap_or(0);
            server.promote_after = case.promote_after.unwrap_or(0);
        }
        // Only with the flag does a server for 32 bits get a slot to be started in.
        if !case.migration.is_none_or(Migration::is_in_place) && !participant.placement.is_32_bit() {
            server.flags &= !server_flag::MIGRATABLE;
        }
        servers.push(server);
    }
    Ok(GuestConfig {
        kernel: image.kernel.clone(),
        modules: modules.used,
        servers,
        rights,
        plan_flags: case.flush.plan_flag()
            | case.gate.map_or(0, Gate::plan_flag)
            | if case.pcid { abi::plan::flag::PCID } else { 0 }
            | if case.workload.has_time_slices() { 0 } else { abi::plan::flag::NO_TIME_SLICES },
        vcpus: case.vcpus,
        memory_bytes: case.memory_bytes,
        huge_pages: case.huge_pages,
        sample_capacity: case.sample_count(),
        pin: pin.clone(),
        deadline: Some(Duration::from_secs(case.deadline_seconds)),
        console: Console::Capture,
        verbose: false,
    })
}

/// The right of the participant with index `from` to reach `target`.
pub fn right(target: Target, from: usize) -> PlanRight {
    PlanRight { target: target.participant as u32, thread: target.thread, badge: from as u64 }
}

/// Round trips before the first mark of a traced guest: what is done only once is done there.
const TRACE_WARM_UP: u64 = 2;

/// The guest in which so many complete round trips of a case are traced.
pub fn traced_guest_config(
    case: &Parameters,
    round_trips: u64,
    image: &GuestImage,
    pin: &Pin,
) -> Result<GuestConfig, NoSuchProgram> {
    let case = Parameters {
        // The last round trip ends with the second mark, not with a call.
        samples: round_trips + 1,
        seconds: None,
        // Servers that move by themselves have moved by then.
        warm_up: TRACE_WARM_UP.max(case.promote_after.unwrap_or(0).into()),
        ..case.clone()
    };
    let mut config = guest_config(&case, image, pin)?;
    // Of several threads the one on the first CPU, which is followed, makes the first mark, and tells when its own part has ended. What
    // it does behind that is in no trace.
    let several = together::SPIN | together::KEEP_CALLING;
    let together = if case.measuring_threads() == 1 { 0 } else { several };
    for server in config.servers.iter_mut().filter(|server| server.flags & server_flag::DRIVER != 0) {
        server.arguments[client::TOGETHER] = together;
    }
    Ok(config)
}

/// One server of a plan without rights and arguments.
pub fn plan_server(participant: &Participant, module: u32) -> PlanServer {
    let threads = &participant.threads;
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    PlanServer {
        module,
        placement: participant.placement.abi(),
        space: participant.space,
        trust_group: participant.trust_group,
        priority: threads.priority,
        thread_count: threads.count,
        first_cpu: threads.first_cpu,
        cpu_count: threads.cpu_count,
        stack_pages: threads.stack_pages,
        working_set_pages: participant.pages,
        flags: flag(participant.moves_to.is_some(), server_flag::MIGRATABLE)
            | flag(threads.own_endpoints, server_flag::THREAD_ENDPOINTS)
            | flag(threads.rights_per_cpu, server_flag::RIGHTS_PER_CPU),
        ..PlanServer::default()
    }
}

/// Name of the ELF file that holds a program for a placement.
pub fn module_name(program: &str, placement: Placement) -> String {
    let suffix = if placement.is_32_bit() { abi::program::SUFFIX_32 } else { "" };
    format!("{program}{suffix}")
}

/// The modules that a guest gets: only those that it needs.
struct Modules<'a> {
    image: &'a GuestImage,
    used: Vec<Elf>,
}

impl Modules<'_> {
    fn index_of(&mut self, participant: &Participant) -> Result<u32, NoSuchProgram> {
        let program = module_name(&participant.program, participant.placement);
        if let Some(index) = self.used.iter().position(|elf| elf.name == program) {
            return Ok(index as u32);
        }
        let elf = self.image.servers.iter().find(|elf| elf.name == program);
        self.used.push(elf.ok_or(NoSuchProgram { program })?.clone());
        Ok(self.used.len() as u32 - 1)
    }
}

/// How threads that measure on several CPUs begin and end, and whether they then wait for other guests; 0 for one of one guest.
fn together(case: &Parameters, pin: &Pin) -> u64 {
    let bit = |is_set, bit| if is_set { bit } else { 0 };
    // What can be done only once cannot go on, and what faults would fill the report.
    let can_go_on = !case.workload.is_measured_once() && !case.workload.has_fault();
    let guests = bit(can_go_on && case.guests > Some(1), together::UNTIL_ALL_GUESTS);
    if case.measuring_threads() == 1 {
        return guests;
    }
    // Whoever calls a server on another CPU would put its unmeasured calls into that one's counts.
    let stays_on_its_cpu = case.serving != Some(Serving::Central);
    guests | bit(fits_host(case, pin), together::SPIN) | bit(stays_on_its_cpu, together::KEEP_CALLING)
}

/// Whether each vCPU of all guests at once has a CPU of the host for itself.
fn fits_host(case: &Parameters, pin: &Pin) -> bool {
    let cpus = pin::usable_cpus(pin).unwrap_or(0);
    u64::from(case.vcpus) * u64::from(case.guests.unwrap_or(1)) <= cpus as u64
}

fn client_arguments(case: &Parameters, topology: &Topology, pin: &Pin) -> [u64; ARGUMENT_COUNT] {
    let mut arguments = [0; ARGUMENT_COUNT];
    arguments[client::WORKLOAD] = case.workload.abi();
    arguments[client::WARM_UP] = case.warm_up;
    arguments[client::ROUND_TRIPS] = case.samples;
    arguments[client::MEASURE_NS] = case.seconds.map_or(0, Seconds::nanoseconds);
    arguments[client::WORDS] = case.words.unwrap_or(0);
    arguments[client::DIRECT] = u64::from(case.transfer == Transfer::Direct);
    arguments[client::PAGES] = u64::from(case.client_pages.unwrap_or(0));
    arguments[client::MOVED] = match case.workload {
        Workload::Migrate | Workload::MigrateUnderLoad => topology.participants.len() as u64 - 1,
        Workload::Slots => case.servers.unwrap_or(1).into(),
        // The slot of `TARGETS`: those that each of its threads reaches.
        Workload::HandlerCall | Workload::HandlerWakeUp => case.handlers_per_cpu.unwrap_or(1).into(),
        Workload::HandlerFault => case.handlers(),
        _ => case.moved.unwrap_or(0).into(),
    };
    if let Some(fault) = case.fault {
        arguments[client::FAULT] = fault.abi().into();
    }
    arguments[client::TOGETHER] = together(case, pin);
    if let Some((address, expected)) = scheme::target(case) {
        (arguments[client::ADDRESS], arguments[client::EXPECTED]) = (address, expected);
    }
    arguments[client::METHOD] = match (case.workload, case.server) {
        (Workload::Slots | Workload::Faults, Some(placement)) => placement.abi().into(),
        _ => case.migration.map_or(0, Migration::abi),
    };
    arguments
}

fn server_arguments(server: &Participant) -> [u64; ARGUMENT_COUNT] {
    let mut arguments = [0; ARGUMENT_COUNT];
    if [abi::program::TOUCH, abi::program::HUB].contains(&server.program.as_str()) {
        arguments[abi::program::touch::PAGES] = u64::from(server.pages);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::groups::Groups;
    use crate::case::tests::{image, parameters};

    fn config(case: &Parameters) -> GuestConfig {
        guest_config(case, &image(), &Pin::None).unwrap()
    }

    #[test]
    fn a_call_has_a_driver_with_one_right_and_a_server_without() {
        let case = Parameters {
            server: Some(Placement::Kernel),
            server_program: Some("echo".to_owned()),
            words: Some(4),
            ..parameters(Workload::Call)
        };
        let config = config(&case);
        assert_eq!(
            config.modules.iter().map(|elf| elf.name.as_str()).collect::<Vec<_>>(),
            ["client", "echo"]
        );
        let [client, server] = config.servers.as_slice() else { panic!("two servers") };
        assert_eq!((client.flags, client.trust_group, client.placement), (server_flag::DRIVER, 3, 0));
        assert_eq!((server.flags, server.trust_group, server.placement), (0, 1, 1));
        assert_eq!((client.first_right, client.right_count, server.right_count), (0, 1, 0));
        assert_eq!(config.rights[0].target, 1);
        assert_eq!(client.arguments[..5], [2, case.warm_up, case.samples, 4, 0]);
        assert_eq!(config.sample_capacity, case.samples);
        assert_ne!(client.space, server.space);
    }

    #[test]
    fn three_samples_a_round_trip_get_three_times_the_room() {
        let case = Parameters { server: Some(Placement::User), ..parameters(Workload::Directions) };
        let case = Parameters { server_program: Some("clock".to_owned()), ..case };
        assert_eq!(config(&case).sample_capacity, 3 * case.samples);
    }

    #[test]
    fn the_alternating_client_reaches_server_and_other_client() {
        let case = Parameters {
            server: Some(Placement::Kernel),
            server_program: Some("null".to_owned()),
            ..parameters(Workload::Alternate)
        };
        let config = config(&case);
        let targets: Vec<_> = config.rights.iter().map(|right| right.target).collect();
        assert_eq!(targets, [1, 2, 1]);
        assert_eq!((config.servers[2].first_right, config.servers[2].right_count), (2, 1));
        let modules: Vec<_> = config.modules.iter().map(|elf| elf.name.as_str()).collect();
        assert_eq!(modules, ["client", "null", "relay"]);
    }

    #[test]
    fn pages_reach_both_sides_and_pcid_the_plan() {
        let case = Parameters {
            server: Some(Placement::User),
            server_program: Some("touch".to_owned()),
            client_pages: Some(3),
            server_pages: Some(5),
            pcid: true,
            ..parameters(Workload::Touch)
        };
        let config = config(&case);
        assert_eq!(config.plan_flags, abi::plan::flag::PCID | abi::plan::flag::NO_TIME_SLICES);
        assert_eq!((config.servers[0].working_set_pages, config.servers[0].arguments[client::PAGES]), (3, 3));
        assert_eq!((config.servers[1].working_set_pages, config.servers[1].arguments[0]), (5, 5));
    }

    #[test]
    fn a_small_server_is_the_32_bit_file_in_the_slot_that_was_chosen() {
        let case = Parameters {
            client: Placement::Large,
            server: Some(Placement::Small),
            server_program: Some("null".to_owned()),
            slot_bytes: Some(4 << 20),
            gate: Some(Gate::Sysenter),
            ..parameters(Workload::Call)
        };
        let config = config(&case);
        let modules: Vec<_> = config.modules.iter().map(|elf| elf.name.as_str()).collect();
        assert_eq!(modules, ["client-32", "null-32"]);
        let [client, server] = config.servers.as_slice() else { panic!("two servers") };
        assert_eq!((client.placement, client.small_slot_mib), (abi::plan::placement::LARGE, 0));
        assert_eq!((server.placement, server.small_slot_mib), (abi::plan::placement::SMALL, 4));
        assert_eq!(config.plan_flags, abi::plan::flag::GATE_SYSENTER | abi::plan::flag::NO_TIME_SLICES);
        let in_kernel = Parameters { server: Some(Placement::Kernel), slot_bytes: None, ..case };
        let modules: Vec<_> = guest_config(&in_kernel, &image(), &Pin::None)
            .unwrap()
            .modules
            .into_iter()
            .map(|elf| elf.name)
            .collect();
        assert_eq!(modules, ["client-32", "null"], "one file for each width");
    }

    #[test]
    fn trust_groups_reach_the_plan() {
        let groups = Groups { client: Some(4), server: Some(2), ..Groups::default() };
        let case = Parameters { server: Some(Placement::User), groups, ..parameters(Workload::Call) };
        let groups: Vec<u32> = config(&case).servers.iter().map(|server| server.trust_group).collect();
        assert_eq!(groups, [4, 2]);
    }

    #[test]
    fn the_client_is_told_the_transfer_mode() {
        let case = Parameters { server: Some(Placement::Kernel), ..parameters(Workload::Call) };
        assert_eq!(config(&case).servers[0].arguments[client::DIRECT], 0);
        let direct = Parameters { transfer: Transfer::Direct, ..case };
        assert_eq!(config(&direct).servers[0].arguments[client::DIRECT], 1);
    }

    #[test]
    fn policies_reach_the_servers_and_not_the_driver() {
        let chain = Parameters { servers: Some(2), promote_after: Some(7), ..parameters(Workload::Chain) };
        let after: Vec<u32> = config(&chain).servers.iter().map(|server| server.promote_after).collect();
        assert_eq!(after, [0, 7, 7]);
        let faults = Parameters {
            server: Some(Placement::Kernel),
            server_program: Some("crash".to_owned()),
            fault: Some(crate::case::parameter::Fault::Panic),
            demote_after: Some(3),
            ..parameters(Workload::Faults)
        };
        let config = config(&faults);
        assert_eq!(config.servers[0].arguments[client::FAULT], u64::from(abi::program::crash::PANIC));
        assert_eq!((config.servers[0].demote_after, config.servers[1].demote_after), (0, 3));
    }

    #[test]
    fn a_load_is_a_second_thread_of_the_client() {
        let threads = |workload| {
            let servers = config(&Parameters { partners: Some(1), ..parameters(workload) }).servers;
            servers.iter().map(|server| server.thread_count).collect::<Vec<_>>()
        };
        assert_eq!(threads(Workload::Migrate), [1, 1, 1]);
        assert_eq!(threads(Workload::MigrateUnderLoad), [2, 1, 1]);
    }

    #[test]
    fn a_missing_program_is_named() {
        let case = Parameters {
            server: Some(Placement::User),
            server_program: Some("ghost".to_owned()),
            ..parameters(Workload::Call)
        };
        assert_eq!(guest_config(&case, &image(), &Pin::None).unwrap_err().program, "ghost");
    }
}
