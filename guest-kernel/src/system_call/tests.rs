//! Tests of both paths together: each operation by example, then any sequence of operations against the invariants.

use abi::call::{Tag, number, status};
use abi::report::Fault;
use proptest::prelude::*;

use super::*;
use crate::arch::{Action, take_actions};
use crate::cpu::Cpu;
use crate::ipc::fast;
use crate::memory::Placement;
use crate::object::space::Space;
use crate::object::thread::{State, Thread};
use crate::testing::{
    cpu_running, cpus, give_rights, server, server_in, server_on, thread, thread_of_priority, wait,
};

const EMPTY: Tag = Tag(0);

/// Does what the assembly does for a system call: the fast path if there is one, the slow path if that refuses.
fn system_call(cpu: &'static Cpu, call: u32, first: u64, tag: Tag, words: [u64; 4]) -> &'static Thread {
    let current = cpu.current().unwrap();
    for (word, value) in current.context.words.iter().zip(words) {
        word.set(value);
    }
    let exit = match call {
        number::CALL => fast::call(first, tag, current, cpu),
        number::REPLY_AND_WAIT => fast::reply_and_wait(first, tag, current, cpu),
        _ => fast::FastExit { next: None, badge: 0 },
    };
    if let Some(next) = exit.next {
        // What the fast exit does with registers.
        for (word, value) in next.context.words.iter().zip(words) {
            word.set(value);
        }
        next.set_results(status::OK, exit.badge, tag);
        return next;
    }
    current.context.rdi.set(first);
    current.context.rsi.set(tag.0);
    handle(cpu, current, call)
}

fn results(thread: &Thread) -> (u64, u64, u64, [u64; 4]) {
    let context = &thread.context;
    let words = context.words.each_ref().map(|word| word.get());
    (context.rax.get(), context.rdi.get(), context.rsi.get(), words)
}

fn same(left: &Thread, right: &Thread) -> bool {
    core::ptr::eq(left, right)
}

#[test]
fn a_call_and_its_reply_take_the_fast_path_and_carry_message_and_badge() {
    let (client, server) = (thread(), thread());
    give_rights(client, &[server]);
    wait(server);
    let cpu = cpu_running(client);

    let next = system_call(cpu, number::CALL, 0, Tag::new(7, 4), [1, 2, 3, 4]);
    assert!(same(next, server));
    assert_eq!(results(server), (status::OK, 100, Tag::new(7, 4).0, [1, 2, 3, 4]));
    assert_eq!((client.state(), server.state()), (State::AwaitingReply, State::Running));

    let next = system_call(cpu, number::REPLY_AND_WAIT, 0, Tag::new(8, 1), [9, 0, 0, 0]);
    assert!(same(next, client));
    assert_eq!(results(client), (status::OK, 0, Tag::new(8, 1).0, [9, 0, 0, 0]));
    assert_eq!((client.state(), server.state()), (State::Running, State::Receiving));
    assert_eq!((cpu.counters().ipc_fast.get(), cpu.counters().ipc_slow.get()), (2, 0));
}

/// The table of invariant 2 in docs/invariants.md: page-table loads of one round trip, for every pair of placements.
#[test]
fn a_page_table_is_loaded_only_when_the_next_space_is_not_resident() {
    use Placement::{Kernel, User};
    for (client_placement, server_placement, loads) in
        [(User, User, 2), (User, Kernel, 0), (Kernel, User, 1), (Kernel, Kernel, 0)]
    {
        let (client, server) = (server(client_placement, 10), server(server_placement, 10));
        give_rights(client, &[server]);
        wait(server);
        let cpu = cpu_running(client);
        system_call(cpu, number::CALL, 0, EMPTY, [0; 4]);
        system_call(cpu, number::REPLY_AND_WAIT, 0, EMPTY, [0; 4]);
        assert_eq!(
            cpu.counters().page_table_loads.get(),
            loads,
            "{client_placement:?} to {server_placement:?}"
        );
        assert_eq!(cpu.counters().snapshot().page_table_loads_elided, 2 - loads);
        // From now on the server's space stays resident under a client in the kernel.
        if client_placement == Kernel {
            system_call(cpu, number::CALL, 0, EMPTY, [0; 4]);
            system_call(cpu, number::REPLY_AND_WAIT, 0, EMPTY, [0; 4]);
            assert_eq!(cpu.counters().page_table_loads.get(), loads);
        }
    }
}

#[test]
fn two_threads_of_one_space_need_no_load() {
    let space: &'static Space = Box::leak(Box::new(Space::new(0x9000, 0, false)));
    let client = server_in(Placement::User, Some(space), 10);
    let server = server_in(Placement::User, Some(space), 10);
    give_rights(client, &[server]);
    wait(server);
    let cpu = cpu_running(client);
    take_actions();
    system_call(cpu, number::CALL, 0, EMPTY, [0; 4]);
    system_call(cpu, number::REPLY_AND_WAIT, 0, EMPTY, [0; 4]);
    assert_eq!(take_actions(), []);
    assert_eq!(cpu.counters().snapshot().context_switches, 2);
}

/// The talk's other case: A calls S in the kernel, S serves B next.
#[test]
fn a_server_in_the_kernel_that_serves_another_space_next_costs_that_space_one_load() {
    let (a, b, s) = (thread(), thread(), server(Placement::Kernel, 10));
    for client in [a, b] {
        give_rights(client, &[s]);
    }
    wait(s);
    let cpu = cpu_running(a);
    take_actions();
    system_call(cpu, number::CALL, 0, EMPTY, [0; 4]);
    // B has become ready while S works, and calls S as soon as A blocks or is done: here by YIELD.
    cpu.make_ready(b);
    system_call(cpu, number::REPLY_AND_WAIT, 0, EMPTY, [0; 4]);
    assert_eq!(take_actions().iter().filter(|action| matches!(action, Action::LoadPageTable(_))).count(), 0);
    let next = system_call(cpu, number::YIELD, 0, EMPTY, [0; 4]);
    assert!(same(next, b));
    assert_eq!(cpu.counters().page_table_loads.get(), 1);
    system_call(cpu, number::CALL, 0, EMPTY, [0; 4]);
    system_call(cpu, number::REPLY_AND_WAIT, 0, EMPTY, [0; 4]);
    assert_eq!(cpu.counters().page_table_loads.get(), 1);
}

#[test]
fn without_the_right_nothing_can_be_reached() {
    let (client, server) = (thread(), thread());
    wait(server);
    let cpu = cpu_running(client);
    for handle in [0, 1, u64::MAX] {
        for call in [number::CALL, number::SEND, number::NOTIFY] {
            let next = system_call(cpu, call, handle, EMPTY, [0; 4]);
            assert!(same(next, client));
            assert_eq!(client.context.rax.get(), status::NO_RIGHT);
        }
    }
    assert_eq!(server.state(), State::Receiving);
}

#[test]
fn a_caller_of_higher_priority_that_is_ready_runs_before_a_called_server() {
    let (client, server, urgent) = (thread(), thread(), thread_of_priority(11));
    give_rights(client, &[server]);
    wait(server);
    let cpu = cpu_running(client);
    cpu.make_ready(urgent);
    let next = system_call(cpu, number::CALL, 0, EMPTY, [0; 4]);
    assert!(same(next, urgent));
    assert_eq!(server.state(), State::Ready);
    assert_eq!((cpu.counters().ipc_fast.get(), cpu.counters().ipc_slow.get()), (0, 1));
}

#[test]
fn a_rival_of_the_same_priority_gets_the_timer_before_the_fast_path_is_used() {
    let (client, server, rival) = (thread(), thread(), thread());
    give_rights(client, &[server]);
    wait(server);
    let cpu = cpu_running(client);
    cpu.make_ready(rival);
    take_actions();
    let next = system_call(cpu, number::CALL, 0, EMPTY, [0; 4]);
    assert!(same(next, server), "the partner is preferred");
    assert!(take_actions().contains(&Action::ArmTimer));
    assert_eq!(cpu.counters().ipc_fast.get(), 0);
    system_call(cpu, number::REPLY_AND_WAIT, 0, EMPTY, [0; 4]);
    assert_eq!(cpu.counters().ipc_fast.get(), 1, "the timer is armed by now");
    let next = sched::time_slice_over(cpu, client);
    assert!(same(next, rival));
}

#[test]
fn queued_callers_are_served_in_order() {
    let (server, first, second) = (thread(), thread(), thread());
    for client in [first, second] {
        give_rights(client, &[server]);
    }
    let cpu = cpu_running(first);
    cpu.make_ready(second);
    cpu.make_ready(server);
    assert!(same(system_call(cpu, number::CALL, 0, Tag::new(1, 1), [1, 0, 0, 0]), second));
    assert!(same(system_call(cpu, number::CALL, 0, Tag::new(2, 1), [2, 0, 0, 0]), server));
    system_call(cpu, number::WAIT, 0, EMPTY, [0; 4]);
    assert_eq!(results(server).3[0], 1);
    system_call(cpu, number::REPLY_AND_WAIT, 0, EMPTY, [0; 4]);
    assert_eq!(results(server).3[0], 2);
    assert_eq!((first.state(), second.state()), (State::Ready, State::AwaitingReply));
}

#[test]
fn a_server_that_waits_again_without_replying_leaves_its_caller_with_an_error() {
    let (client, server) = (thread(), thread());
    give_rights(client, &[server]);
    wait(server);
    let cpu = cpu_running(client);
    system_call(cpu, number::CALL, 0, EMPTY, [0; 4]);
    let next = system_call(cpu, number::WAIT, 0, EMPTY, [0; 4]);
    assert!(same(next, client));
    assert_eq!(client.context.rax.get(), status::NO_REPLY);
}

#[test]
fn a_dead_server_leaves_errors_to_its_caller_to_those_queued_and_to_later_ones() {
    let (server, served, queued, later) = (thread(), thread(), thread(), thread());
    for client in [served, queued, later] {
        give_rights(client, &[server]);
    }
    wait(server);
    let cpu = cpu_running(served);
    cpu.make_ready(queued);
    system_call(cpu, number::CALL, 0, EMPTY, [0; 4]);
    // The server is preempted, and the second client calls it.
    server.resume_with_everything();
    assert!(same(sched::time_slice_over(cpu, server), queued));
    assert!(same(system_call(cpu, number::CALL, 0, EMPTY, [0; 4]), server));
    let next = fault::kill(cpu, server.server, &Fault::default());
    assert!(same(next, served));
    assert_eq!(served.context.rax.get(), status::PARTNER_DEAD);
    assert_eq!(queued.context.rax.get(), status::PARTNER_DEAD);
    assert_eq!(queued.state(), State::Ready);
    assert_eq!(server.state(), State::Dead);
    later.set_running();
    let cpu = cpu_running(later);
    system_call(cpu, number::CALL, 0, EMPTY, [0; 4]);
    assert_eq!(later.context.rax.get(), status::PARTNER_DEAD);
}

#[test]
fn the_reply_to_a_dead_client_goes_nowhere() {
    let (client, server, other) = (thread(), thread(), thread());
    give_rights(client, &[server]);
    wait(server);
    let cpu = cpu_running(client);
    cpu.make_ready(other);
    system_call(cpu, number::CALL, 0, EMPTY, [0; 4]);
    fault::kill(cpu, client.server, &Fault::default());
    assert!(server.local_caller().is_none());
    cpu.ready().push_back(cpu.current().unwrap());
    let cpu = cpu_running(server);
    cpu.make_ready(other);
    assert!(same(system_call(cpu, number::REPLY_AND_WAIT, 0, EMPTY, [0; 4]), other));
    assert_eq!(client.state(), State::Dead);
}

#[test]
fn notifications_add_up_until_somebody_receives_them() {
    let (sender, server) = (thread(), thread());
    give_rights(sender, &[server]);
    let cpu = cpu_running(sender);
    system_call(cpu, number::NOTIFY, 0, Tag(0b001), [0; 4]);
    system_call(cpu, number::NOTIFY, 0, Tag(0b100), [0; 4]);
    cpu.make_ready(server);
    system_call(cpu, number::YIELD, 0, EMPTY, [0; 4]);
    system_call(cpu, number::WAIT, 0, EMPTY, [0; 4]);
    assert_eq!(results(server), (status::OK, 0, Tag::NOTIFICATION | 1, [0b101, 0, 0, 0]));
    assert_eq!(server.endpoint().take_notification(), 0);
}

proptest! {
    /// Any sequence of operations by any threads keeps the invariants of [`crate::ipc`], and never loses a thread.
    #[test]
    fn invariants_hold_after_any_sequence(
        operations in proptest::collection::vec((0_u8..9, 0_u64..6, 0_u64..8), 1..120),
        priorities in [8_u8..11, 8..11, 8..11, 8..11, 8..11],
    ) {
        let placements = [Placement::User, Placement::Kernel, Placement::User, Placement::Kernel, Placement::User];
        let threads: Vec<_> = placements.iter().zip(priorities).map(|(&place, priority)| server(place, priority)).collect();
        for thread in &threads {
            give_rights(thread, &threads);
        }
        // Somebody must always be able to run.
        let idle = thread_of_priority(0);
        let cpu = cpu_running(threads[0]);
        for thread in threads[1..].iter().chain([&idle]) {
            cpu.make_ready(thread);
        }
        for (operation, handle, amount) in operations {
            let current = cpu.current().unwrap();
            let tag = Tag::new(0, amount as u16);
            if same(current, idle) {
                system_call(cpu, number::YIELD, 0, EMPTY, [0; 4]);
                check(cpu, &threads, idle)?;
                continue;
            }
            match operation {
                0 | 1 => { system_call(cpu, number::CALL, handle, tag, [amount; 4]); }
                2 | 3 => { system_call(cpu, number::REPLY_AND_WAIT, 0, tag, [amount; 4]); }
                4 => { system_call(cpu, number::SEND, handle, tag, [amount; 4]); }
                5 => { system_call(cpu, number::WAIT, 0, EMPTY, [0; 4]); }
                6 => { system_call(cpu, number::NOTIFY, handle, Tag(amount), [0; 4]); }
                7 => { current.resume_with_everything(); sched::time_slice_over(cpu, current); }
                _ if amount == 0 => { fault::kill(cpu, current.server, &Fault::default()); }
                _ => { system_call(cpu, number::YIELD, 0, EMPTY, [0; 4]); }
            }
            check(cpu, &threads, idle)?;
        }
    }
}

fn check(cpu: &'static Cpu, threads: &[&'static Thread], idle: &'static Thread) -> Result<(), TestCaseError> {
    let current = cpu.current().unwrap();
    for thread in threads.iter().copied().chain([idle]) {
        let endpoint = thread.endpoint();
        let state = thread.state();
        prop_assert_eq!(state == State::Running, same(current, thread), "exactly the current thread runs");
        prop_assert_eq!(endpoint.is_dead(), state == State::Dead);
        let receives = endpoint.receiver().is_some();
        prop_assert_eq!(receives, state == State::Receiving);
        prop_assert!(!receives || !endpoint.has_something_to_receive());
        prop_assert!(!receives || thread.local_caller().is_none());
        if let Some(caller) = thread.local_caller() {
            prop_assert_eq!(caller.state(), State::AwaitingReply);
            prop_assert!(caller.partner().is_some_and(|partner| same(partner, thread)));
        }
        if state == State::AwaitingReply {
            let partner = thread.partner().unwrap();
            prop_assert!(partner.local_caller().is_some_and(|caller| same(caller, thread)));
        }
        if state == State::Ready {
            prop_assert!(cpu.ready().occupied() >> thread.priority() & 1 == 1);
        }
    }
    // Nobody of a higher priority waits while another runs, and rivals share by the timer.
    prop_assert!(cpu.ready().has_none_due_before(current));
    if let Some(space) = current.space() {
        prop_assert!(cpu.has_resident(space));
    }
    Ok(())
}

