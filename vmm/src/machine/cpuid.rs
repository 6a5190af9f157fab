//! What CPUID tells a guest: everything that KVM supports, with the identity of each vCPU put in.

use kvm_bindings::{CpuId, kvm_cpuid_entry2};

use crate::machine::error::MachineError;
use crate::machine::page_table::LargestPage;

/// Leaf 1, ECX: the local APIC's registers may be MSRs.
const X2APIC: u32 = 1 << 21;

/// Leaf 1, ECX: the local APIC's timer has the TSC-deadline mode.
const TSC_DEADLINE: u32 = 1 << 24;

/// Leaf 0x8000_0001, EDX: 1 GiB pages.
const GIBIBYTE_PAGES: u32 = 1 << 26;

/// Leaf 1, ECX: there is a hypervisor. Before it is set nobody looks for its leaves, 0x4000_0000 and up, and so for the
/// steal-time record. Linux's KVM sets it in KVM_GET_SUPPORTED_CPUID only since about 6.14, and leaves it to the VMM before.
const HYPERVISOR: u32 = 1 << 31;

/// Leaf of a hypervisor that tells the frequencies of TSC (EAX) and local APIC (EBX), kHz: VMware's convention, which
/// QEMU and Linux follow under KVM.
const TIMING_LEAF: u32 = 0x4000_0010;

/// Leaf 0x4000_0001, EAX: the steal-time record (Documentation/virt/kvm/x86/cpuid.rst).
const STEAL_TIME: u32 = 1 << 5;

/// Leaves that describe the topology level by level (Intel SDM vol. 2, CPUID leaf 0BH).
const TOPOLOGY_LEAVES: [u32; 2] = [0xb, 0x1f];

/// What is the same for all vCPUs of a guest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    pub vcpus: u32,
    /// Whether the guest may have KVM's steal-time record, where KVM offers it.
    pub has_steal_time: bool,
    pub has_x2apic: bool,
    pub has_tsc_deadline: bool,
    /// 0 when unknown.
    pub tsc_hz: u64,
    pub apic_timer_hz: u64,
}

/// The largest pages that guests may use.
pub(crate) fn largest_page(cpuid: &CpuId) -> LargestPage {
    let has_them = |leaf: &kvm_cpuid_entry2| leaf.function == 0x8000_0001 && leaf.edx & GIBIBYTE_PAGES != 0;
    if cpuid.as_slice().iter().any(has_them) { LargestPage::Gibibyte1 } else { LargestPage::Mebibytes2 }
}

/// Whether guests may have a local APIC whose registers are MSRs.
pub(crate) fn has_x2apic(cpuid: &CpuId) -> bool {
    cpuid.as_slice().iter().any(|leaf| leaf.function == 1 && leaf.ecx & X2APIC != 0)
}

/// The leaves of vCPU `index`, whose local APIC has the same number: a package of single-threaded cores.
pub(crate) fn for_vcpu(supported: &CpuId, machine: Machine, index: u32) -> Result<CpuId, MachineError> {
    let mut leaves: Vec<kvm_cpuid_entry2> = supported
        .as_slice()
        .iter()
        .filter(|leaf| !TOPOLOGY_LEAVES.contains(&leaf.function) && leaf.function != TIMING_LEAF)
        .copied()
        .collect();
    let topology = |function: &u32| supported.as_slice().iter().any(|leaf| leaf.function == *function);
    for function in TOPOLOGY_LEAVES.into_iter().filter(topology) {
        leaves.extend(topology_levels(function, machine.vcpus, index));
    }
    for leaf in &mut leaves {
        match leaf.function {
            1 => {
                let logical = machine.vcpus.min(255);
                leaf.ebx = (leaf.ebx & 0xffff) | (index.min(255) << 24) | (logical << 16);
                leaf.ecx = leaf.ecx & !TSC_DEADLINE | HYPERVISOR;
                if !machine.has_x2apic {
                    leaf.ecx &= !X2APIC;
                }
                if machine.has_tsc_deadline {
                    leaf.ecx |= TSC_DEADLINE;
                }
            }
            // Extended APIC identifier; one thread per core (AMD APM vol. 3, CPUID Fn8000_001E).
            0x8000_001e => {
                leaf.eax = index;
                leaf.ebx = index & 0xff;
            }
            0x4000_0001 if !machine.has_steal_time => leaf.eax &= !STEAL_TIME,
            0x4000_0000 if machine.tsc_hz > 0 => leaf.eax = leaf.eax.max(TIMING_LEAF),
            _ => {}
        }
    }
    if machine.tsc_hz > 0 && leaves.iter().any(|leaf| leaf.function == 0x4000_0000) {
        let khz = |hz: u64| u32::try_from(hz / 1000).unwrap_or(0);
        let (eax, ebx) = (khz(machine.tsc_hz), khz(machine.apic_timer_hz));
        leaves.push(kvm_cpuid_entry2 { function: TIMING_LEAF, eax, ebx, ..Default::default() });
    }
    CpuId::from_entries(&leaves)
        .map_err(|_| MachineError::Internal("KVM tells more CPUID leaves than it takes"))
}

