//! The trace lens: exact counts on a real guest, the same on every KVM.

use std::collections::BTreeMap;
use std::time::Duration;

use abi::call::{REGISTER_WORDS, number};
use abi::program;
use abi::report::feature;
use abi::workload::{Loop, method, slots};
use iced_x86::code_asm::*;
use inkbed::guest_image::GuestImage;
use inkbed::lens::trace::gap::Gap;
use inkbed::lens::trace::phase::Phase;
use inkbed::lens::trace::timeline::{Timeline, TraceEvent};
use inkbed::lens::trace::{self, Summary, Trace, TraceError};
use inkbed::machine::StopFlag;
use inkbed::machine::guest::{GuestConfig, Outcome, Pin};
use inkbed::tlb::stream::Event;
use inkbed::tlb::{BUILT_IN, Model, WhatIf};
use inkbed::workload::guest::traced_guest_config;

use crate::flush::migration;
use crate::harness::{
    BOTH_PLACES, Place, Server, alternate, call, case_of, client, config, empty, finish, null_system_call,
    server,
};
use crate::kvm::require_kvm;
use crate::raw::{self, Assembled, assemble, call_stub};

/// Complete round trips of each trace; the client makes one more.
pub const ROUND_TRIPS: u64 = 3;

/// Traces the guest; `None` where this machine cannot.
pub fn traced(config: &GuestConfig) -> Option<Result<Trace, TraceError>> {
    require_kvm().then(|| trace::trace(config, &StopFlag::new().expect("a stop flag")))
}

/// A client that calls a server with so many words.
pub fn pair(client_place: Place, server_place: Place, words: u64) -> [Server; 2] {
    let program = if words == 0 { program::NULL } else { program::ECHO };
    [client(client_place, call(words), ROUND_TRIPS + 1), server(program, server_place)]
}

/// The trace of these servers, without a gap.
fn trace_of(servers: &[Server]) -> Option<Trace> {
    Some(traced(&config(servers))?.unwrap_or_else(|error| panic!("{error}")))
}

/// Loads of CR3 per round trip: invariant 2, as in `page_table_loads`.
fn expected_loads(client_place: Place, server_place: Place) -> u64 {
    if (client_place, server_place) == (Place::User, Place::User) { 2 } else { 0 }
}

/// [`trace::trace`] has compared the trace with the kernel's counters; here both meet the expectation.
#[test]
fn loads_and_switches_are_those_of_the_placement_and_every_round_trip_is_the_same() {
    for client_place in BOTH_PLACES {
        for server_place in BOTH_PLACES {
            for words in [0, 4] {
                let case = format!("{client_place:?} to {server_place:?}, {words} words");
                let Some(trace) = trace_of(&pair(client_place, server_place, words)) else { return };
                let summary = &trace.summary;
                assert_eq!(summary.round_trips, ROUND_TRIPS, "{case}");
                assert_eq!(summary.varying, 0, "{case}");
                let counts = &summary.counts;
                let loads = expected_loads(client_place, server_place);
                assert_eq!(counts.kinds.page_table_loads, loads, "{case}");
                assert_eq!(counts.context_switches, 2, "{case}");
                let calls =
                    [client_place, server_place].iter().filter(|place| **place == Place::User).count();
                assert_eq!(counts.kinds.system_calls, calls as u64, "{case}");
                assert_eq!(counts.kinds.system_returns, calls as u64, "{case}");
                assert_eq!(counts.ring_0 + counts.ring_3, counts.instructions, "{case}");
                assert_eq!(counts.phases.values().sum::<u64>(), counts.instructions, "{case}");
                assert_eq!(counts.phases.get(&Phase::SlowPath), None, "{case}");
                assert_eq!(summary.functions().values().sum::<u64>(), counts.instructions, "{case}");
                assert!(
                    summary.functions().keys().any(|name| name.starts_with("kernel::ipc::fast")),
                    "{case}"
                );
                assert_eq!(counts.kinds.interrupt_returns + counts.kinds.msr_writes, 0, "{case}");
            }
        }
    }
}

