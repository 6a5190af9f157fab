//! KVM on this host: device, modules, capabilities, and which features guests may have.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use kvm_bindings::{
    CpuId, KVM_CAP_BINARY_STATS_FD, KVM_CAP_GET_TSC_KHZ, KVM_CAP_PMU_CAPABILITY, KVM_CAP_SET_GUEST_DEBUG,
    KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_SYNC_REGS, KVM_CAP_TSC_CONTROL, KVM_CAP_TSC_DEADLINE_TIMER,
    KVM_CAP_X2APIC_API, KVM_CAP_X86_APIC_BUS_CYCLES_NS,
};
use serde::Serialize;

use crate::host::cpu::CpuFacts;
use crate::host::fact::Fact;
use crate::host::ring0::Ring0Facts;
use crate::host::system::read;
use crate::machine::kvm::KvmDevice;

/// Facts about KVM.
#[derive(Clone, Debug, Serialize)]
pub struct KvmFacts {
    /// Mode, owner and group of `/dev/kvm`.
    pub device: Fact<String>,
    /// Whether it can be opened, and if not, what to do.
    pub usable: Fact<bool>,
    /// Loaded modules whose names begin with `kvm`.
    pub modules: Fact<Vec<String>>,
    /// Which kind of KVM it is, by behaviour.
    pub vendor: KvmVendor,
    /// Nested paging: the vendor module's parameter `npt` or `ept`.
    pub nested_paging: Fact<bool>,
    /// KVM's module parameter `enable_pmu`.
    pub enable_pmu: Fact<bool>,
    /// Most vCPUs of one guest.
    pub max_vcpus: Fact<u32>,
    /// Recommended number of vCPUs.
    pub recommended_vcpus: Fact<u32>,
    /// What KVM_CHECK_EXTENSION says of the capabilities that matter here.
    pub capabilities: Fact<BTreeMap<&'static str, i32>>,
    /// What a guest's CPUID may show.
    pub guest_features: Fact<GuestFeatures>,
}

/// Kinds of KVM on x86.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KvmVendor {
    /// Ring 0 emulated, ring 3 native (kvm_pvm).
    Pvm,
    /// AMD's SVM.
    Amd,
    /// Intel's VMX.
    Intel,
    /// No guest could be run, or the processor is neither's.
    Unknown,
}

/// Features that KVM_GET_SUPPORTED_CPUID offers to guests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GuestFeatures {
    /// Process-context identifiers.
    pub pcid: bool,
    /// INVPCID.
    pub invpcid: bool,
    /// Supervisor-mode execution prevention.
    pub smep: bool,
    /// Supervisor-mode access prevention.
    pub smap: bool,
    /// 1 GiB pages.
    pub gibibyte_pages: bool,
    /// x2APIC.
    pub x2apic: bool,
    /// The local APIC timer's TSC-deadline mode.
    pub tsc_deadline: bool,
    /// RDTSCP.
    pub rdtscp: bool,
    /// RDFSBASE and its kin.
    pub fsgsbase: bool,
    /// User-mode instruction prevention.
    pub umip: bool,
    /// Version of the guest's performance monitoring unit, 0 for none (Intel: leaf 0xa; AMD: 1 for the old kind, 2 for
    /// the one of leaf 0x8000_0022).
    pub pmu_version: u32,
    /// Its general counters.
    pub pmu_counters: u32,
}

/// Capabilities that inkbed asks about, or that tell what a host can do.
const CAPABILITIES: [(&str, u32); 10] = [
    ("BINARY_STATS_FD", KVM_CAP_BINARY_STATS_FD),
    ("GET_TSC_KHZ", KVM_CAP_GET_TSC_KHZ),
    ("PMU_CAPABILITY", KVM_CAP_PMU_CAPABILITY),
    ("SET_GUEST_DEBUG", KVM_CAP_SET_GUEST_DEBUG),
    ("SPLIT_IRQCHIP", KVM_CAP_SPLIT_IRQCHIP),
    ("SYNC_REGS", KVM_CAP_SYNC_REGS),
    ("TSC_CONTROL", KVM_CAP_TSC_CONTROL),
    ("TSC_DEADLINE_TIMER", KVM_CAP_TSC_DEADLINE_TIMER),
    ("X2APIC_API", KVM_CAP_X2APIC_API),
    ("X86_APIC_BUS_CYCLES_NS", KVM_CAP_X86_APIC_BUS_CYCLES_NS),
];

