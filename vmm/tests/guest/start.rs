//! Starting up: CPUs, plans that cannot be started, panics of the kernel.

use std::collections::BTreeSet;

use abi::plan::trust;
use abi::program::{self, crash, scenario};
use inkbed::machine::guest::Outcome;

use crate::harness::{Place, boot, call, client, config, finish_config, scenario, server};

#[test]
fn all_cpus_come_up_and_report() {
    for vcpus in [1, 4] {
        let servers = [client(Place::User, call(0), 5), server(program::NULL, Place::Kernel)];
        let mut config = config(&servers);
        config.vcpus = vcpus;
        let Some(run) = finish_config(&config) else { return };
        assert_eq!(run.cpus.len(), vcpus as usize);
        assert!(run.cpus.iter().all(|cpu| cpu.online == 1));
        let identifiers: BTreeSet<u32> = run.cpus.iter().map(|cpu| cpu.apic_id).collect();
        assert_eq!(identifiers.len(), vcpus as usize, "every CPU has an identifier of its own");
    }
}

#[test]
fn only_critical_and_trusted_servers_may_run_in_the_kernel() {
    for group in [trust::CRITICAL_UNTRUSTED, trust::NONCRITICAL_TRUSTED, trust::NONCRITICAL_UNTRUSTED] {
        let null = server(program::NULL, Place::Kernel).with(|plan| plan.trust_group = group);
        let servers = [client(Place::User, call(0), 5), null];
        let Some(run) = boot(&config(&servers)) else { return };
        let Outcome::Refused { message } = run.outcome else { panic!("{:?}", run.outcome) };
        assert!(message.contains("server 1") && message.contains("trust group 1"), "{message}");
    }
}

#[test]
fn a_guest_without_enough_memory_says_so() {
    let big = server(program::TOUCH, Place::User).with(|plan| plan.working_set_pages = 200_000);
    let servers = [client(Place::User, call(0), 5), big];
    let Some(run) = boot(&config(&servers)) else { return };
    let Outcome::Refused { message } = run.outcome else { panic!("{:?}", run.outcome) };
    assert!(message.contains("--memory"), "{message}");
}

#[test]
fn a_program_that_is_none_is_refused() {
    let mut config = config(&[client(Place::User, call(0), 5), server(program::NULL, Place::Kernel)]);
    config.modules[0].bytes = b"#!/bin/sh\necho not an ELF file\n".as_slice().into();
    let Some(run) = boot(&config) else { return };
    let Outcome::Refused { message } = run.outcome else { panic!("{:?}", run.outcome) };
    assert!(message.contains("ELF"), "{message}");
}

/// A trusted server in the kernel that should not have been trusted takes the kernel with it, and the VMM says where.
#[test]
fn a_panic_of_the_kernel_leaves_message_registers_and_backtrace() {
    let driver = scenario(Place::User, scenario::CRASH, crash::CORRUPT_KERNEL.into()).reaching(&[1, 1]);
    let Some(run) = boot(&config(&[driver, server(program::CRASH, Place::Kernel)])) else { return };
    let Outcome::Panic { message, last_words } = run.outcome else { panic!("{:?}", run.outcome) };
    assert!(message.contains("exception 14"), "{message}");
    assert!(last_words.registers.rip >= abi::address::KERNEL_IMAGE_BASE);
    assert!(
        last_words.backtrace.iter().any(|frame| frame.contains("kernel::")),
        "{:?}",
        last_words.backtrace
    );
}