#[test]
fn the_same_case_counts_the_same_twice() {
    let servers = pair(Place::User, Place::User, 4);
    let (Some(first), Some(second)) = (trace_of(&servers), trace_of(&servers)) else { return };
    assert_eq!(first.summary, second.summary);
    assert_eq!(first.listing(), second.listing());
    assert_eq!(first.folded(), second.folded());
}

/// The detour is made exactly where SYSCALL arrives as a page fault, and is in no count.
#[test]
fn the_system_call_detour_is_counted_apart() {
    let Some(trace) = trace_of(&pair(Place::User, Place::User, 0)) else { return };
    let has_detour = trace.summary.detour_instructions > 0;
    let first = &trace.recording.steps[trace.round_trips[0].clone()];
    let after_call =
        first.iter().position(|step| step.code() == [0x0f, 0x05]).map(|index| first[index + 1].address);
    assert_eq!(after_call != Some(trace.recording.system_call_entry), has_detour);
    assert!(!trace.summary.counts.phases.contains_key(&Phase::Detour));
}

/// A slow operation has its phase, and round trips of several calls stay whole.
#[test]
fn slow_paths_and_several_calls_in_one_round_trip() {
    let Some(trace) = trace_of(&pair(Place::User, Place::User, 40)) else { return };
    assert!(trace.summary.counts.phases[&Phase::SlowPath] > 0);
    assert_eq!(trace.summary.counts.context_switches, 2);

    for (place, loads) in [(Place::Kernel, 2), (Place::User, 6)] {
        let client = client(Place::User, alternate(0), ROUND_TRIPS + 1).reaching(&[1, 2]);
        let relay = server(program::RELAY, Place::User).reaching(&[1]);
        let Some(trace) = trace_of(&[client, server(program::NULL, place), relay]) else { return };
        assert_eq!(trace.summary.round_trips, ROUND_TRIPS, "{place:?}");
        assert_eq!(trace.summary.varying, 0, "{place:?}");
        assert_eq!(trace.summary.counts.kinds.page_table_loads, loads, "{place:?}");
        assert_eq!(trace.summary.counts.context_switches, 6, "{place:?}");
    }
}

/// Where KVM emulates ring 0, it counts what the trace says that it counts, however long the message that the kernel copies:
/// [`inkbed::lens::trace::repeat`].
#[test]
fn kvm_emulates_as_many_instructions_as_the_trace_says() {
    for words in [0, 4, 8, 64, 512] {
        let servers = pair(Place::User, Place::User, words);
        let Some(restarts) = emulated_as_traced(&servers, &format!("{words} words")) else { return };
        assert_eq!(restarts > 0, words > REGISTER_WORDS, "{words} words");
    }
}

/// The guest that is measured and the one that is traced move the same pages, though only the first has a steal-time record.
#[test]
fn kvm_emulates_as_many_instructions_as_the_trace_says_where_servers_move() {
    for (pages, partners) in [(0, 0), (16, 2), (64, 0)] {
        let servers = migration(pages, partners, method::ONE_BY_ONE, ROUND_TRIPS + 1);
        let Some(_) = emulated_as_traced(&servers, &format!("{pages} pages")) else { return };
    }
}

/// Compares KVM's count with the trace of the same servers; `None` where this KVM counts nothing of the kind. Returns how often its
/// emulator began an instruction anew.
fn emulated_as_traced(servers: &[Server], case: &str) -> Option<u64> {
    let (trace, run) = (trace_of(servers)?, finish(servers)?);
    let Summary { between_marks: counts, detour_between_marks: detour, .. } = &trace.summary;
    let emulated = run.kvm_stats.get("insn_emulation").filter(|emulated| **emulated > counts.ring_0);
    let Some(emulated) = emulated else {
        println!("skipped: this KVM does not emulate ring 0");
        return None;
    };
    assert_eq!(*emulated, counts.ring_0 + detour + counts.emulator_restarts, "{case}");
    Some(counts.emulator_restarts)
}

