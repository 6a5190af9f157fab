//! `/dev/kvm`: opening it and asking what it can do.

use std::path::Path;

use kvm_bindings::{
    CpuId, KVM_API_VERSION, KVM_CAP_BINARY_STATS_FD, KVM_CAP_X86_APIC_BUS_CYCLES_NS, KVM_MAX_CPUID_ENTRIES,
};
use kvm_ioctls::{Cap, Kvm};

use crate::machine::device_file::{self, DEVICE};
use crate::machine::error::MachineError;
use crate::machine::request::{kvm, uninterrupted};

/// Local APIC identifiers of 8 bits end here; 255 is the broadcast.
pub(crate) const SMALL_APIC_IDS: u32 = 255;

/// An open `/dev/kvm` with the capabilities that this machine model asks about.
#[derive(Debug)]
pub(crate) struct KvmDevice {
    pub fd: Kvm,
    /// Most vCPUs of one guest: KVM's limit, 255 without local APIC identifiers of 32 bits (KVM_CAP_X2APIC_API), and
    /// never more than there are per-CPU areas.
    pub max_vcpus: u32,
    /// KVM_CAP_SPLIT_IRQCHIP: the local APICs in the kernel without PIC and I/O APIC.
    pub has_split_irqchip: bool,
    /// KVM_CAP_BINARY_STATS_FD.
    pub has_stats: bool,
    /// KVM_CAP_TSC_DEADLINE_TIMER.
    pub has_tsc_deadline: bool,
    /// Rate at which the local APIC's timer counts, Hz.
    pub apic_timer_hz: u64,
}

impl KvmDevice {
    /// Opens `/dev/kvm`.
    pub(crate) fn open() -> Result<KvmDevice, MachineError> {
        let path = Path::new(DEVICE);
        device_file::check(path)?;
        let fd = uninterrupted(Kvm::new).map_err(|errno| device_file::cannot_open(path, errno.into()))?;
        if fd.get_api_version() != KVM_API_VERSION as i32 {
            return Err(MachineError::KvmNoDevice("another device"));
        }
        if !fd.check_extension(Cap::ImmediateExit) {
            // Without it, a signal that arrives just before KVM_RUN would be lost, and the guest never stopped.
            return Err(MachineError::KvmLacks("KVM_CAP_IMMEDIATE_EXIT"));
        }
        let has_large_apic_ids = fd.check_extension(Cap::X2ApicApi);
        let limit = if has_large_apic_ids { abi::address::CPU_COUNT_MAX } else { SMALL_APIC_IDS };
        let cycle_ns = fd.check_extension_raw(KVM_CAP_X86_APIC_BUS_CYCLES_NS.into());
        Ok(KvmDevice {
            max_vcpus: fd.get_max_vcpus().min(limit as usize) as u32,
            has_split_irqchip: fd.check_extension(Cap::SplitIrqchip),
            has_stats: fd.check_extension_raw(KVM_CAP_BINARY_STATS_FD.into()) > 0,
            has_tsc_deadline: fd.check_extension(Cap::TscDeadlineTimer),
            // KVM's local APIC counts at 1 GHz (APIC_BUS_CYCLE_NS is 1) unless the VMM asks otherwise.
            apic_timer_hz: 1_000_000_000 / u64::try_from(cycle_ns).unwrap_or(1).max(1),
            fd,
        })
    }

    /// Refuses a number of vCPUs that this host cannot run.
    pub(crate) fn check_vcpu_count(&self, asked: u32) -> Result<(), MachineError> {
        let limit = self.max_vcpus;
        if (1..=limit).contains(&asked) { Ok(()) } else { Err(MachineError::VcpuCount { asked, limit }) }
    }

    /// What a guest's CPUID may say here (api.rst, KVM_GET_SUPPORTED_CPUID).
    pub(crate) fn supported_cpuid(&self) -> Result<CpuId, MachineError> {
        kvm("tell which CPUID leaves guests may have", || self.fd.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES))
    }
}
