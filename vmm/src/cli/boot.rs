//! `inkbed boot`.

use std::time::Duration;

use abi::plan::{PlanServer, server_flag};
use abi::workload::{Arguments, Loop, call, null_system_call};

use super::arguments::{BootArguments, ServerArgument};
use super::end::{End, UsageError};
use super::guest;
use super::interrupt::Interrupt;
use super::output::note;
use crate::experiment::programs::whence;
use crate::guest_image::GuestImage;
use crate::machine::guest::{Console, Elf, GuestConfig, GuestRun, HugePages, Outcome};
use crate::machine::run;
use crate::record::outcome::{OutcomeRecord, ServerFaultRecord};
use crate::system::placement::Placement;
use crate::system::plan::{module_name, plan_server, right};
use crate::system::{Participant, Target};

/// Round trips of a `client` that is booted.
const ROUND_TRIPS: u64 = 10;

pub(super) fn boot(arguments: &BootArguments) -> anyhow::Result<End> {
    let image = guest::image(&arguments.guest)?;
    let config = config(arguments, &image)?;
    let interrupt = Interrupt::listen()?;
    let has_driver = config.servers.iter().any(|server| server.flags & server_flag::DRIVER != 0);
    if !has_driver {
        note!("no client in first place: the guest runs until its deadline or Ctrl-C");
    }
    let result = run(&config, &interrupt.stop)?;
    // The programs of others measure what they please.
    let is_client = config.modules.first().is_some_and(|elf| elf.name.starts_with(abi::program::CLIENT));
    Ok(tell(&result, (has_driver && is_client).then_some(ROUND_TRIPS), has_driver))
}

fn default_servers() -> Vec<ServerArgument> {
    let server = |program: &str, placement| ServerArgument { program: program.to_owned(), placement };
    vec![server(abi::program::CLIENT, Placement::User), server(abi::program::NULL, Placement::Kernel)]
}

fn config(arguments: &BootArguments, image: &GuestImage) -> anyhow::Result<GuestConfig> {
    let wanted = if arguments.server.is_empty() { default_servers() } else { arguments.server.clone() };
    let mut servers = Vec::new();
    let mut rights = Vec::new();
    // Only what is started: every page of a program that is copied into guest memory costs the start some time.
    let mut modules: Vec<Elf> = Vec::new();
    for (index, argument) in wanted.iter().enumerate() {
        let name = module_name(&argument.program, argument.placement);
        let known = modules.iter().position(|elf| elf.name == name);
        let module = match known {
            Some(module) => module,
            None => {
                let elf = image.servers.iter().find(|elf| elf.name == name);
                modules.push(elf.ok_or_else(|| no_such_program(image, &argument.program))?.clone());
                modules.len() - 1
            }
        };
        let participant = Participant {
            // Those named after it, so that a chain of programs can be written down in the order of the calls.
            may_call: (index + 1..wanted.len()).map(Target::from).collect(),
            ..Participant::new(&argument.program, argument.placement, index as u32)
        };
        let first_right = rights.len() as u32;
        rights.extend(participant.may_call.iter().map(|target| right(*target, index)));
        let mut server = PlanServer {
            first_right,
            right_count: participant.may_call.len() as u32,
            ..plan_server(&participant, module as u32)
        };
        if index == 0 && argument.program == abi::program::CLIENT {
            server.flags = server_flag::DRIVER;
            server.arguments = client_arguments(wanted.len() > 1);
        }
        servers.push(server);
    }
    Ok(GuestConfig {
        kernel: image.kernel.clone(),
        modules,
        servers,
        rights,
        plan_flags: 0,
        vcpus: arguments.vcpus,
        memory_bytes: arguments.memory.bytes,
        huge_pages: HugePages::No,
        withheld_features: 0,
        sample_capacity: ROUND_TRIPS,
        pin: guest::pin(&arguments.guest)?,
        deadline: arguments.deadline.map(Duration::from_secs),
        console: Console::Stdout,
        verbose: arguments.verbose,
    })
}

fn client_arguments(has_server: bool) -> Arguments {
    let mut arguments = match has_server {
        true => call::Arguments::default().encode(),
        false => null_system_call::Arguments {}.encode(),
    };
    Loop { round_trips: ROUND_TRIPS, ..Loop::default() }.put(&mut arguments);
    arguments
}

fn no_such_program(image: &GuestImage, program: &str) -> UsageError {
    let fix = whence(program, &image.programs());
    UsageError { message: format!("there is no program `{program}`"), fix }
}

/// Says on standard error how the guest ended.
fn tell(run: &GuestRun, asked: Option<u64>, has_driver: bool) -> End {
    for fault in run.faults.iter().map(ServerFaultRecord::from) {
        note!("{fault}");
    }
    let mut outcome = OutcomeRecord::from(&run.outcome);
    if let (true, Some(asked)) = (outcome.is_success(), asked.filter(|asked| *asked != run.round_trips)) {
        outcome = OutcomeRecord::Incomplete { round_trips: run.round_trips, asked };
    }
    let (text, end) = match &run.outcome {
        _ if outcome.is_success() => (format!("finished, {} round trips", run.round_trips), End::Success),
        // Nobody else could have ended it.
        Outcome::Hang { deadline, .. } if !has_driver => {
            note!("stopped after {} s, as asked", deadline.as_secs());
            return End::Success;
        }
        Outcome::Interrupted => (outcome.to_string(), End::Interrupted),
        _ => (outcome.to_string(), End::Failure),
    };
    if run.stood_still_ns > 0 {
        let seconds = run.stood_still_ns as f64 / 1e9;
        note!(
            "stood still for {seconds:.1} s, stopped or with the host suspended; the deadline has moved by as much"
        );
    }
    let milliseconds = |ns: u64| ns as f64 / 1e6;
    let boot =
        run.boot_ns.map_or(String::new(), |ns| format!("; the kernel started in {:.1} ms", milliseconds(ns)));
    note!("{text}{boot}");
    if let Some(last_words) = outcome.last_words() {
        note!("{last_words}");
    }
    end
}
