//! A performance monitoring unit in the VMM, for tests: the guest's accesses to its registers leave the guest
//! (KVM_X86_SET_MSR_FILTER, KVM_CAP_X86_USER_SPACE_MSR; api.rst) and go to a [`model::Model`].
//!
//! RDPMC cannot be handed to user space, so that the guest's kernel reads its counters by RDMSR.

mod cpuid;
pub mod model;

use std::sync::{Mutex, MutexGuard, PoisonError};

use abi::pmu::SELF_TEST_INSTRUCTIONS;
use abi::port::doorbell;
use kvm_bindings::{KVM_CAP_X86_MSR_FILTER, KVM_CAP_X86_USER_SPACE_MSR, kvm_enable_cap};
use kvm_ioctls::{MsrExitReason, MsrFilterDefaultAction, MsrFilterRange, MsrFilterRangeFlags, VmFd};

use serde::{Deserialize, Serialize};

pub(crate) use cpuid::cpuid;

use crate::lens::pmu::shape::Shape;
use crate::machine::error::MachineError;
use crate::machine::kvm::KvmDevice;
use crate::machine::probe::Fault;
use crate::machine::request::kvm;
use model::{Model, Work};

/// A model of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoftwarePmu {
    /// Which.
    pub kind: SoftwareKind,
    /// What makes it count.
    pub source: Source,
    /// What is wrong with it.
    pub defect: Option<Defect>,
}

/// The kinds of counters that the guest's kernel knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SoftwareKind {
    /// Version 1: two general counters of 40 bits, no global registers.
    IntelVersion1,
    /// Version 2 as KVM gives it to guests on Skylake-SP: four general counters, three fixed ones, 48 bits.
    IntelVersion2,
    /// Zen 3 with the four old counters.
    AmdLegacy,
    /// Zen 3: six counters.
    AmdCore,
    /// Zen 4: six counters and global registers.
    AmdPerfmonV2,
}

/// What stands for the guest's instructions: the VMM does not see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// [`KERNEL_INSTRUCTIONS`] for every access to a register, and [`USER_INSTRUCTIONS`] more between the marks.
    Accesses,
    /// Those that KVM has emulated (its statistic `insn_emulation`): where it emulates ring 0, exactly the guest's
    /// instructions in ring 0.
    EmulatedInstructions,
}

/// What may be wrong with counters that look as if they were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Defect {
    /// Takes every write, reads 0: KVM's way to have no counters (x86.c, `kvm_get_msr_common`).
    Deaf,
    /// Keeps its registers but never counts: another has the hardware's counters.
    Stuck,
    /// As [`Defect::Stuck`], from the first mark on.
    DiesAtBegin,
    /// Counts one too many for every four.
    Overcounts,
    /// Counters lose their upper bits.
    Narrow,
    /// Cannot be switched off by its selector.
    NeverStops,
}

/// Instructions in ring 0 that an access to a register stands for: as many as the kernel's self-test expects.
pub const KERNEL_INSTRUCTIONS: u64 = SELF_TEST_INSTRUCTIONS;
/// Instructions in ring 3 that an access between the marks stands for.
pub const USER_INSTRUCTIONS: u64 = 1_000;

/// All registers of all kinds: first and number.
const REGISTERS: [(u32, u32); 7] =
    [(0xc1, 8), (0x186, 8), (0x309, 4), (0x38d, 4), (0xc001_0000, 8), (0xc001_0200, 16), (0xc000_0300, 4)];

/// Whether this KVM hands accesses over.
pub(crate) fn is_possible(device: &KvmDevice) -> bool {
    [KVM_CAP_X86_USER_SPACE_MSR, KVM_CAP_X86_MSR_FILTER]
        .into_iter()
        .all(|capability| device.fd.check_extension_raw(capability.into()) > 0)
}

/// The counters of all vCPUs.
pub(crate) struct SoftwareCpus {
    cpus: Vec<Mutex<SoftwareCpu>>,
    source: Source,
}

struct SoftwareCpu {
    model: Model,
    is_measuring: bool,
    defect: Option<Defect>,
    /// KVM's statistic at the last access.
    emulated: u64,
}

impl SoftwareCpus {
    pub(crate) fn new(pmu: SoftwarePmu, shape: &Shape, vcpus: u32) -> SoftwareCpus {
        let cpu = |_| {
            let model = Model::new(shape, pmu.defect);
            Mutex::new(SoftwareCpu { model, is_measuring: false, defect: pmu.defect, emulated: 0 })
        };
        SoftwareCpus { cpus: (0..vcpus).map(cpu).collect(), source: pmu.source }
    }

    /// Lets the accesses leave the guest.
    pub(crate) fn install(&self, vm: &VmFd) -> Result<(), MachineError> {
        let args = [MsrExitReason::Filter.bits().into(), 0, 0, 0];
        let request = kvm_enable_cap { cap: KVM_CAP_X86_USER_SPACE_MSR, args, ..Default::default() };
        kvm("hand accesses to registers to the VMM", || vm.enable_cap(&request))?;
        let deny_all = [0; 2];
        let ranges = REGISTERS.map(|(base, msr_count)| MsrFilterRange {
            flags: MsrFilterRangeFlags::READ | MsrFilterRangeFlags::WRITE,
            base,
            msr_count,
            bitmap: &deny_all[..msr_count.div_ceil(8) as usize],
        });
        kvm("filter accesses to registers", || vm.set_msr_filter(MsrFilterDefaultAction::ALLOW, &ranges))
    }

    /// An access by vCPU `index`; `emulated` asks for KVM's statistic. A value to write, or `None` to read.
    pub(crate) fn access(
        &self,
        index: u32,
        register: u32,
        value: Option<u64>,
        emulated: &dyn Fn() -> u64,
    ) -> Result<u64, Fault> {
        let emulated = if self.source == Source::EmulatedInstructions { emulated() } else { 0 };
        let mut cpu = self.lock(index).ok_or(Fault)?;
        let work = match self.source {
            Source::Accesses => Work {
                kernel: KERNEL_INSTRUCTIONS,
                user: if cpu.is_measuring { USER_INSTRUCTIONS } else { 0 },
            },
            Source::EmulatedInstructions => Work { kernel: emulated.saturating_sub(cpu.emulated), user: 0 },
        };
        cpu.emulated = emulated;
        cpu.model.advance(work);
        match value {
            Some(value) => cpu.model.write(register, value).map(|()| 0),
            None => cpu.model.read(register),
        }
    }

    /// The guest rang the doorbell.
    pub(crate) fn ring(&self, index: u32, value: u32) {
        let Some(mut cpu) = self.lock(index) else { return };
        match value {
            doorbell::MEASURE_BEGIN => {
                cpu.is_measuring = true;
                if cpu.defect == Some(Defect::DiesAtBegin) {
                    cpu.model.set_defect(Defect::Stuck);
                }
            }
            doorbell::MEASURE_END => cpu.is_measuring = false,
            _ => {}
        }
    }

    fn lock(&self, index: u32) -> Option<MutexGuard<'_, SoftwareCpu>> {
        Some(self.cpus.get(index as usize)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
