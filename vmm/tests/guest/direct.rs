//! The transfer mode `direct`: the caller's thread runs the server's entry function itself.

use abi::call::status;
use abi::program::{self, crash, scenario};
use abi::workload::touch;

use crate::harness::{BOTH_PLACES, Place, client, counted, direct_call, finish, scenario, server};

const ROUND_TRIPS: u64 = 25;

#[test]
fn a_direct_call_switches_nothing() {
    for place in BOTH_PLACES {
        for (program, words) in [(program::NULL, 0), (program::ECHO, 4)] {
            let client = client(place, direct_call(words), ROUND_TRIPS);
            let Some(run) = finish(&[client, server(program, Place::Kernel)]) else { return };
            let counted = counted(&run);
            assert_eq!(counted.ipc_direct, ROUND_TRIPS, "{program} from {place:?}");
            assert_eq!((counted.ipc_fast, counted.ipc_slow), (0, 0), "{program} from {place:?}");
            assert_eq!((counted.context_switches, counted.page_table_loads), (0, 0));
        }
    }
}

#[test]
fn a_server_in_user_space_is_called_as_always() {
    for place in BOTH_PLACES {
        let client = client(place, direct_call(4), ROUND_TRIPS);
        let Some(run) = finish(&[client, server(program::ECHO, Place::User)]) else { return };
        let counted = counted(&run);
        assert_eq!((counted.ipc_direct, counted.ipc_fast), (0, 2 * ROUND_TRIPS), "{place:?}");
    }
}

#[test]
fn long_messages_are_copied_between_threads() {
    for place in BOTH_PLACES {
        let client = client(place, direct_call(512), ROUND_TRIPS);
        let Some(run) = finish(&[client, server(program::ECHO, Place::Kernel)]) else { return };
        let counted = counted(&run);
        assert_eq!((counted.ipc_direct, counted.context_switches), (0, 2 * ROUND_TRIPS), "{place:?}");
    }
}

#[test]
fn a_direct_entry_has_the_servers_memory() {
    let arguments = touch::Arguments { pages: 0, direct: 1, words: 0 }.encode();
    let client = client(Place::User, arguments, ROUND_TRIPS).with(|plan| plan.working_set_pages = 4);
    let touch = server(program::TOUCH, Place::Kernel).with(|plan| {
        plan.working_set_pages = 16;
        plan.arguments[program::touch::PAGES] = 16;
    });
    let Some(run) = finish(&[client, touch]) else { return };
    assert_eq!(counted(&run).ipc_direct, ROUND_TRIPS);
}

/// A fault in the entry function ends the server, not the caller on whose behalf it ran, and not the kernel on whose
/// stack.
#[test]
fn a_fault_in_a_direct_entry_is_the_servers() {
    for place in BOTH_PLACES {
        let labels = [
            crash::PAGE_FAULT,
            crash::INVALID_OPCODE,
            crash::WRITE_CODE,
            crash::STACK_OVERFLOW,
            // The others make system calls, which is a fault there, whatever the door.
            crash::PANIC,
            crash::EXIT,
            crash::CALL,
            crash::CALL_DIRECT,
            crash::REPLY_AND_WAIT,
        ];
        for (label, echo) in labels.into_iter().flat_map(|label| BOTH_PLACES.map(|echo| (label, echo))) {
            let driver = scenario(place, scenario::CRASH_DIRECT, label.into()).reaching(&[1, 2]);
            let crash = server(program::CRASH, Place::Kernel).reaching(&[2]);
            let Some(run) = finish(&[driver, crash, server(program::ECHO, echo)]) else { return };
            let case = format!("label {label} from {place:?}, echo in {echo:?}");
            assert_eq!(run.samples, [status::PARTNER_DEAD, status::PARTNER_DEAD, status::OK], "{case}");
            assert_eq!(run.faults.len(), 1, "{case}: {:?}", run.faults);
            assert_eq!(run.faults[0].fault.server, 1, "{case}");
        }
    }
}
