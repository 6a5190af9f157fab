//! Random servers in ring 3, from a seed each: random system calls with random arguments, random flags and instructions, jumps
//! to the kernel's entry, faults. Many of them run beside honest clients and servers on one or two CPUs. Whatever they do, the
//! kernel does not panic and the case does not hang, honest clients get every answer of honest servers as it was sent, and
//! whoever calls a hostile server gets an answer or an error, at the latest when the driver stops it.
//!
//! `INKBED_HOSTILE_SERVERS` is how many, `INKBED_HOSTILE_SEED` the first seed; a guest has one seed and 20 of them. 20,000 take
//! seven minutes on two CPUs; the command is in docs/invariants.md.

mod code_32;
mod code_64;
mod honest;
mod values;

use std::sync::atomic::{AtomicU64, Ordering};

use abi::plan::{flag, server_flag, trust};
use abi::program;
use inkbed::machine::guest::{GuestConfig, Outcome};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::harness::{PRIORITY, Place, Server, boot, config, server};
use crate::long::{MEMORY_MAX, number, peak_memory};
use crate::raw::{raw, set_code};
use honest::{Neighbours, OTHER_NUMBERS};

/// Hostile servers in one guest.
const SERVERS_PER_GUEST: u64 = 20;

/// Servers of the plan that hostile ones may reach: an `echo` in ring 3, one in the kernel that moves, the callers.
const ECHO_OUTSIDE: u32 = 1;
const ECHO_INSIDE: u32 = 2;
/// One that they may not.
const COUNTER: u32 = 3;
const CALLERS: [u32; 2] = [4, 5];
const FIRST_HOSTILE: u32 = 6;

/// What this machine's guests have.
#[derive(Clone, Copy)]
struct Features {
    pcids: bool,
    /// Segments with bases, so servers of 32 bits.
    segments: bool,
}

/// The guest of this seed.
fn guest(seed: u64, features: Features) -> (GuestConfig, String) {
    let random = &mut ChaCha8Rng::seed_from_u64(seed);
    let vcpus = random.random_range(1..=2);
    let bits = if features.segments && random.random_bool(0.4) { 32 } else { 64 };
    // Beside small spaces nobody in ring 3 may be of 64 bits.
    let honest_place = |random: &mut ChaCha8Rng| {
        if bits == 64 && random.random() { Place::User } else { Place::Kernel }
    };
    let hostiles = FIRST_HOSTILE..FIRST_HOSTILE + SERVERS_PER_GUEST as u32;
    let reaching = |first: &[u32]| first.iter().copied().chain(hostiles.clone()).collect::<Vec<_>>();
    let echo_place = if bits == 64 { Place::User } else { Place::Small };
    let on_any_cpu = |server: Server, random: &mut ChaCha8Rng| {
        server.with(|plan| plan.first_cpu = random.random_range(0..vcpus))
    };
    let trusted = |server: Server| {
        server.with(|plan| {
            plan.trust_group = trust::CRITICAL_TRUSTED;
            plan.flags |= server_flag::MIGRATABLE;
        })
    };
    let driver = raw(honest_place(random))
        .reaching(&[ECHO_OUTSIDE, ECHO_INSIDE, COUNTER, CALLERS[0], CALLERS[1]])
        .with(|plan| plan.flags = server_flag::DRIVER);
    let inside = server(program::ECHO, Place::Kernel);
    let mut servers = vec![
        driver,
        on_any_cpu(server(program::ECHO, echo_place), random),
        // Moving it takes it to ring 3, where 32-bit servers want no company of 64 bits.
        on_any_cpu(if bits == 64 { trusted(inside) } else { inside }, random),
        on_any_cpu(server(program::COUNTER, Place::Kernel), random),
    ];
    for cpu in [0, vcpus - 1] {
        let caller = raw(honest_place(random)).reaching(&reaching(&[COUNTER]));
        servers.push(caller.with(|plan| plan.first_cpu = cpu));
    }
    for _ in hostiles.clone() {
        let place =
            if bits == 64 { Place::User } else { *[Place::Small, Place::Large].choose(random).unwrap() };
        servers.push(hostile(place, vcpus, random).reaching(&reaching(&[ECHO_OUTSIDE, ECHO_INSIDE, 4, 5])));
    }
    let neighbours =
        Neighbours { hostiles: hostiles.clone(), restarts: random.random_bool(0.3), moves: bits == 64 };
    let place = |index: u32| servers[index as usize].plan.placement;
    let codes = [(0, honest::driver(&neighbours, &place, random))]
        .into_iter()
        .chain(CALLERS.map(|caller| (caller, honest::caller(&neighbours, random))))
        .collect::<Vec<_>>();
    let mut config = config(&servers);
    for (index, code) in codes {
        set_code(&mut config, index as usize, &code);
    }
    for index in hostiles {
        let code = if bits == 64 { code_64::program(random) } else { code_32::program(random) };
        set_code(&mut config, index as usize, &code);
    }
    config.vcpus = vcpus;
    config.plan_flags = flag::time_slice_microseconds(random.random_range(200..3_000));
    config.plan_flags |= if features.pcids && random.random() { flag::PCID } else { 0 };
    config.plan_flags |= [0, flag::FLUSH_FULL, flag::FLUSH_BY_PAGE].choose(random).unwrap();
    if bits == 32 {
        // Their other doors where there are any: a plan that wants what the CPU has not is refused.
        config.plan_flags |= [0, 0, flag::GATE_SYSENTER, flag::GATE_SYSCALL].choose(random).unwrap();
    }
    let description = format!(
        "{bits}-bit servers on {vcpus} CPUs; to replay it:\n\
         INKBED_HOSTILE_SEED={seed} INKBED_HOSTILE_SERVERS=1 cargo test -p inkbed --test guest hostile_servers"
    );
    (config, description)
}

