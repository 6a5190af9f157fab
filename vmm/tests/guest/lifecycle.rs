//! Servers that stop and start again: nothing leaks, nobody hangs, nothing stays behind.

use std::time::Duration;

use abi::address::{PAGE_SIZE, REGION_SIZE, SLOT_BASE};
use abi::call::status;
use abi::plan::{flag, placement, server_flag, trust};
use abi::program::{self, scenario};
use abi::region::WORKING_SET_OFFSET;
use abi::workload::{Loop, slots};
use inkbed::machine::guest::Outcome;

use crate::harness::{Place, Server, boot, client, config, counted, finish, finish_config, scenario, server};

/// Cycles: each takes some ten frames, so that 64 MiB would be gone after 1,600 if they leaked.
const CYCLES: u64 = 10_000;
/// The same where ring 0 is emulated and a cycle takes 5 ms: still more than memory would last.
const CYCLES_EMULATED: u64 = 2_000;

fn trusted(program: &str, place: Place) -> Server {
    server(program, place).with(|plan| plan.trust_group = trust::CRITICAL_TRUSTED)
}

#[test]
fn ten_thousand_restarts_leak_neither_frames_nor_slots() {
    let servers =
        |cycles| [scenario(Place::User, scenario::RESTART, cycles), trusted(program::COUNTER, Place::User)];
    let Some(first) = finish(&servers(2)) else { return };
    let is_emulated = first.flush.source == abi::flush::source::RING_0_EMULATED;
    let cycles = if is_emulated { CYCLES_EMULATED } else { CYCLES };
    let servers = servers(cycles);
    for plan_flags in [0, flag::PCID] {
        let mut config = config(&servers);
        // One slot: if a stop did not give it back, the next start would fail.
        config.plan_flags = plan_flags | flag::kernel_slots(1);
        let Some(run) = boot(&config) else { return };
        if matches!(run.outcome, Outcome::Refused { .. }) && plan_flags != 0 {
            continue;
        }
        assert_eq!(run.outcome, Outcome::Finished { status: 0 }, "{:?}", run.faults);
        let [first_kernel, first_user, last_kernel, last_user, right, count] = run.samples[..] else {
            panic!("{:?}", run.samples)
        };
        assert_eq!((last_kernel, last_user), (first_kernel, first_user), "frames in use");
        assert_eq!((right, count), (cycles, 0));
        let counted = counted(&run);
        assert_eq!(counted.frames_taken, counted.frames_given_back);
        assert_eq!(run.faults, [], "a stop is no fault");
    }
}

#[test]
fn stops_and_starts_that_make_no_sense_are_refused() {
    let servers = [scenario(Place::User, scenario::RESTART_REFUSED, 0), server(program::NULL, Place::User)];
    let Some(run) = finish(&servers) else { return };
    let expected = [
        status::BAD_ARGUMENT,
        status::NOT_PERMITTED,
        status::BAD_ARGUMENT,
        status::BAD_ARGUMENT,
        status::OK,
        status::PARTNER_DEAD,
        status::NOT_TRUSTED,
        status::OK,
        status::OK,
    ];
    assert_eq!(run.samples, expected);
}

/// Migrations in place and at other addresses, stops and starts, as often as asked for: all is there again after each turn.
/// Frames are counted, page tables of new spaces (and so new PCIDs) among them; slots there are no more than one.
fn leaks_nothing(turns: u64) {
    let movable = trusted(program::COUNTER, Place::User).with(|plan| plan.flags = server_flag::MIGRATABLE);
    let relocated = trusted(program::POINTERS, Place::User).with(|plan| plan.working_set_pages = 1);
    for plan_flags in [0, flag::PCID] {
        let mut config =
            config(&[scenario(Place::User, scenario::LEAK, turns), movable.clone(), relocated.clone()]);
        config.plan_flags = plan_flags | flag::kernel_slots(1);
        // Ten thousand turns take 5 minutes on a KVM that emulates ring 0.
        config.deadline = Some(Duration::from_secs(if turns <= 200 { 300 } else { 3_000 }));
        let Some(run) = boot(&config) else { return };
        if matches!(run.outcome, Outcome::Refused { .. }) && plan_flags != 0 {
            continue;
        }
        assert_eq!(run.outcome, Outcome::Finished { status: 0 }, "{:?}", run.faults);
        let [first, last, right] = run.samples[..] else { panic!("{:?}", run.samples) };
        assert_eq!((last, right), (first, turns), "frames in use, turns in which all was done");
        assert_eq!(run.faults, []);
    }
}

#[test]
fn migrations_and_restarts_leak_nothing() {
    leaks_nothing(200);
}

