//! Runs a guest: creates it, lets one thread per vCPU run it, waits for its end, and collects what it left behind.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use abi::plan::server_flag;
use abi::report::feature;

use crate::machine::boot::{self, Clocks, Processor};
use crate::machine::cpuid;
use crate::machine::deadline::Deadline;
use crate::machine::devices::Devices;
use crate::machine::error::MachineError;
use crate::machine::guest::{GuestConfig, GuestRun};
use crate::machine::host_limits;
use crate::machine::kernel_image::KernelImage;
use crate::machine::kvm::KvmDevice;
use crate::machine::layout::Layout;
use crate::machine::measure::{Measured, Measurement};
use crate::machine::memory::GuestMemory;
use crate::machine::observe::Observer;
use crate::machine::outcome;
use crate::machine::pin;
use crate::machine::plan;
use crate::machine::probe::{NoProbe, Probe};
use crate::machine::stages::Stages;
use crate::machine::stats::GuestStats;
use crate::machine::stop::StopFlag;
use crate::machine::threads::{self, ReportOf, Session};
use crate::machine::vcpu::Vcpu;
use crate::machine::vm::Vm;

/// Boots one guest and runs it to its end: its own, the deadline's, or the stop flag's.
///
/// An error means that no guest was run. How a guest ended, however badly, is in [`GuestRun::outcome`].
pub fn run(config: &GuestConfig, stop: &StopFlag) -> Result<GuestRun, MachineError> {
    run_with(config, stop, &mut NoProbe, None, None)
}

/// As [`run`], with an observer of vCPU 0. The guest gets no steal-time record: each stop of the vCPU would change it.
pub(crate) fn run_observed(
    config: &GuestConfig,
    stop: &StopFlag,
    observer: &mut dyn Observer,
) -> Result<GuestRun, MachineError> {
    run_with(config, stop, &mut NoProbe, Some(observer), None)
}

/// As [`run`], with somebody who looks at the guest, and one who is told how far it is.
pub(crate) fn run_probed(
    config: &GuestConfig,
    stop: &StopFlag,
    probe: &mut dyn Probe,
    stages: Option<&dyn Stages>,
) -> Result<GuestRun, MachineError> {
    run_with(config, stop, probe, None, stages)
}

fn run_with(
    config: &GuestConfig,
    stop: &StopFlag,
    probe: &mut dyn Probe,
    mut observer: Option<&mut dyn Observer>,
    stages: Option<&dyn Stages>,
) -> Result<GuestRun, MachineError> {
    let start = Instant::now();
    plan::check(config)?;
    let cpus = pin::assign(&config.pin, config.vcpus)?;
    let machine = Machine::new(config, probe, observer.is_none())?;
    let probe: &dyn Probe = probe;
    if let Some(observer) = &mut observer {
        observer.attach(machine.vm.memory());
    }
    if let Some(stages) = stages {
        let pieces = machine.vm.memory().host_pieces();
        stages.created(&pieces.iter().map(|(_, host, size)| (*host, *size)).collect::<Vec<_>>())?;
    }

    // One without a driver may idle for as long as it is let.
    let has_driver = config.servers.iter().any(|server| server.flags & server_flag::DRIVER != 0);
    let session = Session {
        ends_when_all_sleep: has_driver,
        report: ReportOf { memory: machine.vm.memory(), layout: &machine.layout },
        devices: Devices::new(config.console),
        measurement: Measurement::new(machine.stats, machine.vcpus.len(), probe),
        probe,
        stop,
        deadline: Deadline::new(config.deadline),
        cpus,
        observer: observer.map(|observer| Mutex::new(observer as &mut dyn Observer)),
        stages,
    };
    let finished = threads::run(&session, machine.vcpus)?;

    let Session { devices, measurement, .. } = session;
    let measured = measurement.finish(finished.first_entry);
    let guest = outcome::Guest {
        config,
        memory: machine.vm.memory(),
        layout: &machine.layout,
        vcpus: &finished.vcpus,
    };
    let result = outcome::collect(&guest, &finished.end)?;
    let Measured { boot, announced, began_at_ns, duration, kvm_stats, kvm_pages, cpu_ns, run_delay_ns } =
        measured;
    Ok(GuestRun {
        round_trips_announced: announced,
        kvm_stats,
        cpu_ns,
        run_delay_ns,
        console: devices.into_console(),
        tsc_hz: machine.tsc_hz,
        create_ns: nanoseconds(finished.first_entry.duration_since(start)),
        stood_still_ns: nanoseconds(finished.stood_still),
        kvm_pages,
        boot_ns: boot.map(nanoseconds),
        began_at_ns,
        measured_ns: duration.map(nanoseconds),
        ..result
    })
}

/// A guest that is ready to run.
struct Machine {
    vcpus: Vec<Vcpu>,
    stats: GuestStats,
    vm: Vm,
    layout: Layout,
    tsc_hz: u64,
}

impl Machine {
    fn new(
        config: &GuestConfig,
        probe: &mut dyn Probe,
        has_steal_time: bool,
    ) -> Result<Machine, MachineError> {
        let device = KvmDevice::open()?;
        device.check_vcpu_count(config.vcpus)?;
        host_limits::allow_open_files(config.vcpus);
        let image = KernelImage::parse(&config.kernel)?;
        let supported = probe.prepare(&device, device.supported_cpuid()?, config.vcpus)?;
        let processor = Processor {
            largest_page: cpuid::largest_page(&supported),
            has_x2apic: config.withheld_features & feature::X2APIC == 0 && cpuid::has_x2apic(&supported),
        };
        let layout = boot::layout(config, &image, processor)?;
        let vm = Vm::new(&device, GuestMemory::new(config.memory_bytes, config.huge_pages)?, config.vcpus)?;
        probe.created(&vm.fd)?;
        let vcpus: Vec<Vcpu> =
            (0..config.vcpus).map(|index| Vcpu::new(&vm.fd, index)).collect::<Result<_, _>>()?;
        let tsc_hz = vcpus.first().map_or(0, Vcpu::tsc_hz);
        let machine = cpuid::Machine {
            vcpus: config.vcpus,
            has_steal_time,
            has_x2apic: processor.has_x2apic,
            has_tsc_deadline: device.has_tsc_deadline
                && config.withheld_features & feature::TSC_DEADLINE == 0,
            tsc_hz,
            apic_timer_hz: device.apic_timer_hz,
        };
        for vcpu in &vcpus {
            let cpuid = cpuid::for_vcpu(&supported, machine, vcpu.index)?;
            vcpu.prepare(&cpuid, boot::start(&image, &layout, vcpu.index))?;
        }
        let clocks = Clocks { tsc_hz, apic_timer_hz: device.apic_timer_hz };
        let pmu = probe.pmu_plan().unwrap_or_default();
        boot::load(vm.memory(), config, &image, &layout, processor, clocks, pmu)?;
        let stats = if device.has_stats {
            GuestStats::open(&vm.fd, vcpus.iter().map(|vcpu| &vcpu.fd))
        } else {
            GuestStats::default()
        };
        Ok(Machine { vcpus, stats, vm, layout, tsc_hz })
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