/// A hostile server: where and how it runs.
fn hostile(place: Place, vcpus: u32, random: &mut ChaCha8Rng) -> Server {
    raw(place).with(|plan| {
        plan.trust_group = random.random_range(1..=4);
        // Never above honest ones: priorities are strict.
        plan.priority = if random.random_bool(0.7) { PRIORITY } else { PRIORITY - 1 };
        plan.thread_count = *[1, 1, 2, 4].choose(random).unwrap();
        plan.first_cpu = random.random_range(0..vcpus);
        plan.cpu_count = random.random_range(1..=vcpus - plan.first_cpu);
        plan.working_set_pages = 1;
        if place == Place::User && random.random_bool(0.2) {
            // In one space with others of its kind.
            plan.space = FIRST_HOSTILE;
        }
        if random.random_bool(0.15) {
            plan.flags |= server_flag::THREAD_ENDPOINTS;
        }
    })
}

/// Runs the guest of this seed and judges what comes of it. The number of faults that its servers had.
fn judge(seed: u64, features: Features) -> u64 {
    let (mut config, description) = guest(seed, features);
    let mut run = boot(&config).expect("there is a KVM");
    if matches!(&run.outcome, Outcome::Refused { message } if message.contains("in compatibility mode")) {
        config.plan_flags &= !(flag::GATE_SYSENTER | flag::GATE_SYSCALL);
        run = boot(&config).expect("there is a KVM");
    }
    if run.outcome != (Outcome::Finished { status: 0 }) {
        panic!("{:?}, {:?}\n{description}\n{}", run.outcome, run.faults, honest::MEANING);
    }
    let told = [run.round_trips, run.calls_answered_meanwhile, run.calls_failed, run.channel_count.into()];
    assert_eq!(told, OTHER_NUMBERS, "what the driver has measured; {description}");
    assert!(run.samples.is_empty() && run.console.len() <= 1 << 20, "{description}");
    let innocent = run.faults.iter().find(|fault| fault.fault.server < FIRST_HOSTILE);
    assert!(innocent.is_none(), "{innocent:?}: {description}");
    run.cpus.iter().map(|cpu| cpu.end.faults).sum()
}

/// What the guests of this machine have; `None` without KVM.
fn features() -> Option<Features> {
    let is_taken = |place, flags| {
        let mut config = config(&[
            crate::harness::client(Place::Kernel, crate::harness::empty(), 1),
            server(program::NULL, place),
        ]);
        config.plan_flags = flags;
        Some(!matches!(boot(&config)?.outcome, Outcome::Refused { .. }))
    };
    Some(Features { pcids: is_taken(Place::Kernel, flag::PCID)?, segments: is_taken(Place::Small, 0)? })
}

#[test]
fn hostile_servers_hurt_nobody_but_their_callers() {
    let Some(features) = features() else { return };
    let (first, count) = (number("INKBED_HOSTILE_SEED", 0), number("INKBED_HOSTILE_SERVERS", 500));
    let guests = count.div_ceil(SERVERS_PER_GUEST);
    let (next, faults) = (AtomicU64::new(0), AtomicU64::new(0));
    let run = || loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= guests {
            return;
        }
        faults.fetch_add(judge(first + index, features), Ordering::Relaxed);
        if index > 0 && index.is_multiple_of(100) {
            println!("{} servers, at most {} MiB", index * SERVERS_PER_GUEST, peak_memory() >> 20);
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(run))));
    let faults = faults.into_inner();
    println!("{guests} guests, {faults} faults, {} bits", if features.segments { "32 and 64" } else { "64" });
    assert!(peak_memory() <= MEMORY_MAX, "{} bytes", peak_memory());
    // Some of them die of what they do, others live on.
    assert!(count < 500 || (guests..count).contains(&faults), "{faults} faults in {guests} guests");
}
