//! Writing the report: memory that the VMM reads after the case, see [`abi::report`].

use core::fmt;
use core::ptr::{addr_of_mut, with_exposed_provenance_mut};

use abi::flush::FlushReport;
use abi::pmu::PmuReport;
use abi::report::{Counters, CpuReport, FAULTS_KEPT, Fault, MESSAGE_SIZE, REPORT_MAGIC, Registers, Report};

use crate::sync::atomic::{AtomicU32, Ordering};

/// The report of the case. All writes are volatile: nobody in the guest ever reads them.
#[derive(Clone, Copy)]
pub struct ReportWriter {
    report: *mut Report,
    cpus: *mut CpuReport,
    cpu_count: u32,
}

/// What the driver says that it has measured; see [`Report`] for each.
#[expect(missing_docs, reason = "documented in abi::report::Report")]
pub struct Measured {
    pub round_trips: u64,
    pub channel_count: u32,
    pub sample_count: u64,
    pub calls_answered_meanwhile: u64,
    pub calls_failed: u64,
}

impl ReportWriter {
    /// The report at address `report`, with `cpu_count` CPU reports at address `cpus`.
    ///
    /// # Safety
    /// Both must be mapped, writable, aligned, zero, and used by nobody but report writers.
    pub unsafe fn new(report: u64, cpus: u64, cpu_count: u32) -> ReportWriter {
        ReportWriter {
            report: with_exposed_provenance_mut(report as usize),
            cpus: with_exposed_provenance_mut(cpus as usize),
            cpu_count,
        }
    }

    /// Makes the report valid.
    pub fn begin(&self, features: u64) {
        // SAFETY: `new`'s promise.
        unsafe {
            addr_of_mut!((*self.report).version).write_volatile(abi::VERSION);
            addr_of_mut!((*self.report).features).write_volatile(features);
            addr_of_mut!((*self.report).channel_count).write_volatile(1);
            addr_of_mut!((*self.report).magic).write_volatile(REPORT_MAGIC);
        }
        self.set_state(abi::report::state::BOOTING);
    }

    /// Notes what has been found out about the CPU, bits of [`abi::report::feature`], instead of what was noted before.
    pub fn set_features(&self, features: u64) {
        // SAFETY: `new`'s promise.
        unsafe { addr_of_mut!((*self.report).features).write_volatile(features) }
    }

    /// Notes how far the case got; one of [`abi::report::state`].
    pub fn set_state(&self, state: u32) {
        // SAFETY: `new`'s promise.
        unsafe { addr_of_mut!((*self.report).state).write_volatile(state) }
    }

    /// Adds features found after [`ReportWriter::begin`].
    pub fn add_features(&self, features: u64) {
        let field = self.features_field();
        // SAFETY: `new`'s promise.
        unsafe { field.write_volatile(field.read_volatile() | features) }
    }

    fn features_field(&self) -> *mut u64 {
        // SAFETY: `new`'s promise; only an address is taken.
        unsafe { addr_of_mut!((*self.report).features) }
    }

    /// Notes that a CPU runs.
    pub fn set_online(&self, cpu: u32, apic_id: u32) {
        if cpu < self.cpu_count {
            // SAFETY: `new`'s promise, and `cpu` is in range.
            unsafe {
                let report = self.cpus.add(cpu as usize);
                addr_of_mut!((*report).apic_id).write_volatile(apic_id);
                addr_of_mut!((*report).online).write_volatile(1);
            }
        }
    }

    /// Notes how many round trips the driver is going to make.
    pub fn announce(&self, round_trips: u64) {
        // SAFETY: `new`'s promise.
        unsafe { addr_of_mut!((*self.report).round_trips_announced).write_volatile(round_trips) }
    }

    /// Notes the first mark, with the counters of all CPUs and the frames in use.
    pub fn measure_begin(&self, cpus: impl Iterator<Item = Counters>, tsc: u64, frames_in_use: u64) {
        for (index, counters) in cpus.enumerate().take(self.cpu_count as usize) {
            // SAFETY: `new`'s promise, and the index is in range.
            unsafe { addr_of_mut!((*self.cpus.add(index)).begin).write_volatile(counters) }
        }
        // SAFETY: `new`'s promise.
        unsafe {
            addr_of_mut!((*self.report).begin_tsc).write_volatile(tsc);
            addr_of_mut!((*self.report).frames_in_use).write_volatile(frames_in_use);
        }
        self.set_state(abi::report::state::MEASURING);
    }

