//! Who looks at a running guest from outside of the machine model. The machine calls; what is counted is the prober's affair.

use abi::pmu::PmuPlan;
use kvm_bindings::CpuId;
use kvm_ioctls::VmFd;

use crate::machine::error::MachineError;
use crate::machine::kvm::KvmDevice;

/// An access to a register ends in a general protection fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// Where a guest is when counts are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The measured part begins.
    Begin,
    /// The part of the calling thread's vCPU ends; the others go on.
    EndOfPart,
    /// The measured part ends.
    End,
}

/// Looks at one guest. Whoever needs nothing of one of these leaves it out.
pub(crate) trait Probe: Sync {
    /// The guest is about to be made. Returns what its CPUID says, of `supported`.
    fn prepare(&mut self, _device: &KvmDevice, supported: CpuId, _vcpus: u32) -> Result<CpuId, MachineError> {
        Ok(supported)
    }

    /// What the guest's kernel is to do with its performance counters, if it is to do anything.
    fn pmu_plan(&self) -> Option<PmuPlan> {
        None
    }

    /// The VM exists and has no vCPUs yet.
    fn created(&self, _vm: &VmFd) -> Result<(), MachineError> {
        Ok(())
    }

    /// The calling thread is about to run a vCPU for the first time, and may still open files.
    fn thread_begins(&self) {}

    /// The guest is at this mark for the first time, and waits. The calling thread took the doorbell's exit.
    fn mark(&self, _mark: Mark) {}

    /// This vCPU has rung the doorbell with this value, whatever it has rung before.
    fn rung(&self, _vcpu: u32, _value: u32) {}

    /// An access to a register that leaves the guest: a value to write, or `None` to read. `emulated` asks KVM for its statistic of
    /// emulated instructions.
    fn access(
        &self,
        _vcpu: u32,
        _register: u32,
        _value: Option<u64>,
        _emulated: &dyn Fn() -> u64,
    ) -> Result<u64, Fault> {
        Err(Fault)
    }
}

/// Looks at nothing.
pub(crate) struct NoProbe;

impl Probe for NoProbe {}