impl KvmFacts {
    pub(crate) fn probe(cpu: &CpuFacts, ring0: &Fact<Ring0Facts>) -> KvmFacts {
        let opened = KvmDevice::open();
        let usable = match &opened {
            Ok(_) => Fact::Known(true),
            Err(error) => Fact::absent(error),
        };
        let device = match &opened {
            Ok(device) => Fact::Known(device),
            Err(_) => Fact::absent("KVM cannot be used"),
        };
        KvmFacts {
            device: describe_device(Path::new("/dev/kvm")),
            usable,
            modules: modules(),
            vendor: KvmVendor::decide(cpu, ring0),
            nested_paging: nested_paging(),
            enable_pmu: read("/sys/module/kvm/parameters/enable_pmu").map(|value| is_yes(&value)),
            max_vcpus: device.clone().map(|device| device.max_vcpus),
            recommended_vcpus: device.clone().map(|device| device.fd.get_nr_vcpus() as u32),
            capabilities: device.clone().map(capabilities),
            guest_features: device.and_then(guest_features),
        }
    }

    /// What KVM says of a capability, 0 where it says nothing.
    pub fn capability(&self, name: &str) -> i32 {
        self.capabilities.known().and_then(|capabilities| capabilities.get(name)).copied().unwrap_or(0)
    }
}

impl KvmVendor {
    fn decide(cpu: &CpuFacts, ring0: &Fact<Ring0Facts>) -> KvmVendor {
        match ring0.known() {
            None => KvmVendor::Unknown,
            Some(measured) if measured.is_emulated => KvmVendor::Pvm,
            Some(_) => match cpu.vendor.known().map(String::as_str) {
                Some("AuthenticAMD" | "HygonGenuine") => KvmVendor::Amd,
                Some("GenuineIntel" | "CentaurHauls" | "  Shanghai  ") => KvmVendor::Intel,
                _ => KvmVendor::Unknown,
            },
        }
    }
}

fn describe_device(path: &Path) -> Fact<String> {
    match fs::metadata(path) {
        Ok(metadata) => {
            let mode = metadata.permissions().mode() & 0o777;
            Fact::Known(format!("mode {mode:o}, owner {}, group {}", metadata.uid(), metadata.gid()))
        }
        Err(error) => Fact::absent(format_args!("{}: {error}", path.display())),
    }
}

fn modules() -> Fact<Vec<String>> {
    match fs::read_dir("/sys/module") {
        Ok(entries) => {
            let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
            let mut names: Vec<String> = names.filter(|name| name.starts_with("kvm")).collect();
            names.sort();
            Fact::Known(names)
        }
        Err(error) => Fact::absent(format_args!("/sys/module: {error}")),
    }
}

fn nested_paging() -> Fact<bool> {
    let parameters = ["/sys/module/kvm_amd/parameters/npt", "/sys/module/kvm_intel/parameters/ept"].map(read);
    let known = parameters.into_iter().find(|parameter| parameter.known().is_some());
    known.map_or_else(
        || Fact::absent("neither kvm_amd nor kvm_intel is loaded"),
        |value| value.map(|value| is_yes(&value)),
    )
}

fn is_yes(parameter: &str) -> bool {
    matches!(parameter, "Y" | "1")
}

fn capabilities(device: &KvmDevice) -> BTreeMap<&'static str, i32> {
    let ask = |capability: u32| device.fd.check_extension_raw(capability.into()).max(0);
    CAPABILITIES.iter().map(|(name, capability)| (*name, ask(*capability))).collect()
}

fn guest_features(device: &KvmDevice) -> Fact<GuestFeatures> {
    Fact::from(device.supported_cpuid()).map(|cpuid| {
        let mut features = decode_features(&cpuid);
        features.tsc_deadline |= device.has_tsc_deadline;
        features
    })
}

/// Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix E.
pub(crate) fn decode_features(cpuid: &CpuId) -> GuestFeatures {
    let find = |function: u32| {
        cpuid.as_slice().iter().find(|leaf| leaf.function == function && leaf.index == 0).copied()
    };
    let leaf = |function: u32| find(function).unwrap_or_default();
    let has = |register: u32, bit: u32| register & (1 << bit) != 0;
    let (basic, structured, extended) = (leaf(1), leaf(7), leaf(0x8000_0001));
    let (intel_pmu, amd_pmu) = (leaf(0xa), leaf(0x8000_0022));
    let (pmu_version, pmu_counters) = if intel_pmu.eax & 0xff > 0 {
        (intel_pmu.eax & 0xff, intel_pmu.eax >> 8 & 0xff)
    } else if has(amd_pmu.eax, 0) {
        (2, amd_pmu.ebx & 0xf)
    } else if has(extended.ecx, 23) {
        (1, 6)
    } else {
        (0, 0)
    };
    GuestFeatures {
        pcid: has(basic.ecx, 17),
        invpcid: has(structured.ebx, 10),
        smep: has(structured.ebx, 7),
        smap: has(structured.ebx, 20),
        gibibyte_pages: has(extended.edx, 26),
        x2apic: has(basic.ecx, 21),
        tsc_deadline: has(basic.ecx, 24),
        rdtscp: has(extended.edx, 27),
        fsgsbase: has(structured.ebx, 0),
        umip: has(structured.ecx, 2),
        pmu_version,
        pmu_counters,
    }
}
