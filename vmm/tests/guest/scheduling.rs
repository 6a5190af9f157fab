//! Preemption by the timer, and what must survive it.

use abi::program::{self, scenario};

use crate::harness::{BOTH_PLACES, Place, call, client, counted, finish, scenario, server};

/// A thread that makes no system call is interrupted so that another one of its priority can go on, in every placement.
#[test]
fn threads_of_one_priority_share_the_cpu() {
    for spinner_place in BOTH_PLACES {
        for driver_place in BOTH_PLACES {
            let driver = scenario(driver_place, scenario::SPIN_CYCLES, 300).reaching(&[]);
            let spinner = scenario(spinner_place, scenario::SPIN, 1 << 40).with(|plan| plan.flags = 0);
            let Some(run) = finish(&[driver, spinner.reaching(&[])]) else { return };
            let counted = counted(&run);
            let case = format!("{spinner_place:?} beside {driver_place:?}");
            assert!(counted.timer_interrupts >= 2, "{case}: {counted:?}");
            assert!(counted.context_switches >= 2, "{case}: {counted:?}");
        }
    }
}

#[test]
fn registers_survive_preemption_and_calls() {
    for place in BOTH_PLACES {
        let driver = scenario(place, scenario::REGISTERS, 400).reaching(&[1]);
        let spinner = scenario(Place::User, scenario::SPIN, 1 << 40).with(|plan| plan.flags = 0);
        let Some(run) = finish(&[driver, server(program::NULL, place), spinner.reaching(&[])]) else {
            return;
        };
        assert_eq!(run.samples, [1], "{place:?}");
    }
}

#[test]
fn a_thread_of_lower_priority_does_not_run_while_others_can() {
    let driver = client(Place::User, call(0), 200);
    let spinner = scenario(Place::User, scenario::SPIN, 1 << 40).with(|plan| {
        plan.flags = 0;
        plan.priority -= 1;
    });
    let Some(run) = finish(&[driver, server(program::NULL, Place::User), spinner.reaching(&[])]) else {
        return;
    };
    let counted = counted(&run);
    assert_eq!((counted.ipc_fast, counted.ipc_slow, counted.timer_interrupts), (400, 0, 0));
}

#[test]
fn several_threads_of_one_server_serve_together() {
    for place in BOTH_PLACES {
        let driver = scenario(Place::User, scenario::REGISTERS, 50).reaching(&[1]);
        let pool = server(program::NULL, place).with(|plan| plan.thread_count = 8);
        let Some(run) = finish(&[driver, pool]) else { return };
        assert_eq!(run.samples, [1], "{place:?}");
    }
}
