//! Migration of 32-bit servers between small and large spaces: nothing is lost, nothing stays behind.

use abi::address::{PAGE_SIZE, SMALL_BASE};
use abi::call::status;
use abi::plan::{flag, server_flag};
use abi::program::{self, scenario};
use abi::region::working_set_offset_32;
use abi::report::feature;
use inkbed::machine::guest::GuestRun;

use crate::harness::{Place, Server, boot, config, counted, scenario, server};
use crate::migration::assert_every_call_counted_once;
use crate::small::finish_32;

fn migratable(program: &str, place: Place) -> Server {
    server(program, place).with(|plan| plan.flags |= server_flag::MIGRATABLE)
}

/// Runs the servers without PCIDs, and with them where the CPU has them.
fn finish_both(servers: &[Server], flags: u64, vcpus: u32) -> Vec<GuestRun> {
    let mut runs = Vec::new();
    let Some(run) = finish_32(servers, flags, vcpus) else { return runs };
    runs.push(run);
    if has_pcids(servers) {
        runs.extend(finish_32(servers, flags | flag::PCID, vcpus));
    }
    runs
}

/// Whether the CPU has PCIDs: the kernel reports them only if they are asked for.
fn has_pcids(servers: &[Server]) -> bool {
    let mut config = config(servers);
    config.plan_flags = flag::PCID;
    boot(&config).is_some_and(|run| run.features & feature::PCID != 0)
}

#[test]
fn a_counter_keeps_its_count_over_a_thousand_migrations() {
    for place in [Place::Large, Place::Small] {
        let driver = scenario(Place::Large, scenario::MIGRATE_COUNTER, 1000);
        for run in finish_both(&[driver, migratable(program::COUNTER, place)], 0, 1) {
            let migrated = if place == Place::Large { 1000 } else { 999 };
            assert_eq!(run.samples, [1000, migrated], "{place:?}");
            let counted = counted(&run);
            assert_eq!(counted.faults, 0);
            // From large to small the space that has to forget is not loaded.
            assert!(counted.invlpg + counted.tlb_full_flushes >= 500, "moving out flushes everywhere");
        }
    }
}

/// Half of the calls go to a small server: only the other half loads page tables.
#[test]
fn the_page_tables_loaded_follow_the_placement() {
    let driver = scenario(Place::Large, scenario::MIGRATE_COUNTER, 100);
    for run in finish_both(&[driver, migratable(program::COUNTER, Place::Large)], 0, 1) {
        // Turns 0, 2, 4, … and the last READ find it in a space of its own: 51 round trips of two loads.
        assert_eq!(counted(&run).page_table_loads, 102);
    }
}

/// A server that is interrupted anywhere, in its own code, in a stub or at a gate, goes on in the other placement.
#[test]
fn a_busy_server_is_moved_between_two_instructions() {
    let driver = scenario(Place::Large, scenario::MIGRATE_BUSY, 30);
    let spinner = migratable(program::SCENARIO, Place::Large).with(|plan| {
        plan.arguments[scenario::NUMBER] = scenario::SPIN;
        plan.arguments[scenario::PARAMETER] = 1 << 40;
    });
    let caller = migratable(program::SCENARIO, Place::Large).reaching(&[2]).with(|plan| {
        plan.arguments[scenario::NUMBER] = scenario::REGISTERS;
        plan.arguments[scenario::PARAMETER] = 1 << 40;
    });
    for busy in [spinner, caller] {
        for partner in [Place::Small, Place::Large] {
            let servers = [driver.clone(), busy.clone(), server(program::NULL, partner)];
            for run in finish_both(&servers, 0, 1) {
                assert_eq!(run.faults, [], "{partner:?}");
                assert_eq!(run.samples, [30], "{partner:?}");
            }
        }
    }
}

/// Threads call all the while, and the server is moved a thousand times wherever it is in their calls: every call is
/// answered, and once.
#[test]
fn a_counter_counts_every_call_once_while_it_is_moved_a_thousand_times() {
    for (vcpus, turns) in [(1, 1000), (2, 1000)] {
        let driver = scenario(Place::Large, scenario::MIGRATE_UNDER_CALLS, turns)
            .with(|plan| (plan.cpu_count, plan.thread_count) = (vcpus, vcpus.max(2)));
        let counter = migratable(program::COUNTER, Place::Large).with(|plan| plan.first_cpu = vcpus - 1);
        for run in finish_both(&[driver, counter], 0, vcpus) {
            assert_every_call_counted_once(&run, turns, vcpus);
        }
    }
}

/// What has left a slot is out of reach there at once, whatever the TLB held: the reader is a 64-bit program, which no limit
/// stops.
#[test]
fn a_moved_server_is_out_of_reach_where_it_was() {
    let address = SMALL_BASE + working_set_offset_32(1) + 13 * PAGE_SIZE;
    for access in [scenario::MIGRATE_AND_READ, scenario::MIGRATE_AND_WRITE] {
        let driver = scenario(Place::Large, access, address).reaching(&[2]);
        let moved = migratable(program::COUNTER, Place::Large).with(|plan| plan.working_set_pages = 20);
        let servers = [driver, moved, server(program::CRASH, Place::User)];
        for how in [flag::FLUSH_BY_PAGE, flag::FLUSH_FULL] {
            for run in finish_both(&servers, how | flag::MIX_64_BIT, 1) {
                assert_eq!(run.samples, [status::OK, status::PARTNER_DEAD], "scenario {access}, flush {how}");
                assert!(run.faults.iter().all(|fault| fault.fault.server == 2));
            }
        }
    }
}

/// A server has no place where there is no free slot, and stays where it is.
#[test]
fn a_server_without_a_slot_stays_where_it_is() {
    let fill = |_| server(program::NULL, Place::Small).with(|plan| plan.small_slot_mib = 64);
    let driver = scenario(Place::Large, scenario::MIGRATE_COUNTER, 10);
    let counter = migratable(program::COUNTER, Place::Large);
    let servers: Vec<Server> = [driver, counter].into_iter().chain((0..8).map(fill)).collect();
    let Some(run) = finish_32(&servers, 0, 1) else { return };
    assert_eq!(run.samples[0], 10, "it counts on");
    // Out of where it is not is no migration either.
    assert_eq!(run.samples[1], 0);
}

#[test]
fn only_what_makes_sense_is_moved() {
    let driver = scenario(Place::Large, scenario::MIGRATE_REFUSED, 0);
    let servers = [driver, migratable(program::NULL, Place::Small), server(program::NULL, Place::Large)];
    let Some(run) = finish_32(&servers, 0, 1) else { return };
    let expected = [
        status::NOT_PERMITTED,
        status::BAD_ARGUMENT,
        status::NOT_PERMITTED,
        status::BAD_ARGUMENT,
        status::NOT_PERMITTED,
        status::NOT_PERMITTED,
        status::OK,
    ];
    assert_eq!(run.samples, expected);
}
