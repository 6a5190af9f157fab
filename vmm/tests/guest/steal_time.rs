//! What the host takes away: KVM's steal time reaches the guest, and marks only what was stolen.

use abi::program;
use abi::report::{SAMPLE_DISTURBED, STEAL_FLOOR_NS, feature};

use crate::harness::{Place, call, client, config, finish, finish_config, has_feature, server};

/// Leaf of KVM's features, and the bit of the steal-time record in EAX (Documentation/virt/kvm/x86/cpuid.rst).
const KVM_FEATURES_LEAF: u32 = 0x4000_0001;
const STEAL_TIME: u32 = 1 << 5;

fn kvm_offers_steal_time() -> bool {
    let kvm = kvm_ioctls::Kvm::new().expect("/dev/kvm, which the guest was booted on");
    let leaves = kvm.get_supported_cpuid(kvm_bindings::KVM_MAX_CPUID_ENTRIES).expect("KVM's leaves");
    leaves.as_slice().iter().any(|leaf| leaf.function == KVM_FEATURES_LEAF && leaf.eax & STEAL_TIME != 0)
}

/// Older kernels leave the bit "there is a hypervisor" to the VMM, and without it no guest looks further.
#[test]
fn a_guest_finds_the_steal_time_that_kvm_offers() {
    let servers = [client(Place::User, call(0), 5), server(program::NULL, Place::User)];
    let Some(run) = finish(&servers) else { return };
    assert_eq!(run.features & feature::STEAL_TIME != 0, kvm_offers_steal_time());
}

/// Every call waits for another CPU, and the caller's is halted meanwhile. That is no theft: what is marked has waited for a
/// host CPU, and the host's scheduler has seen it wait, too.
#[test]
fn a_call_that_waits_for_another_cpu_is_not_disturbed_by_that() {
    const CALLS: u64 = 200;
    let far = server(program::NULL, Place::User).with(|plan| plan.first_cpu = 1);
    let mut config = config(&[client(Place::User, call(0), CALLS), far]);
    config.vcpus = 2;
    let Some(run) = finish_config(&config) else { return };
    let Some(waited_ns) = run.run_delay_ns.filter(|_| has_feature(&run, feature::STEAL_TIME)) else { return };
    let disturbed = run.samples.iter().filter(|sample| **sample & SAMPLE_DISTURBED != 0).count() as u64;
    // One may have begun to wait before the first mark.
    let most = waited_ns / STEAL_FLOOR_NS + 1;
    assert!(disturbed <= most, "{disturbed} of {CALLS} disturbed, in {waited_ns} ns of waiting");
}
