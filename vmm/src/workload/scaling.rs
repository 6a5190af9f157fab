//! Clients on all CPUs: what more CPUs are worth.

use abi::program;
use abi::workload::Arguments;

use super::{Workload, call, parts};
use crate::case::key::{Absent, Heading, Key, Kind};
use crate::case::value::{Word, words};
use crate::case::workload::{Crowd, Nature, Refused};
use crate::case::{Parameters, keys};
use crate::system::{Participant, System, Target, Threads};

/// Clients on all CPUs call at the same time.
pub struct Scaling;

words! {
    /// Who serves the clients.
    Serving {
        /// Each client has a server of its own on its CPU.
        Pairs = "pairs",
        /// One server, which has a thread on each CPU.
        PerCpu = "per_cpu",
        /// One server with one thread, on the first CPU.
        Central = "central",
        /// There is one client, on the first CPU, and one server, on the last CPU.
        Across = "across",
    }
}

/// Who serves the clients.
pub static SERVING: Key = Key {
    name: "serving",
    kind: Kind::Choice(Serving::NAMES),
    absent: Absent::First,
    help: "`pairs`: each client has a server of its own on its CPU. `per_cpu`: one server has a thread on each CPU. `central`: one \
           server has one thread, on the first CPU. `across`: a single client is on the first CPU, and its server on the last one",
    order: 210,
    sorted: Some(100),
    in_name: keys::bare(230),
    column: Some(Heading { cell: keys::spaced, ..Heading::plain("serving", 670, false) }),
    ..Key::USUAL
};

static KEYS: &[&Key] = &[&keys::CLIENT, &keys::SERVER, &SERVING, &keys::SERVER_PROGRAM];

fn serving(case: &Parameters) -> Serving {
    case.word(&SERVING).unwrap_or(Serving::Pairs)
}

impl Workload for Scaling {
    fn name(&self) -> &'static str {
        "scaling"
    }

    fn sentence(&self) -> &'static str {
        "clients on all CPUs call at the same time"
    }

    fn round_trip(&self) -> &'static str {
        "one call and its answer, of a client on each of the `vcpus` CPUs; all of them call between the same two marks"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["round_trip"]
    }

    fn about_samples(&self) -> &'static str {
        "of each client"
    }

    fn keys(&self) -> &'static [&'static Key] {
        KEYS
    }

    fn way(&self) -> &'static str {
        "client → server"
    }

    fn nature(&self) -> Nature {
        Nature {
            measures_on_all_cpus: true,
            is_crowd: true,
            has_time_slices: true,
            exists_in_32_bits: false,
            ..Nature::USUAL
        }
    }

    fn server_program(&self, _case: &Parameters) -> Option<&'static str> {
        Some(program::NULL)
    }

    fn check(&self, case: &Parameters) -> Result<(), Refused> {
        if serving(case) == Serving::Across && case.vcpus == 1 {
            let fix = "put `serving = \"across\"` into a [[case]] of its own with `vcpus` of 2 or more";
            return Err(Refused::at(&SERVING, "a call across CPUs needs two of them", fix));
        }
        Ok(())
    }

    fn measuring_threads(&self, case: &Parameters) -> u32 {
        if serving(case) == Serving::Across { 1 } else { case.vcpus }
    }

    /// Whoever calls a server on another CPU would put its unmeasured calls into that one's counts.
    fn keeps_calling(&self, case: &Parameters) -> bool {
        serving(case) != Serving::Central
    }

    fn system(&self, case: &Parameters) -> System {
        let cpus = case.vcpus;
        let mut system = parts::client_and_server(self, case);
        let Some(server) = system.participants.get(1).cloned() else { return system };
        system.participants[1].threads = match serving(case) {
            Serving::Pairs => {
                system.participants.extend((1..cpus).map(|cpu| Participant {
                    space: cpu + 1,
                    threads: Threads::one_on(cpu),
                    ..server.clone()
                }));
                system.client().may_call = (1..=cpus as usize).map(Target::from).collect();
                system.client().threads.rights_per_cpu = true;
                Threads::one_on(0)
            }
            Serving::PerCpu => Threads::on_each(cpus),
            Serving::Central => Threads::one_on(0),
            Serving::Across => Threads::one_on(cpus - 1),
        };
        // Between CPUs each has its own resident space, and who comes when is nobody's rule.
        system.is_regular = matches!(serving(case), Serving::Pairs | Serving::PerCpu) || cpus == 1;
        system
    }

    fn arguments(&self, case: &Parameters) -> Arguments {
        call::arguments(case)
    }

    fn crowd(&self, case: &Parameters) -> Crowd {
        let servers = if serving(case) == Serving::Pairs { case.vcpus.into() } else { 0 };
        Crowd { servers, threads: 0 }
    }
}
