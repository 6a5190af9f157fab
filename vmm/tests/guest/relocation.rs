//! Relocation at run time: another address, pointers right, state carried over, or nothing changed.

use abi::call::status;
use abi::plan::{flag, server_flag, trust};
use abi::program::{self, scenario, touch};
use inkbed::machine::guest::Outcome;

use crate::harness::{
    BOTH_PLACES, Place, Server, boot, config, counted, finish, finish_config, scenario, server,
};

fn pointers(group: u32) -> Server {
    server(program::POINTERS, Place::User).with(|plan| {
        plan.trust_group = group;
        plan.working_set_pages = 1;
    })
}

#[test]
fn pointers_are_right_and_state_is_kept_at_every_new_address() {
    const TURNS: u64 = 40;
    for place in BOTH_PLACES {
        for plan_flags in [0, flag::PCID] {
            let mut config =
                config(&[scenario(place, scenario::RELOCATE, TURNS), pointers(trust::CRITICAL_TRUSTED)]);
            config.plan_flags = plan_flags;
            let Some(run) = boot(&config) else { return };
            if matches!(run.outcome, Outcome::Refused { .. }) && plan_flags != 0 {
                continue;
            }
            assert_eq!(run.outcome, Outcome::Finished { status: 0 }, "{:?}", run.faults);
            assert_eq!(run.samples, [TURNS, TURNS, TURNS], "{place:?}");
        }
    }
}

/// No relocation that cannot be done changes anything: the server answers as before.
#[test]
fn a_relocation_that_cannot_be_done_leaves_the_server_where_it_was() {
    let driver = scenario(Place::User, scenario::RELOCATE_REFUSED, 0)
        .reaching(&[1, 2, 3])
        .with(|plan| plan.trust_group = trust::CRITICAL_TRUSTED);
    let busy = server(program::SCENARIO, Place::User).with(|plan| {
        plan.trust_group = trust::CRITICAL_TRUSTED;
        plan.arguments[scenario::NUMBER] = scenario::SPIN;
        plan.arguments[scenario::PARAMETER] = 1 << 40;
    });
    // More than half of the guest's 64 MiB.
    let large = server(program::TOUCH, Place::User).with(|plan| {
        plan.trust_group = trust::CRITICAL_TRUSTED;
        plan.working_set_pages = 9_000;
        plan.arguments[touch::PAGES] = 1;
    });
    let movable = server(program::NULL, Place::User).with(|plan| {
        plan.trust_group = trust::CRITICAL_TRUSTED;
        plan.flags = server_flag::MIGRATABLE;
    });
    let servers = [driver, pointers(trust::NONCRITICAL_TRUSTED), busy, large, movable];
    let Some(run) = finish(&servers) else { return };
    let expected = [
        status::BAD_ARGUMENT,
        status::OK,
        status::BAD_ARGUMENT,
        status::OK,
        status::NOT_TRUSTED,
        status::OK,
        status::BUSY,
        status::EXHAUSTED,
        status::OK,
        status::BUSY,
        status::OK,
        status::NOT_PERMITTED,
        status::NOT_PERMITTED,
    ];
    assert_eq!(run.samples, expected);
}

/// Without a free slot nobody moves in, by relocation or by a start, and nobody is harmed; a slot that is given back is good
/// at once.
#[test]
fn without_a_free_slot_a_server_goes_on_where_it_was() {
    let driver = scenario(Place::User, scenario::SLOTS_TAKEN, 0).reaching(&[1, 2]);
    let servers = [driver, server(program::NULL, Place::Kernel), pointers(trust::CRITICAL_TRUSTED)];
    let mut config = config(&servers);
    config.plan_flags = flag::kernel_slots(1);
    let Some(run) = finish_config(&config) else { return };
    let (ok, exhausted) = (status::OK, status::EXHAUSTED);
    assert_eq!(run.samples, [exhausted, ok, ok, exhausted, ok, ok, ok, ok, ok]);
}

/// A relocation that fails half-way forgets nothing about the region that stays: when that goes later, the TLB forgets as
/// many pages as if nothing had been tried.
#[test]
fn a_relocation_that_failed_leaves_no_page_behind() {
    let invlpg = |relocates: bool| {
        let driver = scenario(Place::User, scenario::STOP_AFTER_RELOCATION, relocates.into());
        let large = server(program::TOUCH, Place::Kernel).with(|plan| plan.working_set_pages = 9_000);
        let mut config = config(&[driver, large]);
        config.plan_flags = flag::FLUSH_BY_PAGE;
        let run = finish_config(&config)?;
        let expected: &[u64] = if relocates { &[status::EXHAUSTED, status::OK] } else { &[status::OK] };
        assert_eq!(run.samples, expected);
        Some(counted(&run).invlpg)
    };
    let Some(untried) = invlpg(false) else { return };
    assert!(untried > 9_000);
    assert_eq!(invlpg(true), Some(untried));
}
