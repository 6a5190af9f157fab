//! What this CPU has, by CPUID, and switching it on. What CPUID does not announce is never touched.

use core::arch::x86_64::{__cpuid, __cpuid_count};

use abi::report::feature;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};

/// Bits of [`feature`] that CPUID announces.
pub fn detect() -> u64 {
    let largest = __cpuid(0).eax;
    let one = __cpuid(1);
    let seven = (largest >= 7).then(|| __cpuid_count(7, 0));
    let (seven_ebx, seven_ecx) = seven.map_or((0, 0), |leaf| (leaf.ebx, leaf.ecx));
    let extended = if __cpuid(0x8000_0000).eax >= 0x8000_0001 { __cpuid(0x8000_0001).edx } else { 0 };
    let bits = [
        (one.edx >> 13, feature::GLOBAL_PAGES),
        (one.ecx >> 17, feature::PCID),
        (one.ecx >> 21, feature::X2APIC),
        (one.ecx >> 24, feature::TSC_DEADLINE),
        (seven_ebx >> 7, feature::SMEP),
        (seven_ebx >> 10, feature::INVPCID),
        (seven_ebx >> 20, feature::SMAP),
        (seven_ecx >> 2, feature::UMIP),
        (extended >> 26, feature::GIBIBYTE_PAGES),
        (extended >> 27, feature::RDTSCP),
        (u32::from(has_steal_time(one.ecx)), feature::STEAL_TIME),
        // Each vendor has the one instruction in compatibility mode and not the other (Intel SDM vol. 2, SYSENTER and SYSCALL;
        // AMD APM vol. 3).
        (one.edx >> 11 & u32::from(is_vendor(b"GenuineIntel")), feature::SYSENTER_32),
        (
            extended >> 11 & u32::from(is_vendor(b"AuthenticAMD") || is_vendor(b"HygonGenuine")),
            feature::SYSCALL_32,
        ),
    ];
    bits.iter().filter(|(bit, _)| bit & 1 != 0).fold(0, |features, (_, feature)| features | feature)
}

/// Whether the processor names itself so.
fn is_vendor(name: &[u8; 12]) -> bool {
    let leaf = __cpuid(0);
    [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).as_flattened() == name
}

/// Whether KVM keeps a steal-time record for this guest (Documentation/virt/kvm/x86/cpuid.rst).
fn has_steal_time(leaf_1_ecx: u32) -> bool {
    const HYPERVISOR: u32 = 1 << 31;
    const KVM_LEAVES: u32 = 0x4000_0000;
    const KVM_FEATURE_STEAL_TIME: u32 = 1 << 5;
    if leaf_1_ecx & HYPERVISOR == 0 {
        return false;
    }
    let signature = __cpuid(KVM_LEAVES);
    [signature.ebx, signature.ecx, signature.edx].map(u32::to_le_bytes).as_flattened() == b"KVMKVMKVM\0\0\0"
        && __cpuid(KVM_LEAVES + 1).eax & KVM_FEATURE_STEAL_TIME != 0
}

/// Switches on what the kernel uses of `features` on this CPU. PCIDs only if they are among them.
pub fn enable(features: u64) {
    let wanted = [
        (feature::GLOBAL_PAGES, Cr4Flags::PAGE_GLOBAL),
        (feature::PCID, Cr4Flags::PCID),
        (feature::SMEP, Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION),
        (feature::SMAP, Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION),
        (feature::UMIP, Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION),
    ];
    let mut flags = Cr4::read();
    for (feature, flag) in wanted {
        flags.set(flag, features & feature != 0);
    }
    // SAFETY: CPUID announces each of them; the boot page table has PCID 0, as setting PCIDE demands; the kernel runs on
    // supervisor pages and reaches user memory only through the physical map, as SMEP and SMAP demand.
    unsafe { Cr4::write(flags) };
    // Nobody here saves floating-point registers, so nobody may use them: they would carry data from one server to
    // another. With EM set their instructions fault (Intel SDM vol. 3, 2.5).
    // SAFETY: kernel and servers are compiled without floating point.
    unsafe {
        Cr0::update(|flags| {
            flags.insert(Cr0Flags::EMULATE_COPROCESSOR);
            flags.remove(Cr0Flags::MONITOR_COPROCESSOR);
        });
    }
}
