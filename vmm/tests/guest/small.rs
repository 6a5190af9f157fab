//! Small address spaces: 32-bit servers on segments of their own, in what all spaces share.

use abi::address::{PAGE_SIZE, SMALL_BASE};
use abi::call::status;
use abi::plan::{flag, server_flag};
use abi::program::{self, crash, scenario};
use abi::region::working_set_offset_32;
use abi::report::{FAULT_EXIT, feature};
use inkbed::lens::trace::phase::Phase;
use inkbed::machine::guest::{GuestRun, Outcome};

use crate::harness::{
    Place, Server, alternate, boot, call, client, config, counted, empty, has_feature, scenario, server,
};
use crate::trace::{pair, traced};

const ROUND_TRIPS: u64 = 25;
const INVALID_OPCODE: u32 = 6;
const GENERAL_PROTECTION: u32 = 13;

/// Runs the servers with these bits of the plan's flags, which must finish with status 0. `None` where this machine has no
/// 32-bit servers; the reason is printed.
pub fn finish_32(servers: &[Server], flags: u64, vcpus: u32) -> Option<GuestRun> {
    let mut config = config(servers);
    (config.plan_flags, config.vcpus) = (flags, vcpus);
    let run = boot(&config)?;
    if let Outcome::Refused { message } = &run.outcome
        && message.contains("the bases of their segments")
    {
        assert!(!has_feature(&run, feature::SEGMENT_BASES), "{message}");
        return None;
    }
    assert_eq!(run.outcome, Outcome::Finished { status: 0 }, "faults: {:?}", run.faults);
    assert!(run.features & feature::SEGMENT_BASES != 0, "found out at boot");
    Some(run)
}

fn finish(servers: &[Server]) -> Option<GuestRun> {
    finish_32(servers, 0, 1)
}

/// Why the kernel does not start these servers.
fn refusal(servers: &[Server], flags: u64) -> Option<String> {
    let mut config = config(servers);
    config.plan_flags = flags;
    match boot(&config)?.outcome {
        Outcome::Refused { message } => Some(message),
        other => panic!("{other:?}"),
    }
}

/// Liedtke's rule, for a round trip of a client in a large space: into a small one and back no page table is loaded and nothing
/// is flushed; from large to large two are. In the kernel nothing at all is loaded.
#[test]
fn a_call_into_a_small_space_loads_segments_and_no_page_table() {
    for (place, page_tables, segments) in [(Place::Small, 0, 2), (Place::Kernel, 0, 0), (Place::Large, 2, 0)]
    {
        for words in [0, 4] {
            let client = client(Place::Large, call(words), ROUND_TRIPS);
            // A small space takes servers of any trust group: 4 and, with a message, 2.
            let server = server(program::ECHO, place).with(|plan| {
                if place == Place::Small {
                    plan.trust_group = if words == 0 { 4 } else { 2 };
                }
            });
            let Some(run) = finish(&[client, server]) else { return };
            let counted = counted(&run);
            assert_eq!(counted.page_table_loads, page_tables * ROUND_TRIPS, "{place:?}");
            assert_eq!(counted.tlb_full_flushes, page_tables * ROUND_TRIPS, "{place:?}");
            assert_eq!(counted.segment_loads, segments * ROUND_TRIPS, "{place:?}");
            assert_eq!(counted.context_switches, 2 * ROUND_TRIPS, "{place:?}");
            assert_eq!(
                counted.ipc_fast,
                2 * ROUND_TRIPS,
                "{place:?}: calls and replies, all on the fast path"
            );
            assert_eq!((counted.ipc_slow, counted.invlpg, counted.faults), (0, 0, 0), "{place:?}");
        }
    }
}