#[test]
fn a_call_to_another_cpu_is_taken_there_and_its_answer_comes_back() {
    let [here, there] = cpus(2)[..] else { panic!("two CPUs") };
    let (client, server) =
        (server_on(Placement::Kernel, None, 10, 0), server_on(Placement::Kernel, None, 10, 1));
    give_rights(client, &[server]);
    wait(server);
    here.switch_to(client);
    take_actions();
    assert!(!same(system_call(here, number::CALL, 0, Tag::new(7, 1), [42, 0, 0, 0]), client));
    assert!(client.is_away() && take_actions() == [Action::InterruptCpu(101)]);

    assert!(sched::attend(there) && !sched::attend(there));
    let runs = sched::interrupted(there);
    assert!(same(runs, server) && server.context.words[0].get() == 42);
    assert!(take_actions().is_empty(), "nobody else is wanted");
    system_call(there, number::REPLY_AND_WAIT, 0, Tag::new(0, 1), [43, 0, 0, 0]);
    assert_eq!(take_actions()[0], Action::InterruptCpu(100));

    assert!(same(sched::interrupted(here), client) && !client.is_away());
    assert_eq!((client.context.rax.get(), client.context.words[0].get()), (status::OK, 43));
}

#[test]
#[should_panic = "index out of bounds"]
fn a_thread_is_not_lost_on_a_cpu_that_does_not_exist() {
    cpus(2)[0].post(2, thread());
}
