//! What only some CPUs have: PCIDs, SMEP, SMAP, 1 GiB pages.

use abi::plan::flag;
use abi::program::{self, crash, scenario};
use abi::report::feature;
use inkbed::machine::guest::Outcome;

use crate::harness::{
    Place, boot, call, client, config, counted, finish, finish_config, has_feature, scenario, server,
};

const ROUND_TRIPS: u64 = 25;

/// With PCIDs the same loads happen, but the TLB survives them; without hardware the plan is refused, not ignored.
#[test]
fn pcids_keep_the_tlb_over_loads() {
    let servers = [client(Place::User, call(0), ROUND_TRIPS), server(program::NULL, Place::User)];
    let mut config = config(&servers);
    config.plan_flags = flag::PCID;
    let Some(run) = boot(&config) else { return };
    if let Outcome::Refused { message } = &run.outcome {
        assert!(message.contains("PCID"), "{message}");
        assert!(!has_feature(&run, feature::PCID));
        return;
    }
    assert_eq!(run.outcome, Outcome::Finished { status: 0 });
    assert!(has_feature(&run, feature::PCID), "a plan with PCIDs runs only with PCIDs");
    let counted = counted(&run);
    assert_eq!(counted.page_table_loads, 2 * ROUND_TRIPS);
    assert_eq!(counted.page_table_loads_preserving_tlb, 2 * ROUND_TRIPS);
    assert_eq!(counted.tlb_full_flushes, 0);
}

/// A dead server's mappings must go from the TLB under PCIDs, too: its death flushes, and others live on.
#[test]
fn a_death_under_pcids_hurts_nobody_else() {
    let driver = scenario(Place::User, scenario::CRASH, crash::PAGE_FAULT.into()).reaching(&[1, 2]);
    let servers = [driver, server(program::CRASH, Place::User), server(program::ECHO, Place::User)];
    let mut config = config(&servers);
    config.plan_flags = flag::PCID;
    let Some(run) = boot(&config) else { return };
    if !matches!(run.outcome, Outcome::Refused { .. }) {
        assert_eq!(run.outcome, Outcome::Finished { status: 0 });
        assert_eq!(run.samples[2], abi::call::status::OK);
    }
}

/// The kernel runs with supervisor-mode protection wherever the CPU has it, and copies 4 KiB messages all the same.
#[test]
fn supervisor_mode_protection_is_on_where_the_cpu_has_it() {
    let servers = [scenario(Place::User, scenario::ECHO_ALL_SIZES, 0), server(program::ECHO, Place::User)];
    let Some(run) = finish(&servers) else { return };
    for feature in [feature::SMEP, feature::SMAP] {
        has_feature(&run, feature);
    }
    assert!(run.samples.iter().all(|&sample| sample == 1));
}

/// Interrupts between CPUs, where the local APIC's registers lie in memory.
#[test]
fn a_local_apic_in_memory_does_what_one_behind_registers_does() {
    let elsewhere = server(program::NULL, Place::User).with(|plan| plan.first_cpu = 1);
    let servers = [client(Place::User, call(0), ROUND_TRIPS), elsewhere];
    let mut config = config(&servers);
    config.vcpus = 2;
    let Some(before) = finish_config(&config) else { return };
    config.withheld_features = feature::X2APIC | feature::TSC_DEADLINE;
    let Some(run) = finish_config(&config) else { return };
    assert!(has_feature(&before, feature::X2APIC) || !has_feature(&run, feature::X2APIC));
    assert!(!has_feature(&run, feature::X2APIC) && !has_feature(&run, feature::TSC_DEADLINE));
    assert_eq!(counted(&run).ipc_remote, counted(&before).ipc_remote);
    assert!(counted(&run).ipc_remote >= ROUND_TRIPS);
}

/// The physical map is made of 1 GiB pages where the CPU has them, and covers more than one of them.
#[test]
fn large_guests_work_with_and_without_gibibyte_pages() {
    let servers = [client(Place::User, call(512), 5), server(program::ECHO, Place::Kernel)];
    let mut config = config(&servers);
    config.memory_bytes = 5 << 30;
    let Some(run) = finish_config(&config) else { return };
    has_feature(&run, feature::GIBIBYTE_PAGES);
    assert_eq!(run.samples.len(), 5);
}
