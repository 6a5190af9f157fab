//! Threads on several CPUs: IPC between them, servers that serve all of them, and changes while they run.

use std::time::Duration;

use abi::call::{number, status};
use abi::plan::{server_flag, trust};
use abi::program::{self, crash, scenario};
use abi::report::Counters;
use iced_x86::code_asm::{edi, esi, rax};
use inkbed::machine::guest::{GuestRun, Outcome};

use crate::harness::{
    self, BOTH_PLACES, Place, Server, boot, client, config, counted, finish_config, scenario, server,
};
use crate::raw;

/// Whoever may not change the system makes nobody stand still by trying, and gets an error for it.
#[test]
fn who_has_no_right_to_it_stops_no_cpu() {
    for call in [number::MIGRATE, number::STOP, number::START, number::MOVE_THREAD] {
        // As many calls as it takes: where ring 0 is native, hundreds are over before the other CPU has begun to try.
        let mut calls = 200;
        loop {
            let Some(run) = beside_one_that_tries(call, calls) else { return };
            let all = counted(&run);
            assert_eq!((all.standstills, all.faults, run.round_trips), (0, 0, calls), "call {call}");
            if run.cpus[1].end.system_calls > 0 {
                break;
            }
            calls *= 8;
            assert!(calls < 1_000_000, "call {call}: it never tried");
        }
    }
}

/// So many calls of a client, while a server on another CPU tries a system call that is not for it all the while. It ends itself
/// when anything but the error comes back.
fn beside_one_that_tries(call: u32, calls: u64) -> Option<GuestRun> {
    let code = raw::assemble(64, |a| {
        let mut again = a.create_label();
        a.set_label(&mut again)?;
        a.mov(edi, 1)?;
        a.xor(esi, esi)?;
        raw::call_stub(a, call)?;
        a.cmp(rax, status::NOT_PERMITTED as i32)?;
        a.je(again)?;
        a.ud2()
    });
    let client = client(Place::User, harness::call(0), calls);
    let hostile = on(1, raw::raw(Place::User));
    let mut config = config(&[client, server(program::NULL, Place::Kernel), hostile]);
    raw::set_code(&mut config, 2, &code);
    config.vcpus = 2;
    finish_config(&config)
}

/// A server that ends on CPUs 0 and 1 has all CPUs stand still, perhaps before the others have seen that they may run. They
/// have threads that never enter the kernel by themselves.
#[test]
fn a_cpu_that_is_called_before_it_runs_comes() {
    const SPINNERS: u32 = 4;
    // It touches its working set, and has none.
    let broken =
        server(program::POINTERS, Place::User).with(|plan| (plan.cpu_count, plan.thread_count) = (2, 2));
    let spinner = raw::raw(Place::User)
        .with(|plan| (plan.first_cpu, plan.cpu_count, plan.thread_count) = (2, SPINNERS, SPINNERS));
    let code = raw::assemble(64, |a| {
        let mut again = a.create_label();
        a.set_label(&mut again)?;
        a.jmp(again)
    });
    let client = client(Place::User, harness::call(0), 30);
    let mut config = config(&[client, server(program::NULL, Place::User), broken, spinner]);
    raw::set_code(&mut config, 3, &code);
    (config.vcpus, config.deadline) = (2 + SPINNERS, Some(Duration::from_secs(30)));
    for _ in 0..4 {
        let Some(run) = finish_config(&config) else { return };
        assert_eq!(run.round_trips, 30);
        assert!(run.faults.iter().all(|fault| fault.fault.server == 2));
        // Where ring 0 is native the client may be done before that server has begun.
        let is_emulated = run.flush.source == abi::flush::source::RING_0_EMULATED;
        assert!(!is_emulated || !run.faults.is_empty());
    }
}

/// The same server on another CPU.
fn on(cpu: u32, server: Server) -> Server {
    server.with(|plan| plan.first_cpu = cpu)
}

/// Boots with so many CPUs; the guest must finish with status 0.
fn finish_on(vcpus: u32, servers: &[Server]) -> Option<GuestRun> {
    let mut config = config(servers);
    config.vcpus = vcpus;
    finish_config(&config)
}

