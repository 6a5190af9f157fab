//! The guest's counters as the machine sees them: it asks for their registers, and gives what the guest reports.

use abi::pmu::PmuPlan;
use kvm_bindings::CpuId;
use kvm_ioctls::VmFd;
use serde_json::Value;

use crate::lens::Reading;
use crate::lens::measure::Watch;
use crate::lens::pmu::software::SoftwareCpus;
use crate::lens::pmu::{PmuRequest, PmuSetup};
use crate::machine::error::MachineError;
use crate::machine::guest::GuestRun;
use crate::machine::kvm::KvmDevice;
use crate::machine::probe::{Fault, Probe};

/// The counters of one guest.
pub(super) struct PmuWatch {
    request: PmuRequest,
    /// There once the machine is.
    setup: Option<PmuSetup>,
}

impl PmuWatch {
    pub(super) fn new(request: PmuRequest) -> PmuWatch {
        PmuWatch { request, setup: None }
    }

    fn software(&self) -> Option<&SoftwareCpus> {
        self.setup.as_ref()?.software.as_ref()
    }
}

impl Watch for PmuWatch {
    fn finish(self: Box<Self>, run: &GuestRun) -> Reading<Value> {
        let read =
            |setup: &PmuSetup| setup.read(run.pmu.as_deref(), run.round_trips, run.measured_ticks).to_value();
        self.setup.as_ref().map(read).unwrap_or_default()
    }
}

impl Probe for PmuWatch {
    fn prepare(&mut self, device: &KvmDevice, supported: CpuId, vcpus: u32) -> Result<CpuId, MachineError> {
        let setup = PmuSetup::new(&self.request, device, supported, vcpus)?;
        let cpuid = setup.cpuid.clone();
        self.setup = Some(setup);
        Ok(cpuid)
    }

    fn pmu_plan(&self) -> Option<PmuPlan> {
        self.setup.as_ref().map(PmuSetup::plan)
    }

    fn created(&self, vm: &VmFd) -> Result<(), MachineError> {
        self.software().map_or(Ok(()), |model| model.install(vm))
    }

    fn rung(&self, vcpu: u32, value: u32) {
        if let Some(model) = self.software() {
            model.ring(vcpu, value);
        }
    }

    fn access(
        &self,
        vcpu: u32,
        register: u32,
        value: Option<u64>,
        emulated: &dyn Fn() -> u64,
    ) -> Result<u64, Fault> {
        self.software().ok_or(Fault)?.access(vcpu, register, value, emulated)
    }
}