/// Level 0: threads of a core (one). Level 1: cores of the package (all). Level 2: the end of the list.
fn topology_levels(function: u32, vcpus: u32, index: u32) -> [kvm_cpuid_entry2; 3] {
    let bits = vcpus.next_power_of_two().trailing_zeros();
    let level = |number: u32, kind: u32, shift: u32, count: u32| kvm_cpuid_entry2 {
        function,
        index: number,
        flags: kvm_bindings::KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
        eax: shift,
        ebx: count,
        ecx: kind << 8 | number,
        edx: index,
        ..Default::default()
    };
    [level(0, 1, 0, 1), level(1, 2, bits, vcpus), level(2, 0, 0, 0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(function: u32) -> kvm_cpuid_entry2 {
        kvm_cpuid_entry2 { function, ..Default::default() }
    }

    fn find(cpuid: &CpuId, function: u32, index: u32) -> kvm_cpuid_entry2 {
        *cpuid.as_slice().iter().find(|leaf| leaf.function == function && leaf.index == index).unwrap()
    }

    #[test]
    fn each_vcpu_has_its_own_identifier() {
        let supported =
            CpuId::from_entries(&[leaf(1), leaf(0xb), leaf(0x4000_0000), leaf(0x8000_001e)]).unwrap();
        let machine = Machine {
            has_steal_time: true,
            has_x2apic: true,
            vcpus: 640,
            has_tsc_deadline: true,
            tsc_hz: 2_600_000_000,
            apic_timer_hz: 1_000_000_000,
        };
        let cpuid = for_vcpu(&supported, machine, 300).unwrap();
        assert_eq!(find(&cpuid, 1, 0).ebx, 255 << 24 | 255 << 16);
        assert_eq!(find(&cpuid, 1, 0).ecx, TSC_DEADLINE | HYPERVISOR, "set, though KVM did not");
        assert_eq!(find(&cpuid, 0xb, 0).edx, 300);
        assert_eq!((find(&cpuid, 0xb, 1).eax, find(&cpuid, 0xb, 1).ebx), (10, 640));
        assert_eq!(find(&cpuid, 0x8000_001e, 0).eax, 300);
        assert_eq!(find(&cpuid, 0x4000_0000, 0).eax, TIMING_LEAF);
        assert_eq!(find(&cpuid, TIMING_LEAF, 0).eax, 2_600_000);
    }

    #[test]
    fn nothing_is_promised_that_the_host_lacks() {
        let supported = CpuId::from_entries(&[leaf(1)]).unwrap();
        let machine = Machine {
            vcpus: 1,
            has_steal_time: true,
            has_x2apic: false,
            has_tsc_deadline: false,
            tsc_hz: 0,
            apic_timer_hz: 0,
        };
        let cpuid = for_vcpu(&supported, machine, 0).unwrap();
        assert_eq!(cpuid.as_slice().len(), 1);
        assert_eq!(find(&cpuid, 1, 0).ecx, HYPERVISOR);
        assert_eq!(largest_page(&cpuid), LargestPage::Mebibytes2);
    }
}
