//! Tests of the causes: whatever the timer does, messages take what they take without it.

use abi::call::{Tag, number, status};
use abi::report::Fault;
use proptest::prelude::*;

use super::*;
use crate::cpu::kernel::Settings;
use crate::ipc::fast;
use crate::system_call;
use crate::testing::{cpu_running, cpu_running_in, give_rights, settings, thread, wait};

const EMPTY: Tag = Tag(0);

/// A system call of the thread that runs.
fn call(cpu: &'static Cpu, number: u32) {
    let current = cpu.current().unwrap();
    let exit = match number {
        number::CALL => fast::call(0, EMPTY, current, cpu),
        number::REPLY_AND_WAIT => fast::reply_and_wait(0, EMPTY, current, cpu),
        _ => fast::FastExit { next: None, badge: 0 },
    };
    if exit.next.is_none() {
        current.context.rdi.set(0);
        current.context.rsi.set(0);
        system_call::handle(cpu, current, number);
    }
}

fn time_slice_over(cpu: &'static Cpu) {
    super::time_slice_over(cpu, cpu.current().unwrap());
}

fn runs(cpu: &Cpu, thread: &Thread) -> bool {
    cpu.is_current(thread)
}

/// Loads by messages, and by preemption.
fn loads(cpu: &Cpu) -> [u64; 2] {
    [cpu.counters().by_messages().loads, cpu.counters().by_preemption.get().loads]
}

/// A client that runs, and a server that has not run yet: as after START.
fn client_and_new_server() -> (&'static Cpu, &'static Thread, &'static Thread) {
    let (client, server) = (thread(), thread());
    give_rights(client, &[server]);
    let cpu = cpu_running(client);
    cpu.ready().push_back(server);
    (cpu, client, server)
}

#[test]
fn without_a_timer_all_loads_are_those_of_messages() {
    let (cpu, client, _) = client_and_new_server();
    call(cpu, number::CALL);
    call(cpu, number::WAIT);
    call(cpu, number::REPLY_AND_WAIT);
    assert!(runs(cpu, client));
    assert_eq!(loads(cpu), [2, 0]);
    assert_eq!(cpu.counters().snapshot().preemptions, 0);
}

#[test]
fn the_way_back_from_a_thread_that_only_ran_on_a_borrowed_turn_is_preemption() {
    let (cpu, client, server) = client_and_new_server();
    time_slice_over(cpu);
    assert!(runs(cpu, server));
    call(cpu, number::WAIT);
    assert!(runs(cpu, client), "the turn has come back");
    assert_eq!(loads(cpu), [0, 2]);
    call(cpu, number::CALL);
    call(cpu, number::REPLY_AND_WAIT);
    assert_eq!(loads(cpu), [2, 2]);
    let counters = cpu.counters().snapshot();
    assert_eq!((counters.preemptions, counters.context_switches_by_preemption), (1, 2));
    assert_eq!((counters.context_switches, counters.page_table_loads), (4, 4));
}

#[test]
fn a_borrower_whose_own_slice_ends_gives_the_turn_back() {
    let (cpu, client, server) = client_and_new_server();
    time_slice_over(cpu);
    time_slice_over(cpu);
    assert!(runs(cpu, client));
    call(cpu, number::CALL);
    assert!(runs(cpu, server), "because of the call, not because of the timer");
    call(cpu, number::WAIT);
    call(cpu, number::REPLY_AND_WAIT);
    assert_eq!(loads(cpu), [2, 2]);
}

#[test]
fn a_message_that_a_borrower_hands_over_is_a_message() {
    let (one, other, server) = (thread(), thread(), thread());
    give_rights(other, &[server]);
    wait(server);
    let cpu = cpu_running(one);
    cpu.ready().push_back(other);
    time_slice_over(cpu);
    assert!(runs(cpu, other));
    cpu.ready().set_time_slice(false);
    call(cpu, number::CALL);
    assert!(runs(cpu, server));
    assert_eq!(cpu.counters().ipc_slow.get(), 1, "by the slow path, because the first one waits");
    assert_eq!(loads(cpu), [1, 1]);
}

