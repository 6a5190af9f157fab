//! Many threads: the experiments `scaling` and `monolith`, and what does not grow with the number of threads and CPUs.

use std::time::{Duration, Instant};

use abi::plan::{PlanServer, server_flag};
use abi::program;
use inkbed::guest_image::GuestImage;
use inkbed::lens::trace::counts::Counts;
use inkbed::machine::allowed_cpus;
use inkbed::machine::guest::{GuestRun, Outcome, Pin};
use inkbed::record::together::together;
use inkbed::workload::guest::guest_config;

use crate::harness::{BOTH_PLACES, Place, boot, call, case_of, client, config, counted, server};
use crate::trace::{ROUND_TRIPS, traced};

/// Handler threads of an L4Linux server for each CPU, by the talk's arithmetic.
const HANDLERS_PER_CPU: u32 = 47;

/// A guest that hangs gives its last words before whoever runs the tests gives up; a big one has the time that it takes.
fn deadline(vcpus: u32) -> Duration {
    Duration::from_secs(if vcpus <= 8 { 300 } else { 3_000 })
}

/// Boots the one case of a file with this `[[case]]`; it must finish with status 0.
fn run_case(case: &str) -> Option<GuestRun> {
    let case = case_of(case);
    let mut config = guest_config(&case.parameters, &GuestImage::embedded(), &Pin::None).unwrap();
    config.deadline = Some(deadline(config.vcpus));
    let run = boot(&config)?;
    assert_eq!(run.outcome, Outcome::Finished { status: 0 }, "faults: {:?}", run.faults);
    Some(run)
}

/// `scaling`: who stays on its CPU takes neither letter nor interrupt, whoever serves; a central server takes both.
#[test]
fn clients_on_all_cpus_are_served() {
    for place in ["user", "kernel"] {
        for (serving, vcpus, remote_per_client) in
            [("pairs", 2, 0), ("pairs", 4, 0), ("per_cpu", 4, 0), ("central", 3, 2), ("across", 3, 1)]
        {
            let case = format!(
                "workload = \"scaling\"\nserver = \"{place}\"\nserving = \"{serving}\"\nvcpus = {vcpus}\nsamples = 30\n"
            );
            let Some(run) = run_case(&case) else { return };
            let clients = if serving == "across" { 1 } else { vcpus };
            assert_eq!(run.round_trips, 30 * clients, "{case}");
            assert_eq!(run.samples.len() as u64, run.round_trips, "{case}");
            let all = counted(&run);
            assert_eq!(all.ipc_remote, 30 * remote_per_client, "{case}");
            if remote_per_client == 0 {
                let loads = if place == "user" { 2 } else { 0 };
                assert_eq!(
                    (all.ipc_fast, all.page_table_loads),
                    (2 * run.round_trips, loads * run.round_trips)
                );
                // The first mark lets the others go with an interrupt each, unless they spin because the host has room for
                // all of them.
                let spins = allowed_cpus().unwrap().len() as u64 >= vcpus;
                assert!(all.ipis <= if spins { 0 } else { vcpus }, "{all:?}");
            }
            let threads = together(&run.cpus, run.tsc_hz).map(|together| together.threads);
            assert_eq!(threads, (clients > 1).then_some(clients), "{case}");
        }
    }
}

/// Room for samples is there before the first mark, all of it: between the marks the host gives the guest no page.
#[test]
fn no_page_of_samples_is_touched_for_the_first_time_between_the_marks() {
    const SAMPLES: u64 = 200_000;
    let Some(run) = run_case(&format!("workload = \"empty\"\nsamples = {SAMPLES}\nwarm_up = 0\n")) else {
        return;
    };
    assert_eq!(run.samples.len() as u64, SAMPLES);
    let Some(given) = run.kvm_stats.get("pf_fixed") else {
        println!("skipped: KVM does not count the pages that it gives");
        return;
    };
    assert!(*given < SAMPLES / 512 / 2, "{given} pages");
}

