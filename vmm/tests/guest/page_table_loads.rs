//! Invariant 2: the exact number of page-table loads of a round trip, for every pair of placements.

use abi::program;

use crate::harness::{
    BOTH_PLACES, Place, alternate, call, client, counted, empty, finish, null_system_call, server,
};

const ROUND_TRIPS: u64 = 25;

/// Loads per round trip of a client that calls `null` in these places.
fn loads(client_place: Place, server_place: Place) -> u64 {
    if (client_place, server_place) == (Place::User, Place::User) { 2 } else { 0 }
}

#[test]
fn a_call_loads_two_page_tables_between_user_spaces_and_none_with_a_server_in_the_kernel() {
    for client_place in BOTH_PLACES {
        for server_place in BOTH_PLACES {
            let client = client(client_place, call(0), ROUND_TRIPS);
            let Some(run) = finish(&[client, server(program::NULL, server_place)]) else { return };
            let counted = counted(&run);
            let loads = loads(client_place, server_place) * ROUND_TRIPS;
            let case = format!("{client_place:?} to {server_place:?}");
            assert_eq!(counted.page_table_loads, loads, "{case}");
            assert_eq!(counted.page_table_loads_elided, 2 * ROUND_TRIPS - loads, "{case}");
            assert_eq!(counted.tlb_full_flushes, loads, "{case}: without PCIDs every load flushes");
            assert_eq!(counted.context_switches, 2 * ROUND_TRIPS, "{case}");
            assert_eq!(counted.ipc_fast, 2 * ROUND_TRIPS, "{case}: calls and replies, all on the fast path");
            assert_eq!((counted.ipc_slow, counted.invlpg, counted.ipis), (0, 0, 0), "{case}");
            assert_eq!((counted.timer_interrupts, counted.faults), (0, 0), "{case}");
            assert_eq!(run.round_trips, ROUND_TRIPS);
            assert_eq!(run.samples.len() as u64, ROUND_TRIPS);
        }
    }
}

#[test]
fn two_threads_of_one_space_load_none() {
    let client = client(Place::User, call(0), ROUND_TRIPS);
    let server = server(program::NULL, Place::User).with(|plan| plan.space = 0);
    let Some(run) = finish(&[client, server]) else { return };
    let counted = counted(&run);
    assert_eq!((counted.page_table_loads, counted.page_table_loads_elided), (0, 2 * ROUND_TRIPS));
}

/// The talk's other case: A calls S, then S serves B, whose space is another one: the load that cannot be elided.
#[test]
fn serving_two_spaces_in_turn_costs_each_of_them_its_load_and_a_user_server_its_own() {
    for (place, loads) in [(Place::Kernel, 2), (Place::User, 6)] {
        let client = client(Place::User, alternate(0), ROUND_TRIPS).reaching(&[1, 2]);
        let relay = server(program::RELAY, Place::User).reaching(&[1]);
        let Some(run) = finish(&[client, server(program::NULL, place), relay]) else { return };
        let counted = counted(&run);
        assert_eq!(counted.page_table_loads, loads * ROUND_TRIPS, "{place:?}");
        assert_eq!(counted.context_switches, 6 * ROUND_TRIPS, "{place:?}");
        assert_eq!(counted.ipc_slow, 0, "{place:?}");
    }
}

/// A chain through two servers in the kernel: the client's space stays resident all the way.
#[test]
fn a_chain_of_servers_in_the_kernel_loads_none() {
    let client = client(Place::User, call(2), ROUND_TRIPS);
    let relay = server(program::RELAY, Place::Kernel).reaching(&[2]);
    let Some(run) = finish(&[client, relay, server(program::ECHO, Place::Kernel)]) else { return };
    let counted = counted(&run);
    assert_eq!((counted.page_table_loads, counted.context_switches), (0, 4 * ROUND_TRIPS));
}

/// A null system call and an empty clock pair switch nobody.
#[test]
fn without_a_partner_nothing_is_switched() {
    for (arguments, calls) in [(empty(), 0), (null_system_call(), ROUND_TRIPS)] {
        for place in BOTH_PLACES {
            let Some(run) = finish(&[client(place, arguments, ROUND_TRIPS).reaching(&[])]) else { return };
            let counted = counted(&run);
            // MEASURE_BEGIN counts itself before its mark, MEASURE_END too.
            assert_eq!(counted.system_calls, calls + 1, "{place:?}");
            assert_eq!((counted.context_switches, counted.ipc_fast, counted.ipc_slow), (0, 0, 0));
        }
    }
}
