//! What the kernel decides by itself: who has proved stable moves in, who faults too often moves out.

use abi::call::status;
use abi::plan::{server_flag, trust};
use abi::program::{self, scenario};
use inkbed::machine::guest::Outcome;

use crate::harness::{
    BOTH_PLACES, Place, Server, boot, call, client, config, counted, finish, finish_config, scenario, server,
};

/// Bit of a page fault's error code: in ring 3.
const IN_RING_3: u64 = 1 << 2;

fn movable(program: &str, place: Place) -> Server {
    server(program, place).with(|plan| {
        plan.flags |= server_flag::MIGRATABLE;
        plan.trust_group = trust::CRITICAL_TRUSTED;
    })
}

/// A server in the kernel that may fault three times: twice it starts again where it was, then in user space, where the
/// next fault is its end. Its callers get an error each time, and answers in between.
#[test]
fn a_server_that_faults_too_often_is_moved_out_and_loses_its_trust() {
    const ALLOWED: u64 = 3;
    const TURNS: u64 = 5;
    let (ok, dead) = (status::OK, status::PARTNER_DEAD);
    let expected =
        [dead, ok, dead, ok, dead, ok, dead, dead, dead, dead, status::NOT_TRUSTED, status::OK, status::OK];
    for driver in BOTH_PLACES {
        for number in [scenario::CRASH_AGAIN, scenario::CRASH_AGAIN_DIRECT] {
            for crash in [server(program::CRASH, Place::Kernel), movable(program::CRASH, Place::Kernel)] {
                let crash = crash.with(|plan| plan.demote_after = ALLOWED as u32);
                let Some(run) = finish(&[scenario(driver, number, TURNS), crash]) else { return };
                assert_eq!(run.samples, expected, "{driver:?}, scenario {number}");
                let counted = counted(&run);
                assert_eq!((counted.faults, counted.restarts, counted.demotions), (ALLOWED + 1, ALLOWED, 1));
                assert_eq!(counted.promotions, 0);
                let rings: Vec<bool> =
                    run.faults.iter().map(|fault| fault.fault.error_code & IN_RING_3 != 0).collect();
                assert_eq!(rings, [false, false, false, true]);
            }
        }
    }
}

/// Without a budget the first fault is the end, and faults in user space are nobody's budget.
#[test]
fn without_a_budget_the_first_fault_is_the_end() {
    let (ok, dead) = (status::OK, status::PARTNER_DEAD);
    for (place, allowed, in_kernel) in
        [(Place::Kernel, 0, ok), (Place::User, 0, status::NOT_TRUSTED), (Place::User, 2, status::NOT_TRUSTED)]
    {
        let crash = server(program::CRASH, place).with(|plan| plan.demote_after = allowed);
        let Some(run) = finish(&[scenario(Place::User, scenario::CRASH_AGAIN, 1), crash]) else { return };
        let again = if in_kernel == ok { status::BAD_ARGUMENT } else { ok };
        assert_eq!(run.samples, [dead, dead, in_kernel, again, ok], "{place:?}");
        assert_eq!((counted(&run).restarts, counted(&run).demotions), (0, 0));
    }
}

/// A server that faults before it waits for its first message uses its budget up and stays dead: it cannot keep the
/// kernel busy for ever.
#[test]
fn a_server_that_cannot_start_uses_its_budget_up() {
    // `pointers` touches its working set before it waits, and has none here.
    let broken = server(program::POINTERS, Place::Kernel).with(|plan| plan.demote_after = 4);
    let Some(run) = finish(&[scenario(Place::User, scenario::COUNT, 0), broken]) else { return };
    assert_eq!(run.samples, [u64::MAX]);
    assert_eq!(run.faults.len(), 5, "four in the kernel, one in user space");
}

/// With the fifth message the first of two servers moves in, and the second one as its partner; the caller notices
/// nothing but that it has become faster. On the fast path and, with long messages, on the slow one.
#[test]
fn a_server_that_has_proved_stable_moves_in_with_its_group() {
    const ROUND_TRIPS: u64 = 10;
    for words in [0, 16] {
        let driver = client(Place::User, call(words), ROUND_TRIPS);
        let proving = |program| movable(program, Place::User).with(|plan| plan.promote_after = 5);
        let last = if words == 0 { program::NULL } else { program::ECHO };
        let servers = [driver, proving(program::RELAY).reaching(&[2]), proving(last)];
        let Some(run) = finish(&servers) else { return };
        let counted = counted(&run);
        assert_eq!(counted.promotions, 1, "the second one has moved with the first one");
        assert!(counted.pages_remapped > 0);
        // Two round trips before it with four loads. In the one in which they move, the fast path has loaded the page table
        // of the first server before it moves, and loads the client's at the end; the slow path moves it first.
        let last_loads = if words == 0 { 2 } else { 0 };
        assert_eq!(counted.page_table_loads, 2 * 4 + last_loads, "{words} words");
        assert_eq!(counted.faults, 0);
    }
}

/// The kernel decides the same of servers that live on another CPU than their callers: the one moves in, the other is moved out.
#[test]
fn servers_on_another_cpu_are_promoted_and_demoted_alike() {
    let (ok, dead) = (status::OK, status::PARTNER_DEAD);
    let on_two_cpus = |servers: &[Server]| {
        let mut config = config(servers);
        config.vcpus = 2;
        finish_config(&config)
    };
    let stable = movable(program::NULL, Place::User)
        .with(|plan| (plan.promote_after, plan.first_cpu, plan.working_set_pages) = (5, 1, 2));
    let Some(run) = on_two_cpus(&[client(Place::User, call(0), 10), stable]) else { return };
    let all = counted(&run);
    assert_eq!((all.promotions, all.faults), (1, 0));
    assert!(all.ipc_remote >= 10 && all.pages_remapped > 0, "{all:?}");

    let crash =
        movable(program::CRASH, Place::Kernel).with(|plan| (plan.demote_after, plan.first_cpu) = (2, 1));
    let driver = scenario(Place::User, scenario::CRASH_AGAIN, 3);
    let Some(run) = on_two_cpus(&[driver, crash]) else { return };
    let all = counted(&run);
    assert_eq!(run.samples, [dead, ok, dead, ok, dead, dead, status::NOT_TRUSTED, ok, ok]);
    assert_eq!((all.faults, all.restarts, all.demotions), (3, 2, 1));
}

/// Trust is given by the plan, not earned by answering.
#[test]
fn a_plan_that_would_promote_the_untrusted_is_refused() {
    for group in [trust::CRITICAL_UNTRUSTED, trust::NONCRITICAL_TRUSTED, trust::NONCRITICAL_UNTRUSTED] {
        let hopeful = movable(program::NULL, Place::User).with(|plan| {
            plan.promote_after = 1;
            plan.trust_group = group;
        });
        let Some(run) = boot(&config(&[client(Place::User, call(0), 1), hopeful])) else { return };
        let Outcome::Refused { message } = &run.outcome else { panic!("{:?}", run.outcome) };
        assert!(message.contains("trust group 1"), "{message}");
    }
}