/// `monolith`: every handler on every CPU answers, as thread of one server and as server of its own.
fn every_handler_answers(vcpus: u64, shape: &str, workload: &str, place: &str) {
    let handlers = u64::from(HANDLERS_PER_CPU) * vcpus;
    let case = format!(
        "workload = \"{workload}\"\nserver = \"{place}\"\nshape = \"{shape}\"\nvcpus = {vcpus}\nwarm_up = 0\nsamples = {HANDLERS_PER_CPU}\n"
    );
    let Some(run) = run_case(&case) else { return };
    assert_eq!((run.round_trips, run.samples.len() as u64), (handlers, handlers), "{case}");
    assert!(run.samples.iter().all(|sample| *sample > 0), "{case}");
    assert_eq!(counted(&run).ipc_remote, 0, "{case}");
}

#[test]
fn handlers_answer_and_wake_in_either_shape() {
    for shape in ["monolith", "natural"] {
        for workload in ["handler_call", "handler_wake_up"] {
            for place in ["user", "kernel"] {
                every_handler_answers(2, shape, workload, place);
            }
        }
    }
}

/// A handler that faults takes all threads of its server along, and nobody else.
#[test]
fn a_fault_ends_one_natural_handler_or_the_whole_monolith() {
    let handlers = u64::from(HANDLERS_PER_CPU) * 2;
    for place in ["user", "kernel"] {
        for (shape, ended, failed) in [("monolith", handlers, handlers - 1), ("natural", 1, 0)] {
            let case = format!(
                "workload = \"handler_fault\"\nserver = \"{place}\"\nshape = \"{shape}\"\nvcpus = 2\n"
            );
            let Some(run) = run_case(&case) else { return };
            let all = counted(&run);
            assert_eq!((all.threads_ended, all.faults), (ended, 1), "{case}");
            assert_eq!(
                (run.calls_failed, run.calls_answered_meanwhile),
                (failed, handlers - 1 - failed),
                "{case}"
            );
        }
    }
}

/// The talk's machine: 8 processors with 80 cores each, 47 handlers to a core.
#[test]
#[ignore = "takes half a minute: 640 vCPUs, 30,080 threads"]
fn the_talks_30080_handlers_answer() {
    let begin = Instant::now();
    every_handler_answers(640, "monolith", "handler_call", "kernel");
    println!("640 vCPUs, 30,080 threads: {:.1} s", begin.elapsed().as_secs_f64());
}

/// What a round trip executes: thread 0 of a server with so many threads is called, on a guest with so many CPUs.
fn path(place: Place, vcpus: u32, threads: u32) -> Option<Counts> {
    let spread = |plan: &mut PlanServer| {
        (plan.cpu_count, plan.thread_count, plan.stack_pages) = (vcpus, threads, 1);
        plan.flags |= server_flag::THREAD_ENDPOINTS;
    };
    let servers = [client(Place::User, call(0), ROUND_TRIPS + 1), server(program::NULL, place).with(spread)];
    let mut config = config(&servers);
    config.vcpus = vcpus;
    config.memory_bytes = (64 << 20) + u64::from(threads) * (16 << 10) + u64::from(vcpus) * (128 << 10);
    config.deadline = Some(deadline(vcpus));
    let trace = traced(&config)?.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(trace.summary.varying, 0, "{place:?}");
    Some(trace.summary.counts)
}

/// Invariant 7 of docs/invariants.md, to the instruction: neither threads nor CPUs make the path longer, and nothing else changes in it.
fn the_path_is_that_of_three_threads_on_one_cpu(vcpus: u32, threads: u32) {
    for place in BOTH_PLACES {
        let Some(small) = path(place, 1, 3) else { return };
        let Some(large) = path(place, vcpus, threads) else { return };
        assert_eq!(small.instructions, large.instructions, "{place:?}");
        assert_eq!((small.phases, small.kinds), (large.phases, large.kinds), "{place:?}");
    }
}

#[test]
fn the_path_does_not_grow_with_cpus_and_threads() {
    the_path_is_that_of_three_threads_on_one_cpu(4, 4 * HANDLERS_PER_CPU);
}

#[test]
#[ignore = "takes a minute: 640 vCPUs, 30,080 threads"]
fn the_path_of_30080_threads_on_640_cpus_is_that_of_three_on_one() {
    let begin = Instant::now();
    the_path_is_that_of_three_threads_on_one_cpu(640, 640 * HANDLERS_PER_CPU);
    println!("640 vCPUs, 30,080 threads, traced twice: {:.1} s", begin.elapsed().as_secs_f64());
}