/// A client without a partner: the way into the kernel and back.
#[test]
fn a_null_system_call_is_a_round_trip_without_a_switch() {
    for place in BOTH_PLACES {
        let client = client(place, null_system_call(), ROUND_TRIPS + 1).reaching(&[]);
        let Some(trace) = trace_of(&[client]) else { return };
        assert_eq!(trace.summary.varying, 0, "{place:?}");
        assert_eq!(trace.summary.counts.context_switches, 0, "{place:?}");
        assert_eq!(trace.summary.counts.kinds.page_table_loads, 0, "{place:?}");
    }
}

#[test]
fn the_stream_for_tlb_models_has_every_load_and_every_mark() {
    let Some(trace) = trace_of(&pair(Place::User, Place::User, 0)) else { return };
    let mut events: Vec<Event> = Vec::new();
    trace.events(&mut events);
    let count = |is_so: fn(&Event) -> bool| events.iter().filter(|event| is_so(event)).count() as u64;
    assert_eq!(count(|event| *event == Event::RoundTrip), ROUND_TRIPS + 1);
    let loads = count(|event| matches!(event, Event::LoadPageTable { .. }));
    assert_eq!(loads, trace.summary.between_marks.kinds.page_table_loads);
    let has_global = crate::harness::has_feature(&trace.run, feature::GLOBAL_PAGES);
    let global = count(|event| matches!(event, Event::Access(access) if access.global));
    assert_eq!(global > 0, has_global);
    assert!(count(|event| matches!(event, Event::Access(access) if access.user)) > 0);
}

#[test]
fn listing_and_folded_stacks_show_every_instruction_once() {
    let Some(trace) = trace_of(&pair(Place::User, Place::Kernel, 0)) else { return };
    let summary = &trace.summary;
    let instructions = |text: &str| text.lines().filter(|line| line.starts_with("  ")).count() as u64;
    assert_eq!(instructions(&trace.listing()), summary.counts.instructions + summary.detour_instructions);
    let width = |line: &str| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
    assert_eq!(trace.folded().lines().filter_map(width).sum::<u64>(), summary.counts.instructions);
    assert!(trace.folded().contains(";fast path;"));
}

