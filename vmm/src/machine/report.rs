//! Reading what the kernel hands back. Every field is a claim and is checked before anybody sees it.

use std::mem::offset_of;

use abi::flush::{self, FlushReport};
use abi::pmu::PmuReport;
use abi::report::{CpuReport, FAULTS_KEPT, Fault, MESSAGE_SIZE, REPORT_MAGIC, Registers, Report, state};

use crate::machine::error::MachineError;
use crate::machine::layout::Layout;
use crate::machine::memory::GuestMemory;

/// Most samples of one round trip that any program takes.
const CHANNELS_MAX: u32 = 16;

/// A report that holds water.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CheckedReport {
    pub state: u32,
    pub features: u64,
    pub round_trips: u64,
    pub sample_count: usize,
    /// At least 1.
    pub channel_count: u32,
    pub driver_status: u32,
    pub measured_ticks: u64,
    pub calls_answered_meanwhile: u64,
    pub calls_failed: u64,
    pub frames_in_use: u64,
    pub faults: Vec<Fault>,
    pub last_words_cpu: u32,
    pub last_words: Registers,
    pub message: String,
    pub pmu: PmuReport,
    pub flush: FlushReport,
}

/// What a report is checked against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub sample_capacity: u64,
    pub servers: usize,
    pub vcpus: u32,
    pub frames: u64,
}

/// Checks a report. `Ok(None)`: the kernel has not begun to write it. `Err`: what it lies about.
pub(crate) fn check(report: &Report, bounds: Bounds) -> Result<Option<CheckedReport>, String> {
    if report.magic == 0 {
        return Ok(None);
    }
    if report.magic != REPORT_MAGIC {
        return Err(format!("the report begins with {:#x}", report.magic));
    }
    if report.version != abi::VERSION {
        let (kernel, vmm) = (report.version, abi::VERSION);
        return Err(format!("the kernel is built for version {kernel} of the interface, this VMM for {vmm}"));
    }
    if !(state::BOOTING..=state::FINISHED).contains(&report.state) {
        return Err(format!("the report's state is {}", report.state));
    }
    if report.sample_count > bounds.sample_capacity {
        return Err(format!(
            "the report claims {} samples, but there is room for {}",
            report.sample_count, bounds.sample_capacity
        ));
    }
    let is_measured = report.state >= state::MEASURED;
    if report.channel_count > CHANNELS_MAX
        || (is_measured && report.sample_count > 0 && report.channel_count == 0)
    {
        return Err(format!("the report claims {} samples per round trip", report.channel_count));
    }
    let faults = report.faults[..(report.fault_count as usize).min(FAULTS_KEPT)].to_vec();
    if let Some(fault) = faults.iter().find(|fault| fault.server as usize >= bounds.servers) {
        return Err(format!(
            "the report claims a fault of server {}, but there are {}",
            fault.server, bounds.servers
        ));
    }
    if report.message_size as usize > MESSAGE_SIZE {
        return Err(format!("the report claims a message of {} bytes", report.message_size));
    }
    if report.last_words_cpu >= bounds.vcpus {
        return Err(format!("the report claims last words of CPU {}", report.last_words_cpu));
    }
    // A driver that fails before its second mark leaves none.
    let has_failed = report.state == state::FINISHED && report.driver_status != 0 && report.end_tsc == 0;
    if is_measured && !has_failed && report.end_tsc < report.begin_tsc {
        return Err("the report's second mark lies before the first".to_owned());
    }
    if report.frames_in_use > bounds.frames {
        return Err(format!("the report claims {} frames in use", report.frames_in_use));
    }
    if report.flush.source > flush::source::LAST {
        return Err(format!("the report claims a flush threshold of kind {}", report.flush.source));
    }
    Ok(Some(CheckedReport {
        state: report.state,
        features: report.features,
        round_trips: report.round_trips,
        sample_count: report.sample_count as usize,
        channel_count: report.channel_count.max(1),
        driver_status: report.driver_status,
        measured_ticks: if is_measured { report.end_tsc.saturating_sub(report.begin_tsc) } else { 0 },
        calls_answered_meanwhile: report.calls_answered_meanwhile,
        calls_failed: report.calls_failed,
        frames_in_use: report.frames_in_use,
        faults,
        last_words_cpu: report.last_words_cpu,
        last_words: report.last_words,
        message: String::from_utf8_lossy(&report.message[..report.message_size as usize]).into_owned(),
        pmu: report.pmu,
        flush: report.flush,
    }))
}

/// Reads the report from guest memory, once: a copy cannot change while it is checked.
pub(crate) fn read(memory: &GuestMemory, layout: &Layout) -> Result<Report, MachineError> {
    memory.read_record(layout.report.start)
}

/// Reads how many round trips the guest announces at its first mark.
pub(crate) fn read_announced(memory: &GuestMemory, layout: &Layout) -> Option<u64> {
    let address = layout.report.start + offset_of!(Report, round_trips_announced) as u64;
    memory.read_words(address, 1).ok()?.first().copied()
}

/// Reads the samples that a checked report tells of.
pub(crate) fn read_samples(
    memory: &GuestMemory,
    layout: &Layout,
    report: &CheckedReport,
) -> Result<Vec<u64>, MachineError> {
    let room = (layout.samples.size / size_of::<u64>() as u64) as usize;
    memory.read_words(layout.samples.start, report.sample_count.min(room))
}

/// Reads every CPU's part.
pub(crate) fn read_cpus(
    memory: &GuestMemory,
    layout: &Layout,
    vcpus: u32,
) -> Result<Vec<CpuReport>, MachineError> {
    let address = |cpu: u32| layout.cpu_reports.start + u64::from(cpu) * size_of::<CpuReport>() as u64;
    (0..vcpus).map(|cpu| memory.read_record(address(cpu))).collect()
}
