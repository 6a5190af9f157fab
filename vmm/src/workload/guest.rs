//! From a case to the guest that measures it.

use std::time::Duration;

use abi::workload::{Loop, together};

use crate::case::Parameters;
use crate::case::parameter::Gate;
use crate::case::seconds::Seconds;
use crate::guest_image::GuestImage;
use crate::machine::guest::{GuestConfig, Pin};
use crate::machine::pin;
use crate::system::System;
use crate::system::plan::{self, NoSuchProgram, Setup};

/// The guest for one launch of a case.
pub fn guest_config(case: &Parameters, image: &GuestImage, pin: &Pin) -> Result<GuestConfig, NoSuchProgram> {
    config(case.system(), case, together(case, pin), image, pin)
}

/// The same for a case whose system is another one than the case says.
pub(super) fn guest_config_of(
    system: System,
    case: &Parameters,
    image: &GuestImage,
    pin: &Pin,
) -> Result<GuestConfig, NoSuchProgram> {
    config(system, case, together(case, pin), image, pin)
}

fn config(
    mut system: System,
    case: &Parameters,
    together: u64,
    image: &GuestImage,
    pin: &Pin,
) -> Result<GuestConfig, NoSuchProgram> {
    let measure_ns = case.seconds.map_or(0, Seconds::nanoseconds);
    Loop { warm_up: case.warm_up, round_trips: case.samples, together, measure_ns }
        .put(&mut system.client().arguments);
    let is_set = |is_set, flag| if is_set { flag } else { 0 };
    let setup = Setup {
        plan_flags: case.workload.plan_flags(case)
            | case.gate.map_or(0, Gate::plan_flag)
            | is_set(case.pcid, abi::plan::flag::PCID)
            | is_set(!case.workload.nature().has_time_slices, abi::plan::flag::NO_TIME_SLICES),
        vcpus: case.vcpus,
        memory_bytes: case.memory_bytes,
        huge_pages: case.huge_pages,
        slot_bytes: case.slot_bytes.unwrap_or(0),
        sample_capacity: case.sample_count(),
        pin: pin.clone(),
        deadline: Duration::from_secs(case.deadline_seconds),
    };
    plan::guest_config(&system, setup, image)
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
        warm_up: TRACE_WARM_UP.max(case.workload.settles_after(case)),
        ..case.clone()
    };
    // Of several threads the one on the first CPU, which is followed, makes the first mark, and tells when its own part has ended. What
    // it does behind that is in no trace.
    let together = if case.measuring_threads() == 1 { 0 } else { together::SPIN | together::KEEP_CALLING };
    config(case.system(), &case, together, image, pin)
}

/// How threads that measure on several CPUs begin and end, and whether they then wait for other guests; 0 for one of one guest.
fn together(case: &Parameters, pin: &Pin) -> u64 {
    let bit = |is_set, bit| if is_set { bit } else { 0 };
    let guests = bit(case.workload.nature().can_go_on() && case.guests > Some(1), together::UNTIL_ALL_GUESTS);
    if case.measuring_threads() == 1 {
        return guests;
    }
    guests
        | bit(fits_host(case, pin), together::SPIN)
        | bit(case.workload.keeps_calling(case), together::KEEP_CALLING)
}

/// Whether each vCPU of all guests at once has a CPU of the host for itself.
fn fits_host(case: &Parameters, pin: &Pin) -> bool {
    let cpus = pin::usable_cpus(pin).unwrap_or(0);
    u64::from(case.vcpus) * u64::from(case.guests.unwrap_or(1)) <= cpus as u64
}

#[cfg(test)]
mod tests {
    use abi::plan::server_flag;
    use abi::workload::{call, faults, touch};

    use super::*;
    use crate::case::groups::Groups;
    use crate::case::keys;
    use crate::case::parameter::Transfer;
    use crate::case::tests::{image, parameters};
    use crate::system::placement::Placement;
    use crate::workload::migration::PARTNERS;
    use crate::workload::{
        Alternate, Call, Chain, DEMOTE_AFTER, Directions, FAULT, Fault, Faults, Migrate, MigrateUnderLoad,
        PROMOTE_AFTER, Touch, Workload,
    };

