//! Which counters a guest has, as its CPUID tells.

use kvm_bindings::{CpuId, kvm_cpuid_entry2};
use serde::{Deserialize, Serialize};

/// The processor and its counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Family, model and stepping as the vendors count them.
    pub family: u32,
    /// Model.
    pub model: u32,
    /// Stepping.
    pub stepping: u32,
    /// Which kind of counters.
    pub counters: Counters,
    /// Number of general counters.
    pub general: u32,
    /// Width of the general counters, bits.
    pub width: u32,
    /// Number of fixed counters.
    pub fixed: u32,
    /// Width of the fixed counters, bits; 0 where there are none.
    pub fixed_width: u32,
}

/// Kinds of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counters {
    /// Intel's architectural performance monitoring of this version. KVM gives guests 2 at most.
    Intel {
        /// CPUID leaf 0AH, EAX bits 7:0.
        version: u32,
        /// The same leaf, EBX: bit n says that architectural event n is not there.
        missing_events: u32,
    },
    /// AMD's four old counters. No CPUID bit announces them, so that they may still be absent.
    AmdLegacy,
    /// AMD's six counters.
    AmdCore,
    /// The same with a global switch.
    AmdPerfmonV2,
}

/// AMD's width (AMD APM vol. 2, 13.2.1).
const AMD_WIDTH: u32 = 48;
/// CPUID 0x8000_0001, ECX: PerfCtrExtCore.
pub(crate) const AMD_CORE: u32 = 1 << 23;

impl Shape {
    /// Reads a guest's CPUID (Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix E). `None`: no counters.
    pub fn of(cpuid: &CpuId) -> Option<Shape> {
        let leaf = |function| find(cpuid, function);
        let basic = leaf(0);
        let vendor = [basic.ebx, basic.edx, basic.ecx].map(u32::to_le_bytes);
        let (family, model, stepping) = identity(leaf(1).eax);
        let identified = |counters, general, width| Shape {
            family,
            model,
            stepping,
            counters,
            general,
            width,
            fixed: 0,
            fixed_width: 0,
        };
        match vendor.as_flattened() {
            b"GenuineIntel" => {
                let monitoring = leaf(0xa);
                let version = monitoring.eax & 0xff;
                if version == 0 {
                    return None;
                }
                // Bits of EBX behind its valid length say that the event is not there either.
                let valid = monitoring.eax >> 24;
                let missing_events = monitoring.ebx | u32::MAX.checked_shl(valid).unwrap_or(0);
                let counters = Counters::Intel { version, missing_events };
                let mut shape = identified(counters, monitoring.eax >> 8 & 0xff, monitoring.eax >> 16 & 0xff);
                if version >= 2 {
                    (shape.fixed, shape.fixed_width) = (monitoring.edx & 0x1f, monitoring.edx >> 5 & 0xff);
                }
                Some(shape)
            }
            b"AuthenticAMD" | b"HygonGenuine" => {
                let has_core = leaf(0x8000_0001).ecx & AMD_CORE != 0;
                let monitoring = leaf(0x8000_0022);
                let (counters, general) = match (has_core, monitoring.eax & 1 != 0) {
                    (true, true) => (Counters::AmdPerfmonV2, monitoring.ebx & 0xf),
                    (true, false) => (Counters::AmdCore, 6),
                    (false, _) => (Counters::AmdLegacy, 4),
                };
                Some(identified(counters, general, AMD_WIDTH))
            }
            _ => None,
        }
    }
}

fn find(cpuid: &CpuId, function: u32) -> kvm_cpuid_entry2 {
    let is_it = |leaf: &&kvm_cpuid_entry2| leaf.function == function && leaf.index == 0;
    cpuid.as_slice().iter().find(is_it).copied().unwrap_or_default()
}

/// Family, model and stepping of leaf 1, EAX: the extended parts count for families 6 and 15.
pub(crate) fn identity(signature: u32) -> (u32, u32, u32) {
    let (base_family, base_model) = (signature >> 8 & 0xf, signature >> 4 & 0xf);
    let family = if base_family == 0xf { base_family + (signature >> 20 & 0xff) } else { base_family };
    let has_extended_model = matches!(base_family, 6 | 0xf);
    let model = if has_extended_model { base_model | (signature >> 16 & 0xf) << 4 } else { base_model };
    (family, model, signature & 0xf)
}