#[test]
#[ignore = "takes minutes where ring 0 is emulated"]
fn ten_thousand_migrations_and_restarts_leak_nothing() {
    leaks_nothing(10_000);
}

/// What a stopped server had is out of reach at once, for the kernel's servers on all CPUs and for those of its own space.
#[test]
fn a_stopped_server_is_out_of_reach() {
    const PAGES: u32 = 20;
    let page = WORKING_SET_OFFSET + 13 * PAGE_SIZE;
    // The first slot, and the first region of a space.
    for (place, base) in [(Place::Kernel, SLOT_BASE), (Place::User, REGION_SIZE)] {
        for cpu in [0, 1] {
            for how in [flag::FLUSH_BY_PAGE, flag::FLUSH_FULL] {
                // A driver in the kernel leaves the space of the two resident.
                let driver = scenario(Place::Kernel, scenario::STOP_AND_READ, base + page).reaching(&[2]);
                let in_space = |server: Server| server.with(|plan| plan.space = 1);
                let stopped =
                    in_space(trusted(program::COUNTER, place)).with(|plan| plan.working_set_pages = PAGES);
                let reader = in_space(server(program::CRASH, place)).with(|plan| plan.first_cpu = cpu);
                let mut config = config(&if place == Place::Kernel {
                    [driver.with(|plan| plan.placement = placement::USER), stopped, reader]
                } else {
                    [driver, stopped, reader]
                });
                (config.plan_flags, config.vcpus) = (how, 1 + cpu);
                let Some(run) = finish_config(&config) else { return };
                let expected = [status::OK, status::OK, status::PARTNER_DEAD];
                assert_eq!(run.samples, expected, "{place:?}, CPU {cpu}, flush {how}");
            }
        }
    }
}

/// A server with a home that starts in another placement than before hangs by another table in its own space, which may be
/// resident: the TLB forgets the way by the old one, beside what stopping has it forget. Where it was before, nothing hangs anew.
#[test]
fn a_start_in_another_placement_has_the_tlb_forget_the_way_there() {
    const TURNS: u64 = 10;
    for (flags, flushes_a_turn) in [(server_flag::MIGRATABLE, 2), (0, 1)] {
        // The driver in the kernel leaves the server's space resident.
        let driver = scenario(Place::Kernel, scenario::RESTART, TURNS);
        let counter = trusted(program::COUNTER, Place::User).with(|plan| plan.flags = flags);
        let mut config = config(&[driver, counter]);
        config.plan_flags = flag::FLUSH_FULL;
        let Some(run) = finish_config(&config) else { return };
        let counted = counted(&run);
        let alone = counted.tlb_full_flushes - counted.page_table_loads;
        assert_eq!(alone, flushes_a_turn * TURNS, "{flags}");
    }
}

#[test]
fn more_servers_than_slots_are_refused_with_the_reason() {
    let mut servers = vec![scenario(Place::User, scenario::RIGHTS, 0)];
    servers.extend([(); 3].map(|()| server(program::NULL, Place::Kernel)));
    let mut config = config(&servers);
    config.plan_flags = flag::kernel_slots(3);
    let Some(_) = finish_config(&config) else { return };
    config.plan_flags = flag::kernel_slots(2);
    let Some(run) = boot(&config) else { return };
    let Outcome::Refused { message } = &run.outcome else { panic!("{:?}", run.outcome) };
    assert!(
        message.contains("server 3") && message.contains("all slots of the kernel are taken"),
        "{message}"
    );
}

/// More than a thousand servers in the kernel at once, every one of them stopped, started and called.
#[test]
fn more_than_a_thousand_servers_live_in_the_kernel_at_once() {
    const COUNT: u64 = 1_030;
    let targets: Vec<u32> = (1..=COUNT as u32).collect();
    let arguments =
        slots::Arguments { servers: COUNT, placement: abi::plan::placement::KERNEL.into() }.encode();
    let driver = client(Place::User, arguments, COUNT).reaching(&targets).with(|plan| {
        Loop { round_trips: COUNT, ..Loop::default() }.put(&mut plan.arguments);
    });
    let mut servers = vec![driver];
    servers.extend((0..COUNT).map(|_| server(program::NULL, Place::Kernel)));
    let mut config = config(&servers);
    config.memory_bytes = 128 << 20;
    config.sample_capacity = 4 * COUNT;
    let Some(run) = finish_config(&config) else { return };
    let counted = counted(&run);
    assert_eq!(counted.page_table_loads, 0);
    assert_eq!(counted.frames_taken, counted.frames_given_back);
    assert_eq!(counted.frames_taken % COUNT, 0, "each server takes the same");
}
