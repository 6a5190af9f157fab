//! Handlers on all CPUs: what the workloads with many of them have in common.

use abi::address::SLOT_COUNT;
use abi::region::THREADS_MAX;

use super::{Workload, parts};
use crate::case::key::{Absent, Heading, InName, Key, Kind};
use crate::case::value::{Word, words};
use crate::case::workload::{Crowd, Nature, Refused};
use crate::case::{Parameters, keys};
use crate::printable::grouped;
use crate::system::{PRIORITY, Participant, System, Target, Threads};

words! {
    /// What handlers are.
    HandlerShape {
        /// Threads of one server, like those of an L4Linux server.
        Monolith = "monolith",
        /// Servers of their own with one thread each, which the talk calls natural.
        Natural = "natural",
    }
}

/// What the handlers are.
pub static SHAPE: Key = Key {
    name: "shape",
    kind: Kind::Choice(HandlerShape::NAMES),
    absent: Absent::First,
    help: "`monolith`: the handlers are threads of one server, each with an endpoint of its own. `natural`: each handler is a server",
    order: 220,
    in_name: keys::bare(240),
    column: Some(Heading::plain("shape", 680, false)),
    ..Key::USUAL
};

/// Handlers on each CPU: 47 is an L4Linux server's number by the talk's arithmetic.
pub static HANDLERS_PER_CPU: Key = Key {
    name: "handlers_per_cpu",
    kind: Kind::Number(1, |_| (THREADS_MAX as i64, "the most threads of one server")),
    absent: Absent::Number(47),
    values: "1 … 32,736 / `vcpus`; natural ones in the kernel 30,720 / `vcpus`",
    help: "handlers on each CPU",
    may_be_set: true,
    order: 230,
    in_name: Some(InName { order: 250, text: |key, case| Some(format!("handlers={}", case.number(key)?)) }),
    column: Some(Heading {
        text: "handlers",
        order: 690,
        is_number: true,
        cell: |_, case| match count(case) {
            0 => String::new(),
            handlers => grouped(handlers),
        },
        tells: |_| true,
        usual: "",
    }),
    ..Key::USUAL
};

pub(super) static KEYS: &[&Key] =
    &[&keys::CLIENT, &keys::SERVER, &SHAPE, &HANDLERS_PER_CPU, &keys::SERVER_PROGRAM];

/// What they are like, where a client on each CPU measures.
pub(super) const NATURE: Nature = Nature {
    measures_on_all_cpus: true,
    is_crowd: true,
    has_time_slices: true,
    exists_in_32_bits: false,
    ..Nature::USUAL
};

/// Handlers on each CPU.
pub(super) fn per_cpu(case: &Parameters) -> u64 {
    case.number(&HANDLERS_PER_CPU).unwrap_or(1)
}

/// Handlers on all CPUs together.
pub fn count(case: &Parameters) -> u64 {
    case.number(&HANDLERS_PER_CPU).unwrap_or(0) * u64::from(case.vcpus)
}

fn is_monolith(case: &Parameters) -> bool {
    case.word(&SHAPE) == Some(HandlerShape::Monolith)
}

/// Refuses numbers of handlers that there is no room for.
pub(super) fn check(case: &Parameters) -> Result<(), Refused> {
    let (room, what) = match (is_monolith(case), case.server) {
        (true, _) => (u64::from(THREADS_MAX), "is the most threads of one server"),
        (false, Some(server)) if server.is_in_kernel() => {
            (SLOT_COUNT as u64, "is the number of slots of the kernel")
        }
        _ => return Ok(()),
    };
    let handlers = count(case);
    if handlers <= room {
        return Ok(());
    }
    let message = format!(
        "{} handlers on each of {} CPUs are {handlers}; {room} {what}",
        case.number(&HANDLERS_PER_CPU).unwrap_or(0),
        case.vcpus
    );
    Err(Refused::at(&HANDLERS_PER_CPU, message, "lower `handlers_per_cpu`, or `vcpus`"))
}

pub(super) fn crowd(case: &Parameters) -> Crowd {
    match is_monolith(case) {
        true => Crowd { servers: 0, threads: count(case) },
        false => Crowd { servers: count(case), threads: 0 },
    }
}

/// Handlers on all CPUs: threads of one server, or servers of their own. The client's thread on each CPU reaches those of its CPU;
/// one that is alone reaches all.
pub(super) fn system(workload: &dyn Workload, case: &Parameters) -> System {
    let (cpus, per_cpu) = (case.vcpus, per_cpu(case) as u32);
    let handlers = cpus * per_cpu;
    // Whoever is woken runs at once. A handler needs no more stack than a page in either shape.
    let handler = Threads { priority: PRIORITY + 1, stack_pages: 1, ..Threads::one_on(0) };
    let mut system = parts::system(workload, case);
    let Some(server) = parts::server(case) else { return system };
    let is_monolith = is_monolith(case);
    if is_monolith {
        let threads = Threads { count: handlers, cpu_count: cpus, own_endpoints: true, ..handler };
        system.add(Participant { threads, ..server });
    } else {
        system.participants.extend((0..handlers).map(|index| Participant {
            space: index + 1,
            threads: Threads { first_cpu: index % cpus, ..handler },
            ..server.clone()
        }));
    }
    let target = |index: u32| match is_monolith {
        true => Target { participant: 1, thread: index },
        false => Target::from(index as usize + 1),
    };
    // Part after part, each those of one CPU.
    let in_order = (0..cpus).flat_map(|cpu| (0..per_cpu).map(move |turn| turn * cpus + cpu));
    let is_on_all_cpus = workload.nature().measures_on_all_cpus;
    system.client().may_call = in_order.map(target).collect();
    system.client().threads.rights_per_cpu = is_on_all_cpus;
    system.way = vec![0, 1, 0];
    system.is_regular = is_on_all_cpus;
    system
}
