//! One virtual machine: its memory slots and interrupt controllers.

#![expect(unsafe_code, reason = "the guest's memory is KVM's as well")]

use kvm_bindings::{
    KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_X2APIC_API, KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK,
    KVM_X2APIC_API_USE_32BIT_IDS, kvm_enable_cap, kvm_userspace_memory_region,
};
use kvm_ioctls::VmFd;

use crate::machine::error::MachineError;
use crate::machine::kvm::{KvmDevice, SMALL_APIC_IDS};
use crate::machine::memory::GuestMemory;
use crate::machine::request::{kvm, uninterrupted};

/// Three pages that KVM on VMX needs below 4 GiB, outside of guest memory (api.rst, KVM_SET_TSS_ADDR). Behind them, at
/// 0xfffb_c000, lies its identity map, which stays where KVM puts it by default.
const TASK_STATE_ADDRESS: usize = 0xfffb_d000;

/// A virtual machine and the memory that it runs in.
#[derive(Debug)]
pub(crate) struct Vm {
    // Dropped before the memory that KVM maps.
    pub fd: VmFd,
    memory: GuestMemory,
}

impl Vm {
    /// Creates the VM. Memory comes before the interrupt controllers: the other way round, KVM waits some milliseconds
    /// for a grace period when the memory slot is set.
    pub(crate) fn new(device: &KvmDevice, memory: GuestMemory, vcpus: u32) -> Result<Vm, MachineError> {
        let fd = kvm("create a virtual machine", || device.fd.create_vm())?;
        let vm = Vm { fd, memory };
        vm.set_memory()?;
        kvm("set the address of its task state", || vm.fd.set_tss_address(TASK_STATE_ADDRESS))?;
        if vcpus > SMALL_APIC_IDS {
            kvm("use APIC identifiers of 32 bits", || vm.enable(KVM_CAP_X2APIC_API, x2apic_flags()))?;
        }
        vm.create_interrupt_controllers(device)?;
        Ok(vm)
    }

    /// The guest's memory.
    pub(crate) fn memory(&self) -> &GuestMemory {
        &self.memory
    }

    fn set_memory(&self) -> Result<(), MachineError> {
        for (slot, (start, host, size)) in self.memory.host_pieces().into_iter().enumerate() {
            let region = kvm_userspace_memory_region {
                slot: slot as u32,
                flags: 0,
                guest_phys_addr: start,
                memory_size: size,
                userspace_addr: host,
            };
            kvm("map guest memory", || {
                // SAFETY: The range is a mapping that `self.memory` owns and nothing else refers to by Rust reference;
                // `self` drops the VM before it drops the mapping.
                unsafe { self.fd.set_user_memory_region(region) }
            })?;
        }
        Ok(())
    }

    /// Only the local APICs are of use here. The split model has just them, and spares the routing of the full one's
    /// PIC and I/O APIC, which costs milliseconds at creation and more at the end.
    fn create_interrupt_controllers(&self, device: &KvmDevice) -> Result<(), MachineError> {
        let no_pins_of_an_io_apic = 0;
        if device.has_split_irqchip && self.enable(KVM_CAP_SPLIT_IRQCHIP, no_pins_of_an_io_apic).is_ok() {
            return Ok(());
        }
        kvm("create the local APICs", || self.fd.create_irq_chip())
    }

    fn enable(&self, capability: u32, argument: u32) -> Result<(), kvm_ioctls::Error> {
        let args = [argument.into(), 0, 0, 0];
        let request = kvm_enable_cap { cap: capability, args, ..Default::default() };
        uninterrupted(|| self.fd.enable_cap(&request))
    }
}

const fn x2apic_flags() -> u32 {
    KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK
}