/// What cannot be traced is refused with the reason: a case that fails, one without round trips, one whose round trips go to
/// another CPU. CPUs with work of their own do no harm.
#[test]
fn what_cannot_be_counted_is_refused() {
    const UNKNOWN: abi::workload::Arguments = [99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let Some(refused) = traced(&config(&[client(Place::User, empty(), 3).reaching(&[])])) else {
        return;
    };
    assert!(matches!(refused, Err(TraceError::NoRoundTrip)));
    let failing = client(Place::User, UNKNOWN, 3).reaching(&[]);
    assert!(matches!(traced(&config(&[failing])), Some(Err(TraceError::Outcome(_)))));
    let mut two = config(&pair(Place::User, Place::User, 0));
    two.vcpus = 2;
    assert!(matches!(traced(&two), Some(Ok(_))));
    two.servers[1].first_cpu = 1;
    assert!(matches!(traced(&two), Some(Err(TraceError::OtherCpu(4)))));
}

/// A server that goes on like this at its second call.
fn ends_with(end: impl Fn(&mut CodeAssembler) -> Assembled, warm_up: u64) -> GuestConfig {
    let driver = client(Place::User, call(0), ROUND_TRIPS + 1)
        .with(|plan| Loop { warm_up, ..Loop::of(&plan.arguments) }.put(&mut plan.arguments));
    let mut config = config(&[driver, raw::raw(Place::Kernel)]);
    let code = assemble(64, |a| {
        let mut again = a.create_label();
        call_stub(a, number::WAIT)?;
        a.xor(esi, esi)?;
        call_stub(a, number::REPLY_AND_WAIT)?;
        a.set_label(&mut again)?;
        end(a)?;
        a.jmp(again)
    });
    raw::set_code(&mut config, 1, &code);
    config
}

/// The samples of a round trip, three numbers, lie on one cache line or on two. That is no other way through the kernel.
#[test]
fn where_the_samples_lie_is_no_other_path() {
    let case = case_of("workload = \"directions\"\nserver = \"user\"");
    let config = traced_guest_config(&case.parameters, 8, &GuestImage::embedded(), &Pin::None).unwrap();
    let Some(trace) = traced(&config) else { return };
    let summary = trace.unwrap_or_else(|error| panic!("{error}")).summary;
    assert_eq!((summary.round_trips, summary.varying), (8, 0));
    // Of eight times 24 bytes two cross a line, whichever round trip is the first.
    assert!(matches!(summary.varying_footprint, 2 | 6), "{}", summary.varying_footprint);
}

/// No instruction leads from a server that faults to the kernel. Before the first mark the same fault does no harm to the trace.
#[test]
fn a_server_that_faults_between_the_marks_is_told() {
    let Some(traced) = traced(&ends_with(|a| a.ud2(), 1)) else { return };
    let Err(error) = traced else { panic!("the server has answered") };
    let TraceError::Faults { first } = &error else { panic!("{error}") };
    assert!(first.contains("invalid opcode"), "{first}");
}

/// A guest that waits for ever is found out in a trace, too, long before its deadline: before the marks it is a deadlock, and
/// between them an instruction that cannot be followed.
#[test]
fn a_traced_guest_that_halts_for_ever_is_told() {
    let halts = |a: &mut CodeAssembler| a.hlt();
    let Some(before_the_marks) = traced(&ends_with(halts, 2)) else { return };
    let Err(TraceError::Outcome(outcome)) = before_the_marks else { panic!("the server has answered") };
    assert_eq!(*outcome, Outcome::Deadlock);
    let Some(Err(error)) = traced(&ends_with(halts, 1)) else { panic!("the server has answered") };
    assert!(matches!(error, TraceError::Gap(Gap::CannotFollow { .. })), "{error}");
}

/// The deadline of a case is that of its trace.
#[test]
fn a_traced_server_in_an_endless_loop_meets_the_deadline() {
    for warm_up in [1, 2] {
        let mut config = ends_with(|a| a.nop(), warm_up);
        config.deadline = Some(Duration::from_millis(300));
        let Some(traced) = traced(&config) else { return };
        let Err(TraceError::Outcome(outcome)) = traced else { panic!("the server has answered") };
        assert!(matches!(*outcome, Outcome::Hang { .. }), "{outcome:?}");
    }
}

/// The case that a trace is taken of, from an experiment file.
#[test]
fn the_trace_of_a_case_has_its_deadline() {
    let case = case_of("workload = \"call\"\nserver = \"user\"\ndeadline_seconds = 5");
    let config = traced_guest_config(&case.parameters, 4, &GuestImage::embedded(), &Pin::None).unwrap();
    assert_eq!(config.deadline, Some(Duration::from_secs(5)));
}

/// The talk's claim in a model: behind every page-table load a Pentium refills its TLB, and a server in the kernel spares
/// both. Every built-in model takes the stream, and counts the loads that the trace counts.
#[test]
fn tlb_models_run_on_real_traces() {
    let reports = |server_place| {
        let trace = trace_of(&pair(Place::User, server_place, 0))?;
        let mut events: Vec<Event> = Vec::new();
        trace.events(&mut events);
        let report = |(name, _): (&str, &str)| {
            let model = Model::load(name).expect("a built-in model");
            let report = WhatIf::AsRecorded.run(&model, &events);
            let steady = report.steady.expect("several round trips");
            assert_eq!(steady.page_table_loads, trace.summary.counts.kinds.page_table_loads, "{name}");
            steady.total().flush_refills
        };
        Some(BUILT_IN.map(report))
    };
    let (Some(user), Some(kernel)) = (reports(Place::User), reports(Place::Kernel)) else { return };
    assert!(user.iter().all(|refills| *refills > 0), "{user:?}");
    assert!(kernel.iter().all(|refills| *refills == 0), "{kernel:?}");
}

/// With PCIDs the path is as long, and its loads keep the TLB.
#[test]
fn pcids_change_the_loads_and_not_their_number() {
    let mut config = config(&pair(Place::User, Place::User, 0));
    config.plan_flags = abi::plan::flag::PCID;
    let trace = match traced(&config) {
        Some(Ok(trace)) => trace,
        Some(Err(TraceError::Outcome(outcome))) => {
            assert!(matches!(*outcome, Outcome::Refused { .. }), "{outcome:?}");
            println!("skipped: the guest's CPU has no pcid");
            return;
        }
        Some(Err(error)) => panic!("{error}"),
        None => return,
    };
    assert_eq!(trace.summary.varying, 0);
    assert_eq!(trace.summary.counts.kinds.page_table_loads, 2);
    assert!(trace.recording.has_pcids);
    let mut events: Vec<Event> = Vec::new();
    trace.events(&mut events);
    let keeps = |event: &Event| match event {
        Event::LoadPageTable { value } => value >> 63 == 1,
        _ => true,
    };
    assert!(events.iter().all(keeps));
}

/// Invariant 7 of docs/invariants.md: a call, and to stop a server, start it again and call it twice, takes the same instructions whether
/// the server is alone or one of ten, a hundred or a thousand, as in the experiment `slots`.
#[test]
fn nothing_takes_longer_with_a_thousand_servers() {
    for (place, placement) in
        [(Place::User, abi::plan::placement::USER), (Place::Kernel, abi::plan::placement::KERNEL)]
    {
        let restart = slots::Arguments { servers: 1, placement: placement.into() }.encode();
        for arguments in [call(0), restart] {
            let instructions = |count: usize| {
                let driver = client(Place::User, arguments, ROUND_TRIPS + 1);
                let mut servers = vec![driver];
                servers.extend((0..count).map(|_| server(program::NULL, place)));
                let mut config = config(&servers);
                config.memory_bytes = 256 << 20;
                let trace = traced(&config)?.unwrap_or_else(|error| panic!("{error}"));
                // The shortest of them: on a slow host a time slice may end within a round trip.
                Some(trace.summary.counts.instructions)
            };
            let counts = [1, 10, 100, 1_000].map(instructions);
            assert!(counts.iter().all(|count| *count == counts[0]), "{place:?}, {arguments:?}: {counts:?}");
        }
    }
}

/// The timeline, read back: what lasts adds up to the trace's counts, and what happens is as often as it was counted.
#[test]
fn a_timeline_has_what_the_trace_counts() {
    for server in BOTH_PLACES {
        let Some(trace) = trace_of(&pair(Place::User, server, 0)) else { return };
        let model = Model::load("skylake-sp").unwrap();
        let text = serde_json::to_string(&trace.timeline("call", &model)).unwrap();
        let timeline: Timeline = serde_json::from_str(&text).unwrap();
        assert!(timeline.other_data["clock"].contains("instructions"));
        let counts = &trace.summary.counts;
        let of = |kind: &str| -> Vec<&TraceEvent> {
            timeline.trace_events.iter().filter(|event| event.cat == kind).collect()
        };
        let by_name = |kind: &str| {
            let mut sums = BTreeMap::new();
            for event in of(kind) {
                assert_eq!(event.ph, "X", "{event:?}");
                *sums.entry(event.name.clone()).or_insert(0) += event.dur.unwrap();
            }
            sums
        };
        let phases: BTreeMap<String, u64> =
            counts.phases.iter().map(|(phase, count)| (phase.name().to_owned(), *count)).collect();
        assert_eq!(by_name("phase"), phases);
        assert_eq!(by_name("function"), trace.summary.functions());
        assert_eq!(by_name("page table").values().sum::<u64>(), counts.instructions);
        let calls: Vec<_> = of("system call").iter().map(|event| (event.name.as_str(), event.dur)).collect();
        let own = counts.instructions - counts.phases[&Phase::Client];
        assert_eq!(calls, [("CALL", Some(own))]);
        let happened = |name: &str| of("event").iter().filter(|event| event.name == name).count() as u64;
        assert_eq!(happened("page-table load"), counts.kinds.page_table_loads);
        assert_eq!(happened("thread switch"), counts.context_switches);
        // One space more is entered than page tables are loaded, as the first one is there already.
        assert_eq!(of("page table").len() as u64, counts.kinds.page_table_loads + 1);
        let walks: u64 = of("page walk").iter().map(|event| event.args["walks"].as_u64().unwrap()).sum();
        let mut events: Vec<Event> = Vec::new();
        trace.events(&mut events);
        let report = WhatIf::AsRecorded.run(&model, &events);
        assert_eq!(walks, report.round_trips.last().unwrap().total().walks);
    }
}