/// From small to small no page table is loaded either; a large server behind a small one costs what it costs anywhere.
#[test]
fn a_chain_through_small_spaces_loads_page_tables_for_large_ones_only() {
    let cases = [
        ([Place::Small, Place::Small], 0, 4),
        ([Place::Small, Place::Large], 2, 4),
        ([Place::Small, Place::Kernel], 0, 2),
        ([Place::Large, Place::Small], 2, 2),
        ([Place::Kernel, Place::Small], 0, 2),
    ];
    for ([relay, echo], page_tables, segments) in cases {
        let client = client(Place::Large, call(4), ROUND_TRIPS);
        let servers = [client, server(program::RELAY, relay).reaching(&[2]), server(program::ECHO, echo)];
        let Some(run) = finish(&servers) else { return };
        let (counted, case) = (counted(&run), format!("{relay:?}, {echo:?}"));
        assert_eq!(counted.page_table_loads, page_tables * ROUND_TRIPS, "{case}");
        assert_eq!(counted.segment_loads, segments * ROUND_TRIPS, "{case}");
        assert_eq!((counted.context_switches, counted.ipc_slow), (4 * ROUND_TRIPS, 0), "{case}");
    }
}

/// A small server serves two large spaces in turn: each costs its own load, the server none.
#[test]
fn a_small_server_stays_in_whatever_space_is_resident() {
    let client = client(Place::Large, alternate(0), ROUND_TRIPS).reaching(&[1, 2]);
    let relay = server(program::RELAY, Place::Large).reaching(&[1]);
    let Some(run) = finish(&[client, server(program::NULL, Place::Small), relay]) else { return };
    assert_eq!(counted(&run).page_table_loads, 2 * ROUND_TRIPS);
}

#[test]
fn messages_of_all_sizes_arrive() {
    for place in [Place::Small, Place::Large, Place::Kernel] {
        let driver = scenario(Place::Large, scenario::ECHO_ALL_SIZES, 0);
        let Some(run) = finish(&[driver, server(program::ECHO, place)]) else { return };
        assert_eq!(run.samples, [1; 513], "{place:?}");
    }
}

/// The same binary comes through every gate that the CPU has.
#[test]
fn every_gate_of_compatibility_mode_leads_into_the_kernel_and_back() {
    for (gate, needed) in
        [(flag::GATE_SYSENTER, feature::SYSENTER_32), (flag::GATE_SYSCALL, feature::SYSCALL_32)]
    {
        let driver = scenario(Place::Large, scenario::ECHO_ALL_SIZES, 0);
        let servers = [driver, server(program::ECHO, Place::Small)];
        let Some(run) = finish(&servers) else { return };
        if run.features & needed == 0 {
            let message = refusal(&servers, gate).expect("a guest has just been booted");
            assert!(message.contains("in compatibility mode"), "{message}");
            println!("skipped: {message}");
            continue;
        }
        let Some(run) = finish_32(&servers, gate, 1) else { return };
        assert_eq!(run.samples, [1; 513]);
    }
}

/// Preempted anywhere, in ring 3, at a gate or on the way back, threads go on with all their registers.
#[test]
fn a_thread_that_is_preempted_keeps_its_registers_and_segments() {
    for gate in [0, flag::GATE_SYSENTER, flag::GATE_SYSCALL] {
        let spinner = |place| {
            server(program::SCENARIO, place).with(|plan| {
                plan.arguments[scenario::NUMBER] = scenario::SPIN;
                plan.arguments[scenario::PARAMETER] = 1 << 40;
            })
        };
        let driver = scenario(Place::Large, scenario::REGISTERS, 20_000).reaching(&[1]);
        let servers =
            [driver, server(program::NULL, Place::Small), spinner(Place::Small), spinner(Place::Large)];
        let mut config = config(&servers);
        config.plan_flags = gate;
        let Some(run) = boot(&config) else { return };
        if matches!(&run.outcome, Outcome::Refused { message } if message.contains("compatibility mode"))
            && gate != 0
        {
            continue;
        }
        let Some(run) = finish_32(&servers, gate, 1) else { return };
        assert_eq!(run.samples, [1]);
        assert!(counted(&run).timer_interrupts > 0);
    }
}

