//! Running a guest with the lenses that look at it from outside while it runs.

use abi::pmu::PmuPlan;
use kvm_bindings::CpuId;
use kvm_ioctls::VmFd;
use serde_json::Value;

use crate::lens::{ALL, LensReadings, LensRequest, Reading};
use crate::machine::error::MachineError;
use crate::machine::guest::{GuestConfig, GuestRun};
use crate::machine::kvm::KvmDevice;
use crate::machine::probe::{Fault, Mark, Probe};
use crate::machine::stages::Stages;
use crate::machine::{self, StopFlag};

/// Looks at one guest for a lens.
pub(crate) trait Watch: Probe {
    /// The guest has ended and left this: what came of it.
    fn finish(self: Box<Self>, run: &GuestRun) -> Reading<Value>;
}

/// What one guest left behind, and what lenses showed of it.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What it left.
    pub run: GuestRun,
    /// What lenses showed between the marks, or why they did not.
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
    let mut watches = Watches::new(request)?;
    let run = machine::run_probed(config, stop, &mut watches, stages)?;
    let lenses = watches.finish(&run);
    Ok(Measured { run, lenses })
}

/// All lenses that look at a guest, as the machine sees them.
struct Watches(Vec<(&'static str, Box<dyn Watch>)>);

impl Watches {
    fn new(request: &LensRequest) -> Result<Watches, MachineError> {
        let asked = ALL.iter().filter_map(|lens| Some((lens, request.0.get(lens.name())?)));
        let watches = asked.map(|(lens, request)| Ok((lens.name(), lens.watch(request)?)));
        Ok(Watches(watches.collect::<Result<_, MachineError>>()?))
    }

    fn all(&self) -> impl Iterator<Item = &dyn Watch> {
        self.0.iter().map(|(_, watch)| watch.as_ref())
    }

    fn finish(self, run: &GuestRun) -> LensReadings {
        let readings = self.0.into_iter().map(|(lens, watch)| (lens.to_owned(), watch.finish(run)));
        LensReadings(readings.collect())
    }
}

impl Probe for Watches {
    fn prepare(&mut self, device: &KvmDevice, supported: CpuId, vcpus: u32) -> Result<CpuId, MachineError> {
        self.0.iter_mut().try_fold(supported, |cpuid, (_, watch)| watch.prepare(device, cpuid, vcpus))
    }

    fn pmu_plan(&self) -> Option<PmuPlan> {
        self.all().find_map(Probe::pmu_plan)
    }

    fn created(&self, vm: &VmFd) -> Result<(), MachineError> {
        self.all().try_for_each(|watch| watch.created(vm))
    }

    fn thread_begins(&self) {
        self.all().for_each(Probe::thread_begins);
    }

    fn mark(&self, mark: Mark) {
        self.all().for_each(|watch| watch.mark(mark));
    }

    fn rung(&self, vcpu: u32, value: u32) {
        self.all().for_each(|watch| watch.rung(vcpu, value));
    }

    /// A register belongs to one of them at most.
    fn access(
        &self,
        vcpu: u32,
        register: u32,
        value: Option<u64>,
        emulated: &dyn Fn() -> u64,
    ) -> Result<u64, Fault> {
        self.all().find_map(|watch| watch.access(vcpu, register, value, emulated).ok()).ok_or(Fault)
    }
}