    /// Notes when the driver's thread on a CPU has measured.
    pub fn part_measured(&self, index: u32, began_tsc: u64, ended_tsc: u64) {
        if index < self.cpu_count {
            // SAFETY: `new`'s promise, and the index is in range.
            unsafe {
                let report = self.cpus.add(index as usize);
                addr_of_mut!((*report).part_began_tsc).write_volatile(began_tsc);
                addr_of_mut!((*report).part_ended_tsc).write_volatile(ended_tsc);
            }
        }
    }

    /// Notes what a CPU has counted up to the end of the measured part.
    pub fn note_end(&self, index: u32, counters: &Counters) {
        if index < self.cpu_count {
            // SAFETY: `new`'s promise, and the index is in range.
            unsafe { addr_of_mut!((*self.cpus.add(index as usize)).end).write_volatile(*counters) }
        }
    }

    /// Notes the second mark, with what the driver counted.
    pub fn measure_end(&self, tsc: u64, measured: &Measured) {
        // SAFETY: `new`'s promise.
        unsafe {
            addr_of_mut!((*self.report).end_tsc).write_volatile(tsc);
            addr_of_mut!((*self.report).round_trips).write_volatile(measured.round_trips);
            addr_of_mut!((*self.report).channel_count).write_volatile(measured.channel_count);
            addr_of_mut!((*self.report).sample_count).write_volatile(measured.sample_count);
            addr_of_mut!((*self.report).calls_answered_meanwhile)
                .write_volatile(measured.calls_answered_meanwhile);
            addr_of_mut!((*self.report).calls_failed).write_volatile(measured.calls_failed);
        }
        self.set_state(abi::report::state::MEASURED);
    }

    /// Notes what the performance counters showed.
    pub fn set_pmu(&self, pmu: &PmuReport) {
        // SAFETY: `new`'s promise.
        unsafe { addr_of_mut!((*self.report).pmu).write_volatile(*pmu) }
    }

    /// Notes the flush threshold.
    pub fn set_flush(&self, flush: &FlushReport) {
        // SAFETY: `new`'s promise.
        unsafe { addr_of_mut!((*self.report).flush).write_volatile(*flush) }
    }

    /// Notes how the driver ended.
    pub fn finish(&self, status: u32) {
        // SAFETY: `new`'s promise.
        unsafe { addr_of_mut!((*self.report).driver_status).write_volatile(status) }
        self.set_state(abi::report::state::FINISHED);
    }

    /// Notes a server's death.
    pub fn add_fault(&self, fault: &Fault) {
        // SAFETY: `new`'s promise, and the index is checked. Several CPUs may be here at once.
        unsafe {
            let count = AtomicU32::from_ptr(addr_of_mut!((*self.report).fault_count));
            let index = count.fetch_add(1, Ordering::Relaxed);
            if (index as usize) < FAULTS_KEPT {
                addr_of_mut!((*self.report).faults)
                    .cast::<Fault>()
                    .add(index as usize)
                    .write_volatile(*fault);
            }
        }
    }

    /// Leaves the last words of a panic, or of a refusal to start.
    pub fn set_last_words(&self, cpu: u32, message: fmt::Arguments<'_>, registers: &Registers) {
        let mut text = Text { bytes: [0; MESSAGE_SIZE], size: 0 };
        // A message that does not fit is cut; that is no error.
        let _ = fmt::write(&mut text, message);
        // SAFETY: `new`'s promise.
        unsafe {
            addr_of_mut!((*self.report).last_words_cpu).write_volatile(cpu);
            addr_of_mut!((*self.report).last_words).write_volatile(*registers);
            addr_of_mut!((*self.report).message).write_volatile(text.bytes);
            addr_of_mut!((*self.report).message_size).write_volatile(text.size as u32);
        }
    }
}

/// A message of bounded size.
struct Text {
    bytes: [u8; MESSAGE_SIZE],
    size: usize,
}

impl fmt::Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let rest = &mut self.bytes[self.size..];
        let size = part.len().min(rest.len());
        rest[..size].copy_from_slice(&part.as_bytes()[..size]);
        self.size += size;
        if size < part.len() { Err(fmt::Error) } else { Ok(()) }
    }
}
