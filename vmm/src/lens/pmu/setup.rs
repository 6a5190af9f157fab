//! The lens for one run: CPUID, plan and, for the software model, the registers that leave the guest; later the verdict.

use abi::pmu::{PmuPlan, PmuReport, status};
use kvm_bindings::CpuId;

use crate::lens::Reading;
use crate::lens::pmu::availability::{HostPmu, PmuAvailability};
use crate::lens::pmu::program::{Privilege, Program, program};
use crate::lens::pmu::result::{Case, PmuResult, judge};
use crate::lens::pmu::shape::Shape;
use crate::lens::pmu::software::{SoftwareCpus, SoftwarePmu};
use crate::lens::pmu::{PmuRequest, software};
use crate::machine::error::MachineError;
use crate::machine::kvm::KvmDevice;

/// What one run needs.
pub(crate) struct PmuSetup {
    /// What the guest's CPUID says.
    pub cpuid: CpuId,
    /// The model of each vCPU's counters, where there is one.
    pub software: Option<SoftwareCpus>,
    kind: Kind,
}

enum Kind {
    Absent { reason: String, remedy: Option<String> },
    Programmed(Box<Programmed>),
}

struct Programmed {
    source: &'static str,
    shape: Shape,
    program: Program,
    privilege: Privilege,
    warnings: Vec<String>,
}

impl PmuSetup {
    /// Looks what can be counted as `request` asks.
    pub(crate) fn new(
        request: &PmuRequest,
        device: &KvmDevice,
        supported: CpuId,
        vcpus: u32,
    ) -> Result<PmuSetup, MachineError> {
        match request {
            PmuRequest::Host(privilege) => Ok(PmuSetup::host(device, supported, *privilege)),
            PmuRequest::Software(model, privilege) => {
                PmuSetup::software(device, supported, *model, *privilege, vcpus)
            }
        }
    }

    fn host(device: &KvmDevice, cpuid: CpuId, privilege: Privilege) -> PmuSetup {
        let kind = match PmuAvailability::decide(Shape::of(&cpuid), &HostPmu::probe(device)) {
            PmuAvailability::Absent { reason, remedy } => Kind::Absent { reason, remedy: Some(remedy) },
            PmuAvailability::Available { shape, reserved, warnings } => {
                Kind::Programmed(Box::new(Programmed {
                    source: "guest_rdmsr",
                    program: program(&shape, privilege, reserved),
                    shape,
                    privilege,
                    warnings,
                }))
            }
        };
        PmuSetup { cpuid, software: None, kind }
    }

    fn software(
        device: &KvmDevice,
        supported: CpuId,
        model: SoftwarePmu,
        privilege: Privilege,
        vcpus: u32,
    ) -> Result<PmuSetup, MachineError> {
        if !software::is_possible(device) {
            let kind = Kind::Absent {
                reason: "KVM cannot hand a guest's register accesses to the VMM (KVM_CAP_X86_USER_SPACE_MSR)"
                    .to_owned(),
                remedy: Some("use Linux 5.10 or newer".to_owned()),
            };
            return Ok(PmuSetup { cpuid: supported, software: None, kind });
        }
        let cpuid = software::cpuid(&supported, model.kind)?;
        let shape = Shape::of(&cpuid).ok_or(MachineError::Internal("the software PMU has no shape"))?;
        let programmed = Programmed {
            source: "software",
            program: program(&shape, privilege, 0),
            shape: shape.clone(),
            privilege,
            warnings: vec!["a model that only proves register accesses".to_owned()],
        };
        Ok(PmuSetup {
            cpuid,
            software: Some(SoftwareCpus::new(model, &shape, vcpus)),
            kind: Kind::Programmed(Box::new(programmed)),
        })
    }

    /// What the guest's kernel is told.
    pub(crate) fn plan(&self) -> PmuPlan {
        match &self.kind {
            Kind::Programmed(programmed) => programmed.program.plan,
            _ => PmuPlan::default(),
        }
    }

    /// What came of it. `report` is `None` for a case that did not reach its second mark.
    pub(crate) fn read(
        &self,
        report: Option<&PmuReport>,
        round_trips: u64,
        tsc_cycles: u64,
    ) -> Reading<PmuResult> {
        let programmed = match &self.kind {
            Kind::Absent { reason, remedy } => {
                return Reading::Absent { reason: reason.clone(), remedy: remedy.clone() };
            }
            Kind::Programmed(programmed) => programmed,
        };
        let Some(report) = report else { return Reading::absent("the case did not come to its second mark") };
        let Programmed { source, shape, program, privilege, warnings } = &**programmed;
        let case = Case { shape, program, privilege: *privilege, round_trips, tsc_cycles };
        match judge(&case, report) {
            Err(reason) => Reading::Absent {
                reason,
                remedy: (report.status == status::PROGRAMMED).then(|| {
                    "make sure that nobody else counts on this host (perf, NMI watchdog), and that its kernel is \
                     not older than its processor"
                        .to_owned()
                }),
            },
            Ok(counters) => Reading::Counted(PmuResult {
                source: (*source).into(),
                shape: shape.clone(),
                event_table: program.table.name.as_str().into(),
                notes: program.table.notes.as_str().into(),
                privilege: *privilege,
                counters,
                left_out: program.left_out.clone(),
                warnings: warnings.clone(),
            }),
        }
    }
}