#[test]
fn a_server_that_faults_dies_alone_and_its_callers_get_an_error() {
    let cases = [
        (crash::PAGE_FAULT, None),
        (crash::INVALID_OPCODE, Some(INVALID_OPCODE)),
        (crash::WRITE_CODE, Some(14)),
        (crash::STACK_OVERFLOW, Some(14)),
        (crash::PANIC, Some(FAULT_EXIT)),
        (crash::EXIT, Some(FAULT_EXIT)),
        (crash::PRIVILEGED, Some(GENERAL_PROTECTION)),
        (crash::FLOATING_POINT, Some(7)),
    ];
    for place in [Place::Small, Place::Large] {
        for (label, vector) in cases {
            let driver = scenario(Place::Large, scenario::CRASH, label.into()).reaching(&[1, 2]);
            let servers = [driver, server(program::CRASH, place), server(program::ECHO, Place::Small)];
            let Some(run) = finish(&servers) else { return };
            let case = format!("label {label} in {place:?}");
            assert_eq!(run.samples, [status::PARTNER_DEAD, status::PARTNER_DEAD, status::OK], "{case}");
            let [fault] = &run.faults[..] else { panic!("{case}: one fault, not {:?}", run.faults) };
            assert_eq!(fault.fault.server, 1, "{case}");
            assert!(vector.is_none_or(|vector| fault.fault.vector == vector), "{case}: {fault:?}");
            assert_eq!(fault.program, "crash-32");
        }
    }
}

/// A far jump to 64-bit code would leave all limits behind: 32-bit programs find no segment for it, whoever else runs.
#[test]
fn there_is_no_64_bit_code_to_jump_to() {
    for place in [Place::Small, Place::Large] {
        for (other, flags) in [(Place::Small, 0), (Place::User, flag::MIX_64_BIT), (Place::User, 0)] {
            if (place, other, flags) == (Place::Small, Place::User, 0) {
                continue; // refused
            }
            let driver =
                scenario(Place::Large, scenario::CRASH, crash::ENTER_64_BIT_CODE.into()).reaching(&[1, 2]);
            let servers = [driver, server(program::CRASH, place), server(program::ECHO, other)];
            let Some(run) = finish_32(&servers, flags, 1) else { return };
            let case = format!("{place:?}, {other:?}: {:?}", run.faults);
            assert_eq!(run.samples, [status::PARTNER_DEAD, status::PARTNER_DEAD, status::OK], "{case}");
            assert_eq!(run.faults[0].fault.vector, GENERAL_PROTECTION, "{case}");
        }
    }
}

/// A 64-bit server that faults too often in the kernel has no user space to go to beside small ones: it stays dead.
#[test]
fn no_64_bit_server_is_moved_out_of_the_kernel_beside_small_spaces() {
    let (bad, dead) = (status::BAD_ARGUMENT, status::PARTNER_DEAD);
    let crash = server(program::CRASH, Place::Kernel).with(|plan| plan.demote_after = 1);
    let driver = scenario(Place::Large, scenario::CRASH_AGAIN, 1).reaching(&[1]);
    let Some(run) = finish(&[driver, crash, server(program::ECHO, Place::Small)]) else { return };
    // A 32-bit driver asks for a place that a 64-bit server has nowhere.
    assert_eq!(run.samples, [dead, dead, bad, bad, dead]);
    let all = counted(&run);
    assert_eq!((all.faults, all.demotions, all.restarts), (1, 1, 0));
}

/// The debug exception behind a SYSENTER with the trap flag set comes in the kernel, with the user's GS: it is the program's.
#[test]
fn a_program_that_steps_into_the_kernel_dies_alone() {
    const DEBUG: u32 = 1;
    let driver = scenario(Place::Large, scenario::CRASH, crash::STEP_INTO_KERNEL.into()).reaching(&[1, 2]);
    let servers = [driver, server(program::CRASH, Place::Small), server(program::ECHO, Place::Small)];
    let Some(run) = finish(&servers) else { return };
    let has_sysenter = run.features & feature::SYSENTER_32 != 0;
    let run = if has_sysenter { finish_32(&servers, flag::GATE_SYSENTER, 1) } else { Some(run) };
    let Some(run) = run else { return };
    assert_eq!(run.samples, [status::PARTNER_DEAD, status::PARTNER_DEAD, status::OK]);
    // Without SYSENTER it is an invalid opcode; QEMU's TCG has a general protection fault there.
    let vectors = if has_sysenter { &[DEBUG][..] } else { &[INVALID_OPCODE, GENERAL_PROTECTION] };
    assert!(vectors.contains(&run.faults[0].fault.vector), "{:?}", run.faults);
}

