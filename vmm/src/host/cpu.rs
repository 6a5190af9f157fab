//! The processor that this host runs on, as CPUID tells it.

use raw_cpuid::{CpuId, Hypervisor};
use serde::Serialize;

use crate::host::cores::{self, CoreKind};
use crate::host::fact::Fact;
use crate::host::system::read;
use crate::machine::pin;

/// Facts about the processor.
#[derive(Clone, Debug, Serialize)]
pub struct CpuFacts {
    /// `GenuineIntel`, `AuthenticAMD`, …
    pub vendor: Fact<String>,
    /// The processor's name.
    pub model: Fact<String>,
    /// Family, model and stepping numbers.
    pub signature: Fact<String>,
    /// CPUs that are online.
    pub online_cpus: Fact<u32>,
    /// The kinds of cores of a hybrid processor; empty where all cores are alike.
    pub core_kinds: Vec<CoreKind>,
    /// The time-stamp counter runs at one rate in all power states.
    pub invariant_tsc: Fact<bool>,
    /// The hypervisor that this host itself runs under, as it calls itself; `none` on bare metal.
    pub hypervisor: Fact<String>,
}

impl CpuFacts {
    pub(crate) fn probe() -> CpuFacts {
        let cpuid = CpuId::new();
        let missing = |leaf: &str| Fact::absent(format_args!("this processor has no CPUID leaf {leaf}"));
        let brand = cpuid.get_processor_brand_string();
        let features = cpuid.get_feature_info();
        CpuFacts {
            vendor: cpuid
                .get_vendor_info()
                .map_or_else(|| missing("0"), |vendor| Fact::Known(vendor.as_str().to_owned())),
            model: brand
                .map_or_else(|| missing("0x80000002"), |brand| Fact::Known(brand.as_str().trim().to_owned())),
            signature: features.as_ref().map_or_else(
                || missing("1"),
                |features| {
                    let (family, model) = (features.family_id(), features.model_id());
                    Fact::Known(format!("family {family} model {model} stepping {}", features.stepping_id()))
                },
            ),
            online_cpus: read("/sys/devices/system/cpu/online").and_then(|list| count_list(&list)),
            core_kinds: cores::probe(),
            invariant_tsc: Fact::Known(
                cpuid.get_advanced_power_mgmt_info().is_some_and(|power| power.has_invariant_tsc()),
            ),
            hypervisor: Fact::Known(cpuid.get_hypervisor_info().map_or_else(
                || "none".to_owned(),
                |hypervisor| match hypervisor.identify() {
                    Hypervisor::Unknown(ebx, ecx, edx) => signature(ebx, ecx, edx),
                    Hypervisor::QEMU => "TCG".to_owned(),
                    known => format!("{known:?}"),
                },
            )),
        }
    }
}

/// The twelve letters of a hypervisor's signature.
fn signature(ebx: u32, ecx: u32, edx: u32) -> String {
    let bytes: Vec<u8> = [ebx, ecx, edx].iter().flat_map(|register| register.to_le_bytes()).collect();
    String::from_utf8_lossy(&bytes).trim_matches('\0').to_owned()
}

/// Number of CPUs in a list like `0-3,5`.
pub(crate) fn count_list(list: &str) -> Fact<u32> {
    match pin::parse_list(list) {
        Some(cpus) => Fact::Known(cpus.len() as u32),
        None => Fact::absent(format_args!("cannot read the CPU list {list:?}")),
    }
}
