//! Running a guest with the lenses that look at it from outside: the guest's own performance counters and the host's.

use abi::pmu::PmuPlan;
use kvm_bindings::CpuId;
use kvm_ioctls::VmFd;

use crate::lens::perf::PerfLens;
use crate::lens::pmu::PmuSetup;
use crate::lens::{LensReadings, LensRequest};
use crate::machine::error::MachineError;
use crate::machine::guest::{GuestConfig, GuestRun};
use crate::machine::kvm::KvmDevice;
use crate::machine::probe::{Fault, Mark, Probe};
use crate::machine::stages::Stages;
use crate::machine::{self, StopFlag};

/// What one guest left behind, and what hardware counters showed of it.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What it left.
    pub run: GuestRun,
    /// What the counters showed between the marks, or why they did not.
    pub lenses: LensReadings,
}

impl From<GuestRun> for Measured {
    /// A guest of which nothing more was asked.
    fn from(run: GuestRun) -> Measured {
        Measured { run, lenses: LensReadings::default() }
    }
}

/// Boots one guest, runs it to its end, and counts what is asked for. Errors are those of [`machine::run`].
pub fn run(config: &GuestConfig, request: &LensRequest, stop: &StopFlag) -> Result<Measured, MachineError> {
    run_staged(config, request, stop, None)
}

/// As [`run`], with somebody who is told how far the guest is.
pub(crate) fn run_staged(
    config: &GuestConfig,
    request: &LensRequest,
    stop: &StopFlag,
    stages: Option<&dyn Stages>,
) -> Result<Measured, MachineError> {
    let mut counters = HardwareCounters { request, pmu: None, perf: PerfLens::new(request.perf) };
    let run = machine::run_probed(config, stop, &mut counters, stages)?;
    let lenses = counters.read(&run);
    Ok(Measured { run, lenses })
}

/// Both lenses that count by hardware, as the machine sees them.
struct HardwareCounters<'a> {
    request: &'a LensRequest,
    /// There once the machine is.
    pmu: Option<PmuSetup>,
    perf: PerfLens,
}

impl HardwareCounters<'_> {
    fn read(self, run: &GuestRun) -> LensReadings {
        let read = |pmu: PmuSetup| pmu.read(run.pmu.as_deref(), run.round_trips, run.measured_ticks);
        LensReadings { pmu: self.pmu.map(read).unwrap_or_default(), perf: self.perf.finish(run.round_trips) }
    }
}

impl Probe for HardwareCounters<'_> {
    fn prepare(&mut self, device: &KvmDevice, supported: CpuId, vcpus: u32) -> Result<CpuId, MachineError> {
        let setup = PmuSetup::new(&self.request.pmu, device, supported, vcpus)?;
        let cpuid = setup.cpuid.clone();
        self.pmu = Some(setup);
        Ok(cpuid)
    }

    fn pmu_plan(&self) -> PmuPlan {
        self.pmu.as_ref().map(PmuSetup::plan).unwrap_or_default()
    }

    fn created(&self, vm: &VmFd) -> Result<(), MachineError> {
        let model = self.pmu.as_ref().and_then(|pmu| pmu.software.as_ref());
        model.map_or(Ok(()), |model| model.install(vm))
    }

    fn thread_begins(&self) {
        self.perf.open_for_this_thread();
    }

    fn mark(&self, mark: Mark) {
        self.perf.mark(mark);
    }

    fn rung(&self, vcpu: u32, value: u32) {
        if let Some(model) = self.pmu.as_ref().and_then(|pmu| pmu.software.as_ref()) {
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
        let model = self.pmu.as_ref().and_then(|pmu| pmu.software.as_ref()).ok_or(Fault)?;
        model.access(vcpu, register, value, emulated)
    }
}
