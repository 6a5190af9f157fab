//! Who survives which death.

use std::time::Duration;

use abi::call::status;
use abi::program::{self, crash, scenario};
use abi::report::FAULT_EXIT;
use inkbed::machine::guest::Outcome;

use crate::harness::{BOTH_PLACES, Place, boot, config, counted, finish, scenario, server};

const PAGE_FAULT: u32 = 14;
const INVALID_OPCODE: u32 = 6;
const DEVICE_NOT_AVAILABLE: u32 = 7;
const GENERAL_PROTECTION: u32 = 13;

/// A client, a `crash` that it may call, and an innocent `echo`.
fn with_crash(label: u32, place: Place) -> [crate::harness::Server; 3] {
    let scenario = scenario(Place::User, scenario::CRASH, label.into()).reaching(&[1, 2]);
    [scenario, server(program::CRASH, place), server(program::ECHO, place)]
}

#[test]
fn a_server_that_faults_dies_alone_and_its_callers_get_an_error() {
    let everywhere = [
        (crash::PAGE_FAULT, PAGE_FAULT),
        (crash::INVALID_OPCODE, INVALID_OPCODE),
        (crash::WRITE_CODE, PAGE_FAULT),
        (crash::STACK_OVERFLOW, PAGE_FAULT),
        (crash::PANIC, FAULT_EXIT),
        (crash::EXIT, FAULT_EXIT),
    ];
    let only_in_user_space = [(crash::READ_KERNEL, PAGE_FAULT), (crash::PRIVILEGED, GENERAL_PROTECTION)];
    let cases = BOTH_PLACES.iter().flat_map(|&place| everywhere.map(|case| (place, case)));
    for (place, (label, vector)) in cases.chain(only_in_user_space.map(|case| (Place::User, case))) {
        let Some(run) = finish(&with_crash(label, place)) else { return };
        let case = format!("label {label} in {place:?}");
        assert_eq!(run.samples, [status::PARTNER_DEAD, status::PARTNER_DEAD, status::OK], "{case}");
        let [fault] = &run.faults[..] else { panic!("{case}: one fault, not {:?}", run.faults) };
        assert_eq!((fault.fault.server, fault.fault.vector), (1, vector), "{case}: {fault:?}");
        assert_eq!(fault.program, "crash");
        assert_eq!(counted(&run).faults, 1, "{case}");
    }
}

/// Nobody saves floating-point registers, so nobody may have any: they would carry data between servers.
#[test]
fn floating_point_instructions_fault() {
    let Some(run) = finish(&with_crash(crash::FLOATING_POINT, Place::User)) else { return };
    let emulated_instructions = run.kvm_stats.get("insn_emulation").copied().unwrap_or(0);
    if run.faults.is_empty() && emulated_instructions > 1000 {
        println!(
            "skipped: this KVM emulates ring 0, and runs ring 3 with the host's CR0 instead of the guest's"
        );
        return;
    }
    let [fault] = &run.faults[..] else { panic!("one fault, not {:?}", run.faults) };
    assert_eq!((fault.fault.server, fault.fault.vector), (1, DEVICE_NOT_AVAILABLE));
}

#[test]
fn last_words_of_a_server_name_place_and_cause() {
    for place in BOTH_PLACES {
        let Some(run) = finish(&with_crash(crash::INVALID_OPCODE, place)) else { return };
        let fault = &run.faults[0];
        assert!(fault.description.contains("#UD"), "{}", fault.description);
        assert!(fault.location.starts_with("crash: crash::"), "{}", fault.location);
        let Some(run) = finish(&with_crash(crash::EXIT, place)) else { return };
        assert_eq!(run.faults[0].fault.error_code, 77);
    }
}

/// What a trusted server may do in the kernel: read the kernel's memory. The talk accepts that; the suite shows it.
#[test]
fn a_server_in_the_kernel_may_read_the_kernel() {
    let Some(run) = finish(&with_crash(crash::READ_KERNEL, Place::Kernel)) else { return };
    assert_eq!(run.samples, [status::OK; 3]);
    assert!(run.faults.is_empty());
}

#[test]
fn a_server_that_never_replies_leaves_an_error_when_it_waits_again() {
    for place in BOTH_PLACES {
        let Some(run) = finish(&with_crash(crash::NO_REPLY, place)) else { return };
        assert_eq!(run.samples, [status::NO_REPLY, status::OK, status::OK], "{place:?}");
    }
}

#[test]
fn a_case_that_hangs_meets_its_deadline() {
    for place in BOTH_PLACES {
        let mut config = config(&with_crash(crash::SPIN, place));
        config.deadline = Some(Duration::from_secs(2));
        let Some(run) = boot(&config) else { return };
        let Outcome::Hang { deadline, .. } = run.outcome else { panic!("{:?}", run.outcome) };
        assert_eq!(deadline, Duration::from_secs(2));
    }
}

#[test]
fn a_case_in_which_everybody_waits_is_a_deadlock() {
    // With one CPU the kernel sees it; with several all of them sleep, and the VMM does.
    for vcpus in [1, 2, 4] {
        let mut config = config(&[scenario(Place::User, scenario::DEADLOCK, 0).reaching(&[0])]);
        config.vcpus = vcpus;
        let Some(run) = boot(&config) else { return };
        assert_eq!(run.outcome, Outcome::Deadlock, "{vcpus} vCPUs");
    }
}

#[test]
fn the_death_of_the_driver_ends_the_case() {
    // `crash` as the driver is told by nobody, so let a scenario die of its own buffer: a driver that is no scenario.
    for place in BOTH_PLACES {
        let driver = server(program::RELAY, place).reaching(&[1]).with(|plan| {
            plan.flags = abi::plan::server_flag::DRIVER;
        });
        let poke = scenario(Place::User, scenario::NOTIFY, 0).with(|plan| plan.flags = 0);
        let Some(run) = boot(&config(&[driver, poke])) else { return };
        assert_eq!(run.outcome, Outcome::Deadlock, "{place:?}: nobody is left to run");
        assert_eq!(run.faults.len(), 1, "a scenario that may not finish the case ends itself");
    }
    let mut servers = with_crash(crash::PAGE_FAULT, Place::User);
    servers[0].plan.flags = 0;
    servers[1].plan.flags = abi::plan::server_flag::DRIVER;
    let Some(run) = boot(&config(&servers)) else { return };
    assert_eq!(run.outcome, Outcome::DriverDied);
    assert_eq!(run.faults[0].fault.server, 1);
}

#[test]
fn a_driver_that_claims_more_samples_than_fit_is_caught() {
    let claim = u64::MAX / 2;
    let Some(run) = boot(&config(&[scenario(Place::User, scenario::LIE, claim).reaching(&[])])) else {
        return;
    };
    assert!(matches!(run.outcome, Outcome::Corrupt { .. }), "{:?}", run.outcome);
    assert!(run.samples.len() <= 2048);
}
