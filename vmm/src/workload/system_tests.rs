//! Tests of who takes part in a case, and of what a round trip costs by rule.

use super::handlers::{HANDLERS_PER_CPU, HandlerShape, SHAPE};
use super::migration::PARTNERS;
use super::*;
use crate::case::tests::parameters;
use crate::case::{Parameters, keys};
use crate::system::placement::Placement;
use Placement::{Kernel, User};

fn loads(case: &Parameters) -> u64 {
    case.system().page_table_loads_per_round_trip().unwrap()
}

#[test]
fn a_call_loads_a_page_table_only_between_two_user_spaces() {
    for (client, server, expected) in
        [(User, User, 2), (User, Kernel, 0), (Kernel, User, 0), (Kernel, Kernel, 0)]
    {
        let case = Parameters { client, server: Some(server), ..parameters(&Call) };
        assert_eq!(loads(&case), expected, "{client} → {server}");
    }
    let shared = Parameters { server: Some(User), same_space: true, ..parameters(&Call) };
    assert_eq!(loads(&shared), 0);
}

/// Liedtke's rule: into small spaces and between them nothing is loaded, nor back to the large space that was there before.
#[test]
fn small_spaces_load_what_the_kernel_does() {
    use Placement::{Large, Small};
    let call = |server| Parameters { client: Large, server: Some(server), ..parameters(&Call) };
    assert_eq!([Large, Small, Kernel].map(|server| loads(&call(server))), [2, 0, 0]);
    let relay = |relay, server| Parameters {
        client: Large,
        relay: Some(relay),
        server: Some(server),
        ..parameters(&Relay)
    };
    assert_eq!(loads(&relay(Large, Large)), 4);
    assert_eq!(loads(&relay(Small, Large)), 2);
    assert_eq!(loads(&relay(Small, Small)), 0);
    let alternate = |server| Parameters {
        client: Large,
        other_client: Some(Large),
        server: Some(server),
        ..parameters(&Alternate)
    };
    assert_eq!([Large, Small, Kernel].map(|server| loads(&alternate(server))), [6, 2, 2]);
}

#[test]
fn switches_between_any_threads_load_what_their_spaces_say() {
    let within = |case: &Parameters| case.system().page_table_loads_within(7);
    let call = |server| Parameters { server: Some(server), ..parameters(&Call) };
    assert_eq!(within(&call(User)), 7..=7);
    assert_eq!(within(&call(Kernel)), 0..=0);
    assert_eq!(within(&Parameters { same_space: true, ..call(User) }), 0..=0);
    let relay = Parameters { relay: Some(Kernel), ..parameters(&Relay) };
    assert_eq!(within(&Parameters { server: Some(User), ..relay }), 0..=7);
    let moving = parameters(&Migrate).with(&PARTNERS, 0);
    assert_eq!(within(&moving), 0..=7, "it is in the kernel half of the time");
}

#[test]
fn what_has_no_server_loads_nothing() {
    assert_eq!(loads(&parameters(&Empty)), 0);
    assert_eq!(loads(&parameters(&NullSystemCall)), 0);
}

/// The talk's other case: the server in the kernel serves two spaces, and the loads that remain are those of the
/// switches between the two.
#[test]
fn alternating_clients_cost_what_the_talk_says() {
    let case = |server| Parameters { server: Some(server), ..parameters(&Alternate) };
    assert_eq!(loads(&case(Kernel)), 2);
    assert_eq!(loads(&case(User)), 6);
}

#[test]
fn clients_on_all_cpus_load_what_one_does() {
    for serving in [Serving::Pairs, Serving::PerCpu] {
        let case = |server| {
            Parameters { server: Some(server), vcpus: 4, ..parameters(&Scaling) }.with(&SERVING, serving)
        };
        assert_eq!((loads(&case(User)), loads(&case(Kernel))), (2, 0), "{serving:?}");
    }
    let central =
        Parameters { server: Some(User), vcpus: 4, ..parameters(&Scaling) }.with(&SERVING, Serving::Central);
    assert_eq!(central.system().page_table_loads_per_round_trip(), None);
}

