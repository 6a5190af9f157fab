//! Whether the counters that CPUID shows can count on this host, and what is in the way if not.

use std::collections::BTreeSet;
use std::fs;

use kvm_bindings::KVM_CAP_PMU_CAPABILITY;
use serde::Serialize;

use crate::host::CoreKind;
use crate::host::cores;
use crate::lens::pmu::shape::{Counters, Shape};
use crate::machine::kvm::KvmDevice;
use crate::machine::request::uninterrupted;

/// What the host says about guests' counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPmu {
    /// The kinds of cores of a hybrid processor; empty where all cores are alike.
    pub core_kinds: Vec<CoreKind>,
    /// KVM_CHECK_EXTENSION(KVM_CAP_PMU_CAPABILITY): bit 0 when guests can have counters (Linux 5.18 and newer).
    pub capability: i32,
    /// KVM's module parameter `enable_pmu`.
    pub is_enabled: Option<bool>,
    /// Whether the NMI watchdog holds one counter of each CPU.
    pub has_nmi_watchdog: Option<bool>,
    /// The vendor module's parameter `enable_mediated_pmu`: guests own the counters while they run.
    pub is_mediated: Option<bool>,
    /// KVM_GET_MSR_INDEX_LIST. Holds a counter's registers only if they work on the host (x86.c,
    /// `kvm_probe_msr_to_save`).
    pub registers: BTreeSet<u32>,
}

/// Whether the lens can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PmuAvailability {
    /// As far as the host tells; the guest's self-test has the last word.
    Available {
        /// The counters.
        shape: Shape,
        /// General counters that are better left alone.
        reserved: u32,
        /// What may still spoil the figures.
        warnings: Vec<String>,
    },
    /// Not at all.
    Absent {
        /// Why.
        reason: String,
        /// What the user can do about it.
        remedy: String,
    },
}

const HARDWARE_REMEDY: &str = "run on bare metal, or let the hypervisor of this host give it performance counters \
                               (ls /sys/bus/event_source/devices/cpu*), with Linux 5.18 or newer";

/// What helps on a hybrid host.
pub(crate) const HYBRID_REMEDY: &str = "use the lens perf, with the vCPUs pinned to one kind of core (--pin), or a host whose cores are all alike";

/// Why a guest has no counters on a hybrid host (Linux, arch/x86/kvm/pmu.h, `kvm_init_pmu_capability`).
pub(crate) fn no_pmu_on(kinds: &[CoreKind]) -> String {
    format!(
        "this processor mixes kinds of cores ({}), and KVM gives guests no performance counters on such hosts (Linux 6.2 and newer)",
        cores::names(kinds)
    )
}

impl HostPmu {
    pub(crate) fn probe(device: &KvmDevice) -> HostPmu {
        let parameter = |path: &str| {
            let text = fs::read_to_string(path).ok()?;
            Some(matches!(text.trim(), "Y" | "y" | "1"))
        };
        let mediated =
            |module: &str| parameter(&format!("/sys/module/{module}/parameters/enable_mediated_pmu"));
        let registers = uninterrupted(|| device.fd.get_msr_index_list());
        HostPmu {
            core_kinds: cores::probe(),
            capability: device.fd.check_extension_raw(KVM_CAP_PMU_CAPABILITY.into()),
            is_enabled: parameter("/sys/module/kvm/parameters/enable_pmu"),
            has_nmi_watchdog: parameter("/proc/sys/kernel/nmi_watchdog"),
            is_mediated: mediated("kvm_intel").or_else(|| mediated("kvm_amd")),
            registers: registers.map(|list| list.as_slice().iter().copied().collect()).unwrap_or_default(),
        }
    }
}

impl PmuAvailability {
    /// Judges. perf_event_paranoid is no obstacle here: it restrains users, and these counters are opened by KVM itself.
    pub fn decide(shape: Option<Shape>, host: &HostPmu) -> PmuAvailability {
        let absent = |reason: &str, remedy: &str| PmuAvailability::Absent {
            reason: reason.to_owned(),
            remedy: remedy.to_owned(),
        };
        if !host.core_kinds.is_empty() {
            return absent(&no_pmu_on(&host.core_kinds), HYBRID_REMEDY);
        }
        if host.is_enabled == Some(false) {
            return absent(
                "KVM's module parameter enable_pmu is N: it is switched off, or this host has no counters itself",
                "reload kvm with enable_pmu=Y; where this host is a virtual machine, its hypervisor must give it counters",
            );
        }
        if host.capability & 1 == 0 {
            return absent(
                "KVM offers guests no performance counters (KVM_CAP_PMU_CAPABILITY)",
                HARDWARE_REMEDY,
            );
        }
        let Some(shape) = shape else {
            return absent("a guest's CPUID shows no performance counters here", HARDWARE_REMEDY);
        };
        if let Some(missing) =
            registers_of(&shape).into_iter().find(|register| !host.registers.contains(register))
        {
            return absent(&format!("KVM gives guests no register {missing:#x}"), HARDWARE_REMEDY);
        }
        let mut warnings = Vec::new();
        let mut reserved = 0;
        if host.is_mediated != Some(true) {
            // Whoever else counts on this host takes counters away, silently (Linux, pmu.c: "pinned").
            warnings.push(
                "counters are shared with the host: nobody else may use perf while this runs".to_owned(),
            );
            reserved = 1;
            if host.has_nmi_watchdog != Some(false) {
                reserved = 2;
                warnings
                    .push("the NMI watchdog holds a counter: sudo sysctl kernel.nmi_watchdog=0".to_owned());
            }
        }
        // Two of them are needed to tell anything.
        let reserved = reserved.min(shape.general.saturating_sub(2));
        PmuAvailability::Available { shape, reserved, warnings }
    }
}

/// First selector and first counter.
fn registers_of(shape: &Shape) -> [u32; 2] {
    match shape.counters {
        Counters::Intel { .. } => [0x186, 0xc1],
        Counters::AmdLegacy => [0xc001_0000, 0xc001_0004],
        Counters::AmdCore | Counters::AmdPerfmonV2 => [0xc001_0200, 0xc001_0201],
    }
}