/// Everything that the scenarios see of a server on the same CPU, they see of one on another.
#[test]
fn a_server_on_another_cpu_answers_as_one_on_this() {
    let pairs = [
        (scenario::ECHO_ALL_SIZES, program::ECHO),
        (scenario::RIGHTS, program::NULL),
        (scenario::COUNT, program::COUNTER),
        (scenario::SEND, program::COUNTER),
        (scenario::BAD_MESSAGES, program::NULL),
    ];
    for (number, program) in pairs {
        for place in BOTH_PLACES {
            let driver = scenario(Place::User, number, 0);
            let Some(here) = finish_on(2, &[driver.clone(), server(program, place)]) else { return };
            let Some(there) = finish_on(2, &[driver, on(1, server(program, place))]) else { return };
            assert_eq!(here.samples, there.samples, "scenario {number}, {place:?}");
            assert!(!here.samples.is_empty());
            let (here, there) = (counted(&here), counted(&there));
            assert_eq!(here.ipc_remote, 0);
            assert!(there.ipc_remote > 0 && there.ipis > 0, "{there:?}");
        }
    }
}

/// A call to another CPU is one message there and one back, whoever sleeps meanwhile: no IPC is counted twice, and a page table is
/// loaded only where the next thread's space is not resident.
#[test]
fn a_remote_call_takes_two_interrupts_and_no_load() {
    const CALLS: u64 = 50;
    for client_place in BOTH_PLACES {
        for server_place in BOTH_PLACES {
            let driver = client(client_place, harness::call(0), CALLS);
            let servers = [driver, on(1, server(program::NULL, server_place))];
            let Some(run) = finish_on(2, &servers) else { return };
            let Counters { ipc_remote, ipis, page_table_loads, standstills, .. } = counted(&run);
            let case = format!("{client_place:?} to {server_place:?}");
            assert_eq!((ipc_remote, ipis), (CALLS, 2 * CALLS), "{case}");
            assert_eq!((page_table_loads, standstills), (0, 0), "{case}");
        }
    }
}

/// One thread of the driver and one of the server on each CPU: all calls stay where they are made.
#[test]
fn a_server_with_a_thread_on_each_cpu_serves_all_of_them_locally() {
    const CALLS: u64 = 100;
    for vcpus in [2, 4] {
        for place in BOTH_PLACES {
            let spread =
                |server: Server| server.with(|plan| (plan.cpu_count, plan.thread_count) = (vcpus, vcpus));
            let driver = client(Place::User, harness::call(4), CALLS);
            let servers = [spread(driver), spread(server(program::ECHO, place))];
            let Some(run) = finish_on(vcpus, &servers) else { return };
            let all = counted(&run);
            assert_eq!(run.round_trips, CALLS * u64::from(vcpus));
            assert_eq!(run.samples.len() as u64, run.round_trips);
            assert!(run.samples.iter().all(|sample| *sample > 0));
            assert_eq!((all.ipc_fast, all.ipc_remote), (2 * run.round_trips, 0), "{vcpus} CPUs, {place:?}");
            for cpu in &run.cpus {
                assert_eq!(cpu.counted().ipc_fast, 2 * CALLS);
            }
        }
    }
}

/// All clients call one thread: each call is answered, and only those from other CPUs travel.
#[test]
fn one_thread_serves_callers_of_all_cpus() {
    const CALLS: u64 = 40;
    for place in BOTH_PLACES {
        let driver = client(Place::User, harness::call(4), CALLS)
            .with(|plan| (plan.cpu_count, plan.thread_count) = (3, 3));
        let Some(run) = finish_on(3, &[driver, server(program::ECHO, place)]) else { return };
        assert_eq!((run.round_trips, run.samples.len() as u64), (3 * CALLS, 3 * CALLS));
        assert_eq!(counted(&run).ipc_remote, 2 * CALLS, "{place:?}");
    }
}