/// Whatever the shape, the n-th part of the client's rights leads to the handlers of the n-th CPU, each once.
#[test]
fn each_client_reaches_the_handlers_of_its_cpu() {
    for shape in [HandlerShape::Monolith, HandlerShape::Natural] {
        let case = Parameters { server: Some(User), vcpus: 4, ..parameters(&HandlerCall) }
            .with(&SHAPE, shape)
            .with(&HANDLERS_PER_CPU, 3);
        let topology = case.system();
        let client = &topology.participants[0];
        assert_eq!((client.threads.count, client.threads.cpu_count, client.may_call.len()), (4, 4, 12));
        let mut seen = std::collections::BTreeSet::new();
        for (index, target) in client.may_call.iter().enumerate() {
            let handler = &topology.participants[target.participant].threads;
            let cpu = handler.first_cpu + target.thread % handler.cpu_count;
            assert_eq!(cpu as usize, index / 3, "{shape:?}");
            assert!(seen.insert((target.participant, target.thread)));
        }
        let fault = Parameters { workload: &HandlerFault, ..case };
        let topology = fault.system();
        let client = &topology.participants[0];
        assert_eq!((client.threads.count, client.may_call.len()), (1, 12));
        assert!(!client.threads.rights_per_cpu);
    }
}

#[test]
fn a_chain_that_moves_in_loads_less_with_every_server() {
    let case = |moved| parameters(&Chain).with(&keys::SERVERS, 3).with(&MOVED, moved);
    assert_eq!([0, 1, 2, 3].map(|moved| loads(&case(moved))), [6, 4, 2, 0]);
}

#[test]
fn a_chain_that_moves_by_itself_loads_nothing_and_irregular_ways_have_no_rule() {
    let promoted = parameters(&Chain).with(&keys::SERVERS, 3).with(&PROMOTE_AFTER, 5);
    assert_eq!(loads(&promoted), 0);
    for workload in [&Faults as &'static dyn Workload, &MigrateUnderLoad, &Reach] {
        let case = Parameters { server: Some(User), ..parameters(workload) };
        assert_eq!(case.system().page_table_loads_per_round_trip(), None);
    }
}

#[test]
fn a_migrating_hub_loads_for_the_two_calls_that_find_it_in_user_space() {
    let case = |client, partners| Parameters { client, ..parameters(&Migrate) }.with(&PARTNERS, partners);
    assert_eq!(loads(&case(User, 0)), 4);
    assert_eq!(loads(&case(User, 4)), 20);
}

#[test]
fn servers_of_a_32_bit_client_move_between_large_and_small_spaces() {
    use Placement::{Large, Small};
    let migrate = Parameters { client: Large, ..parameters(&Migrate) };
    let hub = &migrate.system().participants[1];
    assert_eq!((hub.placement, hub.moves_to, hub.trust_group), (Large, Some(Large), 3));
    assert_eq!(loads(&migrate), 4);
    let chain = |moved| {
        Parameters { client: Large, ..parameters(&Chain) }.with(&keys::SERVERS, 3).with(&MOVED, moved)
    };
    assert_eq!(chain(1).system().participants[1].moves_to, Some(Small));
    assert_eq!([0, 1, 2, 3].map(|moved| loads(&chain(moved))), [6, 4, 2, 0]);
}

#[test]
fn each_server_of_a_chain_that_moves_into_the_kernel_saves_its_loads() {
    let case = |relay, server| Parameters { relay: Some(relay), server: Some(server), ..parameters(&Relay) };
    assert_eq!(loads(&case(User, User)), 4);
    assert_eq!(loads(&case(User, Kernel)), 2);
    assert_eq!(loads(&case(Kernel, User)), 2);
    assert_eq!(loads(&case(Kernel, Kernel)), 0);
}
