//! Migration in place: nothing is lost, nothing stays behind, and the policy holds.

use abi::address::{HOME_TOP_ENTRY_FIRST, PAGE_SIZE, top_entry_base};
use abi::call::status;
use abi::plan::{flag, server_flag, trust};
use abi::program::{self, scenario};
use abi::region::WORKING_SET_OFFSET;
use inkbed::machine::guest::{GuestRun, Outcome};

use crate::harness::{BOTH_PLACES, Place, Server, boot, config, counted, finish, scenario, server};

/// A trusted server that may migrate, starting in this place.
fn migratable(program: &str, place: Place) -> Server {
    server(program, place).with(|plan| {
        plan.flags |= server_flag::MIGRATABLE;
        plan.trust_group = trust::CRITICAL_TRUSTED;
    })
}

/// Runs the servers without PCIDs, and with them where the CPU has them.
fn finish_both(servers: &[Server]) -> Vec<GuestRun> {
    finish_on(servers, 0, 1)
}

/// The same with other bits of the plan's flags, on so many CPUs.
fn finish_on(servers: &[Server], flags: u64, vcpus: u32) -> Vec<GuestRun> {
    let mut runs = Vec::new();
    for plan_flags in [flags, flags | flag::PCID] {
        let mut config = config(servers);
        (config.plan_flags, config.vcpus) = (plan_flags, vcpus);
        let Some(run) = boot(&config) else { return runs };
        if !matches!(run.outcome, Outcome::Refused { .. }) || plan_flags & flag::PCID == 0 {
            assert_eq!(run.outcome, Outcome::Finished { status: 0 }, "faults: {:?}", run.faults);
            runs.push(run);
        }
    }
    runs
}

#[test]
fn a_counter_keeps_its_count_over_a_thousand_migrations() {
    for driver_place in BOTH_PLACES {
        let driver = scenario(driver_place, scenario::MIGRATE_COUNTER, 1000);
        for run in finish_both(&[driver, migratable(program::COUNTER, Place::User)]) {
            assert_eq!(run.samples, [1000, 1000], "{driver_place:?}");
            let counted = counted(&run);
            assert_eq!(counted.faults, 0);
            assert!(counted.invlpg + counted.tlb_full_flushes >= 1000, "every migration flushes");
        }
    }
}

/// Half of the calls go to a server in the kernel: with a driver in user space only the other half loads page tables.
#[test]
fn the_page_tables_loaded_follow_the_placement() {
    let driver = scenario(Place::User, scenario::MIGRATE_COUNTER, 100);
    for run in finish_both(&[driver, migratable(program::COUNTER, Place::User)]) {
        // Turns 0, 2, 4, … and the last READ find it in user space: 51 round trips of two loads.
        let counted = counted(&run);
        let of_messages = counted.page_table_loads
            - counted.page_table_loads_by_preemption
            - counted.page_table_loads_by_lifecycle;
        assert_eq!(of_messages, 102);
    }
}

/// A server that is interrupted anywhere, in its own code or in a stub, goes on in the other placement.
#[test]
fn a_busy_server_is_moved_between_two_instructions() {
    for place in BOTH_PLACES {
        let driver = scenario(place, scenario::MIGRATE_BUSY, 30);
        let spinner = migratable(program::SCENARIO, Place::User).with(|plan| {
            plan.arguments[scenario::NUMBER] = scenario::SPIN;
            plan.arguments[scenario::PARAMETER] = 1 << 40;
        });
        let caller = migratable(program::SCENARIO, Place::User).reaching(&[2]).with(|plan| {
            plan.arguments[scenario::NUMBER] = scenario::REGISTERS;
            plan.arguments[scenario::PARAMETER] = 1 << 40;
        });
        for busy in [spinner, caller] {
            for run in finish_both(&[driver.clone(), busy, server(program::NULL, Place::User)]) {
                assert_eq!(run.faults, [], "{place:?}");
                assert_eq!(run.samples, [30], "{place:?}");
            }
        }
    }
}

/// What is in the kernel is out of reach of ring 3, and what has left the kernel is out of reach of ring 0, at once: the
/// last access fails only if the TLB has forgotten the pages, one by one or all at once, be it that of the CPU that moves the
/// server or that of another one.
#[test]
fn a_moved_server_is_out_of_reach_where_it_was() {
    // A page whose offset nobody else uses: in a direct-mapped TLB, as emulators have them, it is not evicted by chance.
    const PAGES: u32 = 20;
    let address = top_entry_base(HOME_TOP_ENTRY_FIRST) + WORKING_SET_OFFSET + 13 * PAGE_SIZE;
    let dead = status::PARTNER_DEAD;
    let readers = [(Place::Kernel, [status::OK, dead]), (Place::User, [dead, dead])];
    let cases = readers.into_iter().flat_map(|reader| {
        [scenario::MIGRATE_AND_READ, scenario::MIGRATE_AND_WRITE]
            .into_iter()
            .flat_map(move |access| [0, 1].map(|cpu| (reader, access, cpu)))
    });
    for ((reader, expected), access, cpu) in cases {
        let driver = scenario(Place::User, access, address).reaching(&[2]);
        let moved = migratable(program::COUNTER, Place::User).with(|plan| plan.working_set_pages = PAGES);
        let reader = server(program::CRASH, reader).with(|plan| plan.first_cpu = cpu);
        let servers = [driver, moved, reader];
        for how in [flag::FLUSH_BY_PAGE, flag::FLUSH_FULL] {
            for run in finish_on(&servers, how, 1 + cpu) {
                assert_eq!(run.samples, expected, "scenario {access}, CPU {cpu}, flush {how}");
                assert!(run.faults.iter().all(|fault| fault.fault.server == 2));
            }
        }
    }
}

