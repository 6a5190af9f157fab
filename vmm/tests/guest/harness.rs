//! Building and booting small guests.

use std::path::Path;
use std::time::Duration;

use abi::plan::{PlanRight, PlanServer, placement, server_flag, trust};
use abi::program::{self, scenario};
use abi::report::{Counters, feature};
use abi::workload::{Arguments, Loop};
use inkbed::case::Case;
use inkbed::experiment::check::Limits;
use inkbed::experiment::expand::expand;
use inkbed::experiment::file::ExperimentFile;
use inkbed::experiment::overrides::Overrides;
use inkbed::guest_image::GuestImage;
use inkbed::machine::StopFlag;
use inkbed::machine::guest::{Console, GuestConfig, GuestRun, HugePages, Outcome, Pin};

use crate::kvm::require_kvm;

/// Priority of all servers, unless a test says otherwise.
pub const PRIORITY: u32 = 10;

/// Where a server runs, in a test's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    User,
    Kernel,
    Small,
    Large,
}

pub const BOTH_PLACES: [Place; 2] = [Place::User, Place::Kernel];

/// A server of a test, with the indices of the servers that it may reach.
#[derive(Clone)]
pub struct Server {
    pub plan: PlanServer,
    pub rights: Vec<u32>,
}

/// A server with one thread, in a space of its own where it needs one.
pub fn server(name: &str, place: Place) -> Server {
    let program =
        program::ALL.iter().position(|program| *program == name).expect("a program of abi::program::ALL");
    let (placement, trust_group) = match place {
        Place::User => (placement::USER, trust::NONCRITICAL_UNTRUSTED),
        Place::Kernel => (placement::KERNEL, trust::CRITICAL_TRUSTED),
        Place::Small => (placement::SMALL, trust::NONCRITICAL_UNTRUSTED),
        Place::Large => (placement::LARGE, trust::NONCRITICAL_UNTRUSTED),
    };
    // The 32-bit builds follow the 64-bit ones.
    let module =
        if matches!(place, Place::Small | Place::Large) { program::ALL.len() + program } else { program };
    let plan = PlanServer {
        module: module as u32,
        placement,
        space: u32::MAX,
        trust_group,
        priority: PRIORITY,
        thread_count: 1,
        ..PlanServer::default()
    };
    Server { plan, rights: Vec::new() }
}

/// The client that drives a measured loop.
pub fn client(place: Place, arguments: Arguments, round_trips: u64) -> Server {
    let mut server = server(program::CLIENT, place).reaching(&[1]);
    server.plan.flags = server_flag::DRIVER;
    server.plan.arguments = arguments;
    Loop { warm_up: 2, round_trips, ..Loop::default() }.put(&mut server.plan.arguments);
    server
}

/// Arguments of a client whose calls have so many words.
pub fn call(words: u64) -> Arguments {
    abi::workload::call::Arguments { words, direct: 0 }.encode()
}

/// Arguments of a client that calls by direct transfer.
pub fn direct_call(words: u64) -> Arguments {
    abi::workload::call::Arguments { words, direct: 1 }.encode()
}

/// Arguments of a client that alternates with another one.
pub fn alternate(words: u64) -> Arguments {
    abi::workload::alternate::Arguments { words }.encode()
}

/// Arguments of a client that reads the clock.
pub fn empty() -> Arguments {
    abi::workload::empty::Arguments {}.encode()
}

/// Arguments of a client that makes the system call that does nothing.
pub fn null_system_call() -> Arguments {
    abi::workload::null_system_call::Arguments {}.encode()
}

/// The program that plays a scenario and drives the case.
pub fn scenario(place: Place, number: u64, parameter: u64) -> Server {
    let mut server = server(program::SCENARIO, place).reaching(&[1]);
    server.plan.flags = server_flag::DRIVER;
    server.plan.arguments[scenario::NUMBER] = number;
    server.plan.arguments[scenario::PARAMETER] = parameter;
    server
}

impl Server {
    pub fn reaching(mut self, targets: &[u32]) -> Server {
        self.rights = targets.to_vec();
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut PlanServer)) -> Server {
        change(&mut self.plan);
        self
    }
}

/// The one case of an experiment file with this `[[case]]`, whose client is in user space.
pub fn case_of(case: &str) -> Case {
    let text =
        format!("name = \"x\"\nquestion = \"Why?\"\n[[case]]\nclient = \"user\"\npcid = \"off\"\n{case}");
    let file = ExperimentFile::parse(Path::new("x.toml"), text).unwrap_or_else(|error| panic!("{error}"));
    let experiment = expand(&file, &Overrides::default(), &Limits::any_host());
    let mut cases = experiment.unwrap_or_else(|error| panic!("{error}")).cases;
    assert_eq!(cases.len(), 1, "one case");
    cases.remove(0)
}

/// The configuration of a guest with these servers.
pub fn config(servers: &[Server]) -> GuestConfig {
    let image = GuestImage::embedded();
    let mut plans = Vec::new();
    let mut rights = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        let mut plan = server.plan;
        plan.first_right = rights.len() as u32;
        plan.right_count = server.rights.len() as u32;
        if plan.space == u32::MAX {
            plan.space = index as u32;
        }
        rights.extend(server.rights.iter().map(|&target| PlanRight {
            target,
            badge: index as u64,
            thread: 0,
        }));
        plans.push(plan);
    }
    GuestConfig {
        kernel: image.kernel,
        modules: image.servers,
        servers: plans,
        rights,
        plan_flags: 0,
        vcpus: 1,
        memory_bytes: 64 << 20,
        huge_pages: HugePages::No,
        withheld_features: 0,
        sample_capacity: 2048,
        pin: Pin::None,
        deadline: Some(Duration::from_secs(120)),
        console: Console::Capture,
        verbose: false,
    }
}

/// Boots the guest; `None` where this machine cannot.
pub fn boot(config: &GuestConfig) -> Option<GuestRun> {
    if !require_kvm() {
        return None;
    }
    Some({
        let stop = StopFlag::new().expect("a stop flag");
        inkbed::machine::run(config, &stop).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// Boots a guest with these servers, which must finish with status 0.
pub fn finish(servers: &[Server]) -> Option<GuestRun> {
    finish_config(&config(servers))
}

/// Boots the guest, which must finish with status 0.
pub fn finish_config(config: &GuestConfig) -> Option<GuestRun> {
    let run = boot(config)?;
    assert_eq!(run.outcome, Outcome::Finished { status: 0 }, "faults: {:?}", run.faults);
    Some(run)
}

/// What was counted between the two marks, on all CPUs.
pub fn counted(run: &GuestRun) -> Counters {
    run.cpus.iter().fold(Counters::default(), |sum, cpu| sum.plus(&cpu.counted()))
}

/// Whether the guest's CPU has a feature. Where `INKBED_REQUIRE_FEATURES` names it, it must.
pub fn has_feature(run: &GuestRun, bit: u64) -> bool {
    let (_, name) = feature::NAMES.iter().find(|(other, _)| *other == bit).expect("a feature with a name");
    let has = run.features & bit != 0;
    let required = std::env::var("INKBED_REQUIRE_FEATURES").unwrap_or_default();
    assert!(
        has || !required.split(',').any(|required| required == *name),
        "the guest's CPU must have {name}"
    );
    if !has {
        println!("skipped: the guest's CPU has no {name}");
    }
    has
}
