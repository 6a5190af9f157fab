//! What a run's guests are run by.

use std::collections::BTreeMap;

use serde_json::json;

use crate::elsewhere::qemu::{self, Qemu};
use crate::experiment::check::Limits;
use crate::guest_image::GuestImage;
use crate::lens::measure::Measured;
use crate::lens::trace::{self, TraceError};
use crate::lens::{self, LensRequest};
use crate::machine::guest::{GuestConfig, Pin};
use crate::machine::kvm::KvmDevice;
use crate::machine::{MachineError, StopFlag};
use crate::record::quota::Quotas;
use crate::record::run::HostRecord;
use crate::reduce::guest::Guest;
use crate::run::fleet::FleetError;
use crate::run::host::{self, Host, SegmentsUnknown};
use crate::run::session::{GuestRunner, KvmRunner};
use crate::tlb::{Model, TlbReport};

/// vCPUs that QEMU's translator takes turns with in a sensible time.
const QEMU_VCPUS_MAX: u32 = 64;

/// What runs guests.
pub enum Machine {
    /// This VMM, on the host's KVM.
    Kvm(Box<Host>),
    /// QEMU's translator.
    Qemu(Qemu),
}

impl Machine {
    /// What is planned within the machine's limits. Where cases of programs for 32 bits are among it, KVM's guests are asked what
    /// they need, and it is planned once more.
    pub fn plan<T, E: From<SegmentsUnknown>>(
        self,
        image: &GuestImage,
        plan: impl Fn(&Limits) -> Result<T, E>,
        has_32_bit: impl Fn(&T) -> bool,
    ) -> Result<(Machine, T), E> {
        match self {
            Machine::Kvm(host) => {
                let (host, planned) = host.plan(image, plan, has_32_bit)?;
                Ok((Machine::Kvm(Box::new(host)), planned))
            }
            Machine::Qemu(_) => {
                let planned = plan(&qemu_limits(image.programs()))?;
                Ok((self, planned))
            }
        }
    }

    /// What results say about it, where vCPU threads are pinned like this.
    pub fn record(&self, pin: &Pin) -> HostRecord {
        match self {
            Machine::Kvm(host) => host.record(pin),
            Machine::Qemu(qemu) => qemu_record(qemu),
        }
    }

    /// What runs guests on it, until the flag is raised.
    pub fn runner(&self, stop: StopFlag) -> Box<dyn GuestRunner> {
        match self {
            Machine::Kvm(_) => Box::new(KvmRunner { stop }),
            Machine::Qemu(qemu) => Box::new(QemuRunner { qemu: qemu.clone(), stop }),
        }
    }
}

fn qemu_limits(programs: Vec<String>) -> Limits {
    let not = |what: &str| Err(format!("{what} on QEMU without KVM"));
    Limits {
        pcid: not("guests have no PCIDs"),
        segments: not("programs for 32 bits are not run"),
        many_guests: not("several guests at once are not run"),
        vcpus_max: QEMU_VCPUS_MAX,
        programs,
        ..Limits::any_host()
    }
}

fn qemu_record(qemu: &Qemu) -> HostRecord {
    let absent: BTreeMap<String, String> = lens::ALL
        .iter()
        .map(|lens| lens.name())
        .filter(|name| qemu::LENSES.iter().all(|there| there != name))
        .filter(|name| *name != trace::NAME || KvmDevice::open().is_err())
        .map(|name| (name.to_owned(), format!("the lens {name} needs KVM")))
        .collect();
    HostRecord {
        name: host::name(),
        summary: format!("QEMU {} without KVM", qemu.version),
        timing_problem: Some(
            "QEMU executes the guest without KVM and counts an instruction as a nanosecond (-icount shift=0)"
                .to_owned(),
        ),
        tsc_counts_instructions: true,
        tsc_counts_ends_of_repeats: true,
        cpus: std::thread::available_parallelism().map_or(0, |count| count.get() as u32),
        absent_lenses: absent,
        facts: json!({ "qemu": { "version": qemu.version } }),
        ..HostRecord::default()
    }
}

/// Guests in QEMU, one after the other.
struct QemuRunner {
    qemu: Qemu,
    stop: StopFlag,
}

impl GuestRunner for QemuRunner {
    fn run(&self, config: &GuestConfig, _: &LensRequest) -> Result<Measured, MachineError> {
        self.qemu.run(config, &self.stop).map(Measured::from)
    }

    /// KVM's single steps, where there is KVM: what they count must be what QEMU counts.
    fn trace(
        &self,
        config: &GuestConfig,
        models: &[Model],
    ) -> Result<(trace::Summary, Vec<TlbReport>), TraceError> {
        KvmRunner { stop: self.stop.clone() }.trace(config, models)
    }

    fn run_many(
        &self,
        _: &GuestConfig,
        _: &LensRequest,
        _: &[Pin],
        _: Option<&Quotas>,
    ) -> Result<Vec<Guest>, FleetError> {
        Err(FleetError::OneAtATime)
    }
}
