//! The programs that workloads are put together from.

use abi::program;
use abi::workload::replace_own;

use super::Workload;
use crate::case::{Parameters, keys};
use crate::system::placement::Placement;
use crate::system::{Participant, System, Target};

/// What the client of a workload begins as.
pub(super) fn system(workload: &dyn Workload, case: &Parameters) -> System {
    let program = case.client_program.as_deref().unwrap_or(program::CLIENT);
    let mut client = Participant::new(program, case.client, 0);
    client.trust_group = case.groups.client.unwrap_or(client.trust_group);
    client.pages = case.client_pages();
    client.arguments = workload.arguments(case);
    if !case.client_arguments.is_empty() {
        replace_own(&mut client.arguments, &case.client_arguments);
    }
    let threads = workload.measuring_threads(case);
    (client.threads.count, client.threads.cpu_count) = (threads, threads);
    System::of(client)
}

/// The server of a case, where it has one.
pub(super) fn server(case: &Parameters) -> Option<Participant> {
    let program = case.server_program.as_deref().unwrap_or(program::NULL);
    let mut server = Participant::new(program, case.server?, if case.same_space { 0 } else { 1 });
    server.trust_group = case.groups.server.unwrap_or(server.trust_group);
    server.pages = case.server_pages();
    if [program::TOUCH, program::HUB].contains(&program) {
        server.arguments[program::touch::PAGES] = server.pages.into();
    }
    if program == program::TOUCH {
        server.arguments[program::touch::ECHO] = u64::from(case.number(&keys::WORDS) > Some(0));
    }
    for (place, argument) in server.arguments.iter_mut().zip(&case.server_arguments) {
        *place = *argument;
    }
    Some(server)
}

/// A client that calls one server.
pub(super) fn client_and_server(workload: &dyn Workload, case: &Parameters) -> System {
    let mut system = system(workload, case);
    match server(case) {
        Some(server) => {
            let server = system.add(server);
            system.calling(server)
        }
        None => system,
    }
}

/// A program that passes calls on to the server, which is the program with index 1.
pub(super) fn relay(placement: Option<Placement>, group: Option<u32>) -> Participant {
    let mut relay = Participant::new(program::RELAY, placement.unwrap_or(Placement::User), 2);
    relay.trust_group = group.unwrap_or(relay.trust_group);
    relay.may_call = vec![1.into()];
    relay
}

/// Adds a server that may migrate, `is_in` or not while it is measured, and starts in a space of its own; returns its index. With
/// a client for 32 bits servers are that, too, and move between large spaces and small ones; with others between user space and
/// the kernel.
pub(super) fn add_moving(system: &mut System, program: &str, is_in: bool, may_call: Vec<Target>) -> usize {
    let (outside, inside) = match system.client().placement.is_32_bit() {
        true => (Placement::Large, Placement::Small),
        false => (Placement::User, Placement::Kernel),
    };
    let inside_group = Participant::new(program, inside, 0).trust_group;
    let space = system.participants.len() as u32;
    system.add(Participant {
        trust_group: inside_group,
        may_call,
        moves_to: Some(if is_in { inside } else { outside }),
        has_home: true,
        ..Participant::new(program, outside, space)
    })
}
