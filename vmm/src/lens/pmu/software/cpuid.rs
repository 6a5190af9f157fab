//! CPUID of a guest whose counters are a model.

use kvm_bindings::{CpuId, kvm_cpuid_entry2};

use crate::lens::pmu::shape::AMD_CORE;
use crate::lens::pmu::software::SoftwareKind;
use crate::machine::error::MachineError;

const INTEL: &[u8; 12] = b"GenuineIntel";
const AMD: &[u8; 12] = b"AuthenticAMD";

/// Leaf 1, EAX: Skylake-SP (family 6, model 0x55, stepping 4), Zen 3 (0x19, 1, 1), Zen 4 (0x19, 0x11, 1).
const SKYLAKE_SERVER: u32 = 0x0005_0654;
const ZEN_3: u32 = 0x00a0_0f11;
const ZEN_4: u32 = 0x00a1_0f11;

/// Leaf 0AH: 4 counters of 48 bits and 7 events in version 2, 3 fixed ones of 48 bits; 2 of 40 bits in version 1.
const VERSION_2: [u32; 2] = [0x0730_0402, 3 | 48 << 5];
const VERSION_1: [u32; 2] = [0x0728_0201, 0];

/// Leaf 1, ECX: IA32_PERF_CAPABILITIES, which the model does not have.
const PDCM: u32 = 1 << 15;

/// The host's leaves, with vendor, model and counters of `kind`.
pub(crate) fn cpuid(supported: &CpuId, kind: SoftwareKind) -> Result<CpuId, MachineError> {
    let (vendor, signature) = match kind {
        SoftwareKind::IntelVersion1 | SoftwareKind::IntelVersion2 => (INTEL, SKYLAKE_SERVER),
        SoftwareKind::AmdLegacy | SoftwareKind::AmdCore => (AMD, ZEN_3),
        SoftwareKind::AmdPerfmonV2 => (AMD, ZEN_4),
    };
    let monitoring = match kind {
        SoftwareKind::IntelVersion1 => VERSION_1,
        SoftwareKind::IntelVersion2 => VERSION_2,
        _ => [0; 2],
    };
    let replaced = [0xa, 0x8000_0022];
    let mut leaves: Vec<kvm_cpuid_entry2> =
        supported.as_slice().iter().filter(|leaf| !replaced.contains(&leaf.function)).copied().collect();
    for leaf in &mut leaves {
        match leaf.function {
            0 => leaf.eax = leaf.eax.max(0xa),
            1 => (leaf.eax, leaf.ecx) = (signature, leaf.ecx & !PDCM),
            0x8000_0000 => leaf.eax = leaf.eax.max(0x8000_0022),
            0x8000_0001 => {
                leaf.ecx &= !AMD_CORE;
                if matches!(kind, SoftwareKind::AmdCore | SoftwareKind::AmdPerfmonV2) {
                    leaf.ecx |= AMD_CORE;
                }
            }
            _ => {}
        }
        if matches!(leaf.function, 0 | 0x8000_0000) {
            set_vendor(leaf, vendor);
        }
    }
    leaves.push(kvm_cpuid_entry2 {
        function: 0xa,
        eax: monitoring[0],
        edx: monitoring[1],
        ..Default::default()
    });
    let has_version_2 = kind == SoftwareKind::AmdPerfmonV2;
    let amd = if has_version_2 { (1, 6) } else { (0, 0) };
    leaves.push(kvm_cpuid_entry2 { function: 0x8000_0022, eax: amd.0, ebx: amd.1, ..Default::default() });
    CpuId::from_entries(&leaves).map_err(|_| MachineError::Internal("too many CPUID leaves"))
}

/// EBX, EDX, ECX, in this order.
fn set_vendor(leaf: &mut kvm_cpuid_entry2, vendor: &[u8; 12]) {
    let mut words = vendor.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
    for register in [&mut leaf.ebx, &mut leaf.edx, &mut leaf.ecx] {
        *register = words.next().unwrap_or_default();
    }
}