/// Threads call all the while, each on a CPU of its own or sharing the one of the driver, which moves the server a thousand
/// times, wherever it is in their calls: every call is answered, and once.
#[test]
fn a_counter_counts_every_call_once_while_it_is_moved_a_thousand_times() {
    // More CPUs than a host has take turns there, and each turn waits for all of them.
    for (vcpus, turns) in [(1, 1000), (2, 1000), (4, 50)] {
        let driver = scenario(Place::User, scenario::MIGRATE_UNDER_CALLS, turns)
            .with(|plan| (plan.cpu_count, plan.thread_count) = (vcpus, vcpus.max(2)));
        let counter = migratable(program::COUNTER, Place::User).with(|plan| plan.first_cpu = vcpus - 1);
        for run in finish_on(&[driver, counter], 0, vcpus) {
            assert_every_call_counted_once(&run, turns, vcpus);
        }
    }
}

/// What the driver of [`scenario::MIGRATE_UNDER_CALLS`] has seen, which has moved the server so often.
pub fn assert_every_call_counted_once(run: &GuestRun, turns: u64, vcpus: u32) {
    let [migrated, count, answered, wrong, failed] = run.samples[..] else { panic!("{:?}", run.samples) };
    assert_eq!((migrated, wrong, failed), (turns, 0, 0), "{vcpus} CPUs");
    assert_eq!(count, answered, "{vcpus} CPUs");
    assert!(answered >= turns, "{vcpus} CPUs");
    assert_eq!(run.faults, []);
}

/// Moving, stopping, starting and ending is the driver's affair, in every placement.
#[test]
fn nobody_but_the_driver_may_do_what_only_it_may() {
    for place in BOTH_PLACES {
        let driver = scenario(Place::User, scenario::PRIVILEGED_CALLS, 0);
        let Some(run) = finish(&[driver, server(program::CRASH, place)]) else { return };
        assert_eq!(run.samples, [9, 9], "{place:?}: refused, of so many");
        assert_eq!(counted(&run).threads_ended, 0);
    }
}

/// A chain of servers moves in together: one pause, one flush decision, and no page-table loads behind it.
#[test]
fn a_group_moves_in_and_no_tlb_has_anything_to_forget() {
    let driver = scenario(Place::User, scenario::MIGRATE_GROUP, 0);
    let first = migratable(program::RELAY, Place::User).reaching(&[2]);
    let servers = [driver, first, migratable(program::ECHO, Place::User)];
    for run in finish_both(&servers) {
        let [status, moved, pages, invlpg, full_flushes, last] = run.samples[..] else {
            panic!("{:?}", run.samples)
        };
        assert_eq!((status, moved, last), (status::OK, 2, status::OK));
        assert!(pages > 0);
        // Neither server's space is loaded while the driver moves them.
        assert_eq!((invlpg, full_flushes), (0, 0));
    }
}

#[test]
fn an_untrusted_partner_stays_where_it_is() {
    let driver = scenario(Place::User, scenario::MIGRATE_GROUP, 0);
    let first = migratable(program::RELAY, Place::User).reaching(&[2]);
    let second =
        migratable(program::ECHO, Place::User).with(|plan| plan.trust_group = trust::NONCRITICAL_TRUSTED);
    for run in finish_both(&[driver, first, second]) {
        assert_eq!((run.samples[0], run.samples[1]), (status::OK, 1));
    }
}

#[test]
fn only_what_the_policy_allows_is_moved() {
    let driver = scenario(Place::User, scenario::MIGRATE_REFUSED, 0);
    let servers = [driver, migratable(program::NULL, Place::Kernel), server(program::NULL, Place::User)];
    let Some(run) = finish(&servers) else { return };
    let expected = [
        status::NOT_PERMITTED,
        status::BAD_ARGUMENT,
        status::NOT_PERMITTED,
        status::BAD_ARGUMENT,
        status::BAD_ARGUMENT,
        status::OK,
        status::NOT_TRUSTED,
    ];
    assert_eq!(run.samples, expected);
}