/// Who dies on another CPU leaves its callers an error, and everybody else alone.
#[test]
fn a_server_that_dies_on_another_cpu_leaves_errors() {
    for label in [crash::PAGE_FAULT, crash::INVALID_OPCODE, crash::EXIT, crash::NO_REPLY] {
        for place in BOTH_PLACES {
            let driver = scenario(Place::User, scenario::CRASH, label.into()).reaching(&[1, 2]);
            let others = |cpu| [on(cpu, server(program::CRASH, place)), server(program::ECHO, Place::User)];
            let [crash, echo] = others(0);
            let Some(here) = finish_on(2, &[driver.clone(), crash, echo]) else { return };
            let [crash, echo] = others(1);
            let Some(there) = finish_on(2, &[driver, crash, echo]) else { return };
            assert_eq!(here.samples, there.samples, "label {label}, {place:?}");
            assert_eq!(there.samples.last(), Some(&status::OK));
        }
    }
}

/// A counter on another CPU moves into the kernel and out again between calls from there; nothing is lost or doubled.
#[test]
fn a_server_on_another_cpu_keeps_its_state_while_it_migrates() {
    const TURNS: u64 = 200;
    let counter = server(program::COUNTER, Place::User).with(|plan| {
        plan.flags |= server_flag::MIGRATABLE;
        plan.trust_group = trust::CRITICAL_TRUSTED;
        plan.first_cpu = 1;
    });
    let driver = scenario(Place::User, scenario::MIGRATE_COUNTER, TURNS);
    for pcid in [0, abi::plan::flag::PCID] {
        let mut config = config(&[driver.clone(), counter.clone()]);
        (config.vcpus, config.plan_flags) = (2, pcid);
        let Some(run) = boot(&config) else { return };
        if pcid != 0 && run.features & abi::report::feature::PCID == 0 {
            println!("skipped: the guest's CPU has no pcid");
            continue;
        }
        assert_eq!(run.samples, [TURNS, TURNS], "{:?}", run.outcome);
        let counted = counted(&run);
        assert_eq!(counted.standstills, TURNS);
        assert!(counted.shootdowns > 0);
    }
}

/// A server's only thread changes its CPU between any two calls: rights lead to it wherever it is, nothing is lost or doubled,
/// and half of the calls travel.
#[test]
fn a_thread_that_moves_between_cpus_is_found_and_loses_nothing() {
    const TURNS: u64 = 100;
    for place in BOTH_PLACES {
        let counter = server(program::COUNTER, place).with(|plan| plan.cpu_count = 2);
        let driver = scenario(Place::User, scenario::MOVE_THREAD, TURNS);
        let Some(run) = finish_on(3, &[driver, counter]) else { return };
        let refused =
            [status::BAD_ARGUMENT, status::BAD_ARGUMENT, status::BAD_ARGUMENT, status::NOT_PERMITTED];
        assert_eq!(run.samples[..2], [TURNS, TURNS], "{place:?}");
        assert_eq!(run.samples[2..], refused, "{place:?}");
        assert_eq!(counted(&run).ipc_remote, TURNS / 2, "{place:?}");
    }
}

/// Each handle leads to a thread of its own where threads have endpoints, also when there are as many as CPUs; elsewhere a right
/// may name no thread.
#[test]
fn rights_name_threads_only_where_threads_have_endpoints() {
    let with = |flags| {
        let crash = server(program::CRASH, Place::User)
            .with(|plan| (plan.flags, plan.thread_count, plan.cpu_count) = (flags, 2, 2));
        let driver = scenario(Place::User, scenario::CRASH, crash::NO_REPLY.into()).reaching(&[1, 1]);
        let mut config = config(&[driver, crash]);
        config.vcpus = 2;
        config.rights[1].thread = 1;
        config
    };
    // Thread 0 leaves its caller an error, and goes on waiting; the other handle leads to thread 1, on the other CPU.
    let Some(run) = boot(&with(server_flag::THREAD_ENDPOINTS)) else { return };
    assert_eq!(run.samples.last(), Some(&status::OK), "{:?}", run.outcome);
    assert_eq!(counted(&run).ipc_remote, 1);
    let refused = boot(&with(0)).map(|run| run.outcome);
    assert!(matches!(refused, Some(Outcome::Refused { .. })), "{refused:?}");
}
