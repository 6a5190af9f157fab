//! Random operations by threads on all CPUs, checked by those who make them: every call is answered once and rightly or fails
//! because its server is dead, no thread is lost, no count and no frame. A failure names its seed; `INKBED_STRESS_SEED` replays
//! it, as far as the host's schedule allows, and `INKBED_STRESS_RUNS` asks for more seeds.

use abi::plan::{flag, server_flag, trust};
use abi::program::{self, stress};
use abi::report::feature;
use inkbed::machine::guest::Outcome;

use crate::harness::{BOTH_PLACES, Place, Server, boot, config, server};

/// Threads of the driver on each CPU.
const THREADS_PER_CPU: u32 = 2;

/// The case with this seed.
fn run(seed: u64, vcpus: u32, place: Place, plan_flags: u64, operations: u64) {
    let spread = |server: Server, threads: u32| {
        server.with(|plan| (plan.cpu_count, plan.thread_count) = (vcpus, threads))
    };
    let trusted = |name| server(name, Place::User).with(|plan| plan.trust_group = trust::CRITICAL_TRUSTED);
    let migratable = |name| trusted(name).with(|plan| plan.flags |= server_flag::MIGRATABLE);
    let threads = vcpus * THREADS_PER_CPU;
    let driver = spread(server(program::STRESS, place), threads).reaching(&[1, 2, 3, 4, 5]).with(|plan| {
        plan.flags = server_flag::DRIVER;
        plan.arguments[stress::SEED] = seed;
        plan.arguments[stress::OPERATIONS] = operations;
        plan.arguments[stress::CPUS] = vcpus.into();
    });
    let mut config = config(&[
        driver,
        migratable(program::ECHO),
        spread(migratable(program::ECHO), vcpus),
        spread(migratable(program::COUNTER), 1),
        trusted(program::CRASH).with(|plan| plan.first_cpu = 1),
        spread(trusted(program::ECHO), 2),
    ]);
    (config.vcpus, config.plan_flags) = (vcpus, plan_flags);
    let Some(run) = boot(&config) else { return };
    let is_without_pcid = plan_flags & flag::PCID != 0 && run.features & feature::PCID == 0;
    if is_without_pcid && matches!(run.outcome, Outcome::Refused { .. }) {
        return println!("skipped: the guest's CPU has no pcid");
    }
    let case = format!("INKBED_STRESS_SEED={seed}: {vcpus} CPUs, {place:?}, {operations} operations");
    assert_eq!(run.outcome, Outcome::Finished { status: 0 }, "{case}, faults: {:?}", run.faults);
    assert_eq!(run.round_trips, u64::from(threads) * operations, "{case}");
    let faulted = run.faults.iter().find(|fault| fault.fault.server != 4);
    assert!(faulted.is_none(), "{case}: {faulted:?}");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().expect("a number"))
}

/// The seeds to run: the one of the environment, or so many from 1 on.
fn seeds(count: u64) -> std::ops::RangeInclusive<u64> {
    match number("INKBED_STRESS_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("INKBED_STRESS_RUNS").unwrap_or(count),
    }
}

#[test]
fn smp_stress() {
    for seed in seeds(1) {
        for vcpus in [2, 4] {
            for place in BOTH_PLACES {
                run(seed, vcpus, place, 0, 60);
            }
        }
        run(seed, 2, Place::User, flag::PCID, 60);
    }
}

#[test]
#[ignore = "long"]
fn smp_stress_long() {
    for seed in seeds(200) {
        let place = BOTH_PLACES[seed as usize % 2];
        let plan_flags = if seed / 2 % 2 == 0 { 0 } else { flag::PCID };
        run(seed, 2 + seed as u32 % 7, place, plan_flags, 150);
    }
}