    fn config(case: &Parameters) -> GuestConfig {
        guest_config(case, &image(), &Pin::None).unwrap()
    }

    #[test]
    fn a_call_has_a_driver_with_one_right_and_a_server_without() {
        let case = Parameters {
            server: Some(Placement::Kernel),
            server_program: Some("echo".to_owned()),
            ..parameters(&Call)
        }
        .with(&keys::WORDS, 4);
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
        assert_eq!(client.arguments[..7], [call::NUMBER, case.warm_up, case.samples, 0, 0, 4, 0]);
        assert_eq!(config.sample_capacity, case.samples);
        assert_ne!(client.space, server.space);
    }

    #[test]
    fn three_samples_a_round_trip_get_three_times_the_room() {
        let case = Parameters { server: Some(Placement::User), ..parameters(&Directions) };
        let case = Parameters { server_program: Some("clock".to_owned()), ..case };
        assert_eq!(config(&case).sample_capacity, 3 * case.samples);
    }

    #[test]
    fn the_alternating_client_reaches_server_and_other_client() {
        let case = Parameters {
            server: Some(Placement::Kernel),
            server_program: Some("null".to_owned()),
            ..parameters(&Alternate)
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
            pcid: true,
            ..parameters(&Touch)
        }
        .with(&keys::CLIENT_PAGES, 3)
        .with(&keys::SERVER_PAGES, 5);
        let config = config(&case);
        assert_eq!(config.plan_flags, abi::plan::flag::PCID | abi::plan::flag::NO_TIME_SLICES);
        let told = touch::Arguments::decode(&config.servers[0].arguments);
        assert_eq!((config.servers[0].working_set_pages, told.pages), (3, 3));
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
            ..parameters(&Call)
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
        let case = Parameters { server: Some(Placement::User), groups, ..parameters(&Call) };
        let groups: Vec<u32> = config(&case).servers.iter().map(|server| server.trust_group).collect();
        assert_eq!(groups, [4, 2]);
    }

    #[test]
    fn the_client_is_told_the_transfer_mode() {
        let case = Parameters { server: Some(Placement::Kernel), ..parameters(&Call) };
        let told = |case: &Parameters| call::Arguments::decode(&config(case).servers[0].arguments).direct;
        assert_eq!(told(&case), 0);
        let direct = Parameters { transfer: Transfer::Direct, ..case };
        assert_eq!(told(&direct), 1);
    }

    #[test]
    fn policies_reach_the_servers_and_not_the_driver() {
        let chain = parameters(&Chain).with(&keys::SERVERS, 2).with(&PROMOTE_AFTER, 7);
        let after: Vec<u32> = config(&chain).servers.iter().map(|server| server.promote_after).collect();
        assert_eq!(after, [0, 7, 7]);
        let faults = Parameters {
            server: Some(Placement::Kernel),
            server_program: Some("crash".to_owned()),
            ..parameters(&Faults)
        }
        .with(&FAULT, Fault::Panic)
        .with(&DEMOTE_AFTER, 3);
        let config = config(&faults);
        let told = faults::Arguments::decode(&config.servers[0].arguments);
        assert_eq!(told.fault, u64::from(abi::program::crash::PANIC));
        assert_eq!((config.servers[0].demote_after, config.servers[1].demote_after), (0, 3));
    }

    #[test]
    fn a_load_is_a_second_thread_of_the_client() {
        let threads = |workload: &'static dyn Workload| {
            let servers = config(&parameters(workload).with(&PARTNERS, 1)).servers;
            servers.iter().map(|server| server.thread_count).collect::<Vec<_>>()
        };
        assert_eq!(threads(&Migrate), [1, 1, 1]);
        assert_eq!(threads(&MigrateUnderLoad), [2, 1, 1]);
    }

    #[test]
    fn a_missing_program_is_named() {
        let case = Parameters {
            server: Some(Placement::User),
            server_program: Some("ghost".to_owned()),
            ..parameters(&Call)
        };
        assert_eq!(guest_config(&case, &image(), &Pin::None).unwrap_err().program, "ghost");
    }
}