#[test]
fn a_32_bit_server_may_do_no_more_than_a_64_bit_one() {
    for place in [Place::Small, Place::Large] {
        let driver = scenario(Place::Large, scenario::PRIVILEGED_CALLS, 0);
        let Some(run) = finish(&[driver, server(program::CRASH, place)]) else { return };
        assert_eq!(run.samples, [9, 9], "{place:?}: refused, of so many");
    }
    let driver = scenario(Place::Large, scenario::BAD_NUMBERS, 0);
    let Some(run) = finish(&[driver, server(program::NULL, Place::Small)]) else { return };
    assert_eq!(run.samples, [status::NO_SUCH_CALL; 4]);
}

/// Buffers that are none: in another server's slot, in the kernel's pages, nowhere.
#[test]
fn bad_messages_and_buffers_are_refused() {
    let driver = scenario(Place::Large, scenario::BAD_MESSAGES, 0);
    let Some(run) = finish(&[driver, server(program::NULL, Place::Small)]) else { return };
    let (tags, buffers) = run.samples.split_at(5);
    assert_eq!(tags, [status::BAD_TAG, status::BAD_TAG, status::BAD_TAG, status::BAD_TAG, status::NO_BUFFER]);
    assert_eq!(buffers[..8], [status::NO_BUFFER; 8]);
    assert_eq!(buffers[8..], [status::OK, status::NO_BUFFER, status::OK]);
}

#[test]
fn slots_are_given_back_and_used_again() {
    let driver = scenario(Place::Large, scenario::RESTART, 200);
    // Two slots of the largest size would not be enough for 200 starts if one of them leaked.
    let counter = server(program::COUNTER, Place::Large).with(|plan| {
        plan.flags |= server_flag::MIGRATABLE;
        plan.small_slot_mib = 64;
    });
    let Some(run) = finish(&[driver, counter]) else { return };
    let [first_small, first_large, last_small, last_large, right, count] = run.samples[..] else {
        panic!("{:?}", run.samples)
    };
    assert_eq!((first_small, first_large), (last_small, last_large), "frames in use");
    assert_eq!((right, count), (200, 0));
}

#[test]
fn plans_that_make_no_sense_are_refused() {
    let null = |place| server(program::NULL, place);
    let driver = |place| client(place, call(0), 1);
    let with_module_of =
        |place: Place, other: Place| null(place).with(|plan| plan.module = null(other).plan.module);
    let cases = [
        ([driver(Place::Small), null(Place::Small)], 0, "no room for its samples"),
        ([driver(Place::User), null(Place::Small)], 0, "ignores base and limit"),
        ([driver(Place::Large), null(Place::Small).with(|plan| plan.small_slot_mib = 3)], 0, "2, 4, 8"),
        (
            [driver(Place::Large), null(Place::Small).with(|plan| plan.working_set_pages = 1 << 14)],
            0,
            "64 MiB",
        ),
        (
            [
                driver(Place::Large),
                null(Place::Small).with(|plan| (plan.small_slot_mib, plan.working_set_pages) = (2, 300)),
            ],
            0,
            "does not fit",
        ),
        ([driver(Place::Large), null(Place::Small)], flag::GATE_SYSENTER | flag::GATE_SYSCALL, "two gates"),
        ([driver(Place::User), with_module_of(Place::User, Place::Small)], 0, "32-bit program"),
    ];
    for (servers, flags, reason) in cases {
        let Some(message) = refusal(&servers, flags) else { return };
        assert!(message.contains(reason) || message.contains("bases of their segments"), "{message}");
    }
}

/// Reads a word of the working set of the first small server by a server in `reader`, then with that stopped.
fn read_small(reader: Place) -> [Server; 3] {
    let address = SMALL_BASE + working_set_offset_32(1) + 13 * PAGE_SIZE;
    let driver = scenario(Place::Large, scenario::STOP_AND_READ, address).reaching(&[2]);
    let victim = server(program::COUNTER, Place::Small).with(|plan| plan.working_set_pages = 20);
    [driver, victim, server(program::CRASH, reader)]
}