#[test]
fn the_end_of_a_server_is_lifecycle_and_no_turn_outlives_it() {
    let (cpu, client, server) = client_and_new_server();
    time_slice_over(cpu);
    assert!(runs(cpu, server));
    fault::kill(cpu, server.server, &Fault::default());
    assert!(runs(cpu, client));
    assert_eq!((loads(cpu), cpu.counters().by_lifecycle.get().loads), ([0, 1], 1));
    call(cpu, number::CALL);
    assert_eq!(client.context.rax.get(), status::PARTNER_DEAD);
    assert!(!cpu.borrowed_turn().is_with(server) && !cpu.borrowed_turn().is_with(client));
}

#[test]
fn one_reason_within_another_is_counted_once() {
    let cpu = cpu_running(thread());
    let load = || {
        cpu.counters().switches_slow.add(1);
        cpu.counters().page_table_loads.add(1);
    };
    cpu.because_of_lifecycle(|| {
        load();
        cpu.because_of(&cpu.counters().by_preemption, load);
        cpu.because_of_lifecycle(load);
    });
    assert_eq!((loads(cpu), cpu.counters().by_lifecycle.get().loads), ([0, 1], 2));
}

/// Whoever has nothing to run on a CPU that awaits no timer has found a deadlock.
#[test]
fn threads_that_share_a_cpu_await_the_timer_only_in_a_plan_with_time_slices() {
    for has_time_slices in [false, true] {
        let first = thread();
        let cpu = cpu_running_in(first, Settings { has_time_slices, ..settings() });
        assert!(!cpu.awaits_timer());
        cpu.ready().push_back(thread());
        cpu.ready().push_back(first);
        run_next(cpu);
        assert_eq!(cpu.awaits_timer(), has_time_slices);
        cpu.stop_unneeded_timer(first);
        assert_eq!(cpu.awaits_timer(), has_time_slices, "the other one still needs it");
        cpu.ready().pop();
        cpu.stop_unneeded_timer(first);
        assert!(!cpu.awaits_timer());
    }
}

/// What a thread of the system below does when it runs.
fn step(cpu: &'static Cpu, client: &Thread, server: &Thread, answered: &mut bool, calls: &mut u64) {
    if runs(cpu, client) {
        *calls += 1;
        call(cpu, number::CALL);
    } else if runs(cpu, server) {
        // It begins with WAIT.
        call(cpu, if *answered { number::REPLY_AND_WAIT } else { number::WAIT });
        *answered = true;
    }
}

proptest! {
    /// However often slices end, and whoever else spins beside them, a client and a server that starts meanwhile load two page
    /// tables by messages for each call.
    #[test]
    fn time_slices_change_nothing_that_messages_count(
        timer in proptest::collection::vec(any::<bool>(), 0..60),
        spinner_first in any::<Option<bool>>(),
    ) {
        let (cpu, client, server) = client_and_new_server();
        match spinner_first {
            Some(true) => cpu.ready().push_front(thread()),
            Some(false) => cpu.ready().push_back(thread()),
            None => {}
        }
        let (mut answered, mut calls) = (false, 0);
        let is_done = |calls: u64| calls > 3 && runs(cpu, client);
        for slice_ends in timer.into_iter().chain((0..).map(|turn| turn % 3 == 0)) {
            if is_done(calls) {
                break;
            }
            if slice_ends { time_slice_over(cpu) } else { step(cpu, client, server, &mut answered, &mut calls) }
        }
        let counters = cpu.counters().snapshot();
        prop_assert_eq!(cpu.counters().by_messages().loads, 2 * calls);
        // All three have spaces of their own.
        prop_assert_eq!(counters.page_table_loads_by_preemption, counters.context_switches_by_preemption);
        prop_assert!(counters.context_switches_by_preemption >= counters.preemptions);
        prop_assert!(counters.context_switches_by_preemption <= 3 * counters.preemptions);
    }
}