/// The talk's objection. With the refusal lifted a 64-bit program reads a small space, as long as there is something.
#[test]
fn nothing_keeps_a_64_bit_program_from_reading_a_small_space() {
    let servers = read_small(Place::User);
    let Some(message) = refusal(&servers, 0) else { return };
    assert!(message.contains("ignores base and limit"), "{message}");
    let Some(run) = finish_32(&servers, flag::MIX_64_BIT, 1) else { return };
    assert_eq!(run.samples, [status::OK, status::OK, status::PARTNER_DEAD]);
}

/// The limit stops a 32-bit program, in a large space or in the next slot.
#[test]
fn the_limit_keeps_a_32_bit_program_from_reading_a_small_space() {
    let beyond = |reader: Place| {
        let mut servers = read_small(reader);
        if reader == Place::Small {
            // The reader's addresses begin at its own slot, the next one: down to the victim's, around the end of memory.
            servers[0].plan.arguments[scenario::PARAMETER] += (1 << 32) - SMALL_BASE - (2 << 20);
        }
        servers
    };
    for reader in [Place::Large, Place::Small] {
        let Some(run) = finish(&beyond(reader)) else { return };
        if !has_feature(&run, feature::SEGMENT_LIMITS) {
            assert_eq!(run.samples[0], status::OK, "{reader:?}: without limits nothing keeps it, either");
            continue;
        }
        assert_eq!(run.samples, [status::PARTNER_DEAD, status::OK, status::PARTNER_DEAD], "{reader:?}");
        let [fault] = &run.faults[..] else { panic!("{reader:?}: one fault, not {:?}", run.faults) };
        assert_eq!(
            (fault.fault.server, fault.fault.vector),
            (2, GENERAL_PROTECTION),
            "{reader:?}: {fault:?}"
        );
    }
}

#[test]
fn what_segments_do_is_found_out_where_it_is_asked_for() {
    let mut config = config(&[client(Place::User, empty(), 1), server(program::NULL, Place::User)]);
    config.plan_flags = flag::PROBE_SEGMENTS;
    let Some(run) = boot(&config) else { return };
    assert_eq!(run.outcome, Outcome::Finished { status: 0 });
    let limits_without_bases =
        run.features & (feature::SEGMENT_BASES | feature::SEGMENT_LIMITS) == feature::SEGMENT_LIMITS;
    assert!(!limits_without_bases);
    has_feature(&run, feature::SEGMENT_BASES);
    has_feature(&run, feature::SEGMENT_LIMITS);
}

/// The trace lens follows 32-bit programs through their segments and every gate: [`inkbed::lens::trace::trace`] has compared it
/// with the kernel's counters, and no instruction is missing.
#[test]
fn a_trace_follows_32_bit_programs() {
    let Some(run) = finish(&pair(Place::Large, Place::Small, 0)) else { return };
    let gates =
        [(0, 0), (flag::GATE_SYSENTER, feature::SYSENTER_32), (flag::GATE_SYSCALL, feature::SYSCALL_32)];
    for (gate, _) in gates.into_iter().filter(|(_, needed)| run.features & needed == *needed) {
        for (place, loads) in [(Place::Small, 0), (Place::Kernel, 0), (Place::Large, 2)] {
            for words in [0, 4] {
                let case = format!("gate {gate:#x}, {place:?}, {words} words");
                let mut config = config(&pair(Place::Large, place, words));
                config.plan_flags = gate;
                let trace = traced(&config).expect("a guest has just been booted");
                let summary = trace.unwrap_or_else(|error| panic!("{case}: {error}")).summary;
                assert_eq!(summary.varying, 0, "{case}");
                let counts = &summary.counts;
                assert_eq!(counts.kinds.page_table_loads, loads, "{case}");
                assert_eq!(counts.context_switches, 2, "{case}");
                assert_eq!(counts.phases.get(&Phase::SlowPath), None, "{case}");
                let calls = if place == Place::Kernel { 1 } else { 2 };
                let kinds = &counts.kinds;
                let entries = kinds.software_interrupts + kinds.sysenters + kinds.system_calls;
                assert_eq!((entries, kinds.interrupt_returns), (calls, calls), "{case}");
                let (all, path) = (counts.instructions, counts.path_instructions);
                println!("{case}: {all} instructions, {path} of kernel and stubs");
            }
        }
    }
}
