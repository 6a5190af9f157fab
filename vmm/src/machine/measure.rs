//! The VMM's own clocks and KVM's statistics at the marks that the guest's doorbell sets.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use abi::port::doorbell;

use crate::lens::Reading;
use crate::lens::perf::{PerfLens, PerfResult, PerfSnapshot};
use crate::machine::stats::{GuestStats, Snapshot};

/// What was seen at one mark.
#[derive(Clone, Debug)]
struct Mark {
    time: Instant,
    stats: Snapshot,
    run_delay_ns: Option<u64>,
    perf: PerfSnapshot,
}

#[derive(Debug, Default)]
struct Marks {
    started: Option<Instant>,
    begin: Option<Mark>,
    end: Option<Mark>,
}

/// Takes the marks. The first of each kind counts: a guest that floods the doorbell changes nothing.
pub(crate) struct Measurement {
    stats: GuestStats,
    /// The host's counters of the vCPU threads.
    pub perf: PerfLens,
    marks: Mutex<Marks>,
    /// Of the vCPU threads, 0 for one that has not started.
    threads: Vec<AtomicI32>,
}

/// The differences between the marks.
pub(crate) struct Measured {
    pub boot: Option<Duration>,
    pub duration: Option<Duration>,
    pub kvm_stats: BTreeMap<String, u64>,
    pub run_delay_ns: Option<u64>,
    pub perf: PerfReading,
}

/// What the host's counters showed, once the number of round trips is known.
pub(crate) struct PerfReading {
    lens: PerfLens,
    marks: Option<(PerfSnapshot, PerfSnapshot)>,
}

impl PerfReading {
    pub(crate) fn read(self, round_trips: u64) -> Reading<PerfResult> {
        self.lens.finish(self.marks.as_ref().map(|(begin, end)| (begin, end)), round_trips)
    }
}

impl Measurement {
    pub(crate) fn new(stats: GuestStats, vcpus: usize, perf: PerfLens) -> Measurement {
        let threads = (0..vcpus).map(|_| AtomicI32::new(0)).collect();
        Measurement { stats, perf, marks: Mutex::default(), threads }
    }

    /// Notes which thread runs a vCPU.
    pub(crate) fn set_thread(&self, vcpu: u32, thread: libc::pid_t) {
        if let Some(slot) = self.threads.get(vcpu as usize) {
            slot.store(thread, Ordering::SeqCst);
        }
    }

    /// Threads that have started.
    pub(crate) fn threads(&self) -> impl Iterator<Item = libc::pid_t> {
        self.threads.iter().map(|thread| thread.load(Ordering::SeqCst)).filter(|thread| *thread != 0)
    }

    /// Called by the vCPU thread that took the doorbell's exit, while its guest waits.
    pub(crate) fn ring(&self, value: u32) {
        let now = Instant::now();
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        match value {
            doorbell::STARTED if marks.started.is_none() => marks.started = Some(now),
            doorbell::MEASURE_BEGIN if marks.begin.is_none() => {
                let mut mark = self.mark(now);
                // What taking the mark has cost belongs to nobody.
                mark.time = Instant::now();
                marks.begin = Some(mark);
            }
            doorbell::MEASURE_END if marks.begin.is_some() && marks.end.is_none() => {
                marks.end = Some(self.mark(now));
            }
            _ => {}
        }
    }

    /// The result, for a guest whose first instruction ran at `first_entry`.
    pub(crate) fn finish(self, first_entry: Instant) -> Measured {
        let marks = self.marks.into_inner().unwrap_or_else(PoisonError::into_inner);
        let boot = marks.started.map(|started| started.duration_since(first_entry));
        let (Some(begin), Some(end)) = (marks.begin, marks.end) else {
            let perf = PerfReading { lens: self.perf, marks: None };
            return Measured { boot, duration: None, kvm_stats: BTreeMap::new(), run_delay_ns: None, perf };
        };
        Measured {
            boot,
            duration: Some(end.time.duration_since(begin.time)),
            kvm_stats: self.stats.difference(&begin.stats, &end.stats),
            run_delay_ns: begin
                .run_delay_ns
                .zip(end.run_delay_ns)
                .map(|(begin, end)| end.saturating_sub(begin)),
            perf: PerfReading { lens: self.perf, marks: Some((begin.perf, end.perf)) },
        }
    }

    /// KVM's statistic of instructions that it has emulated, over all vCPUs; 0 where there is none.
    pub(crate) fn emulated_instructions(&self) -> u64 {
        self.stats.vcpu_total("insn_emulation")
    }

    fn mark(&self, time: Instant) -> Mark {
        Mark {
            time,
            stats: self.stats.snapshot(),
            run_delay_ns: self.threads().map(run_delay_ns).sum(),
            perf: self.perf.snapshot(),
        }
    }
}

/// Time that a thread was runnable but had no CPU, ns: the second number (Documentation/scheduler/sched-stats.rst).
fn run_delay_ns(thread: libc::pid_t) -> Option<u64> {
    parse_run_delay(&fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?)
}

fn parse_run_delay(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_has_three_numbers() {
        assert_eq!(parse_run_delay("12 34 5\n"), Some(34));
        assert_eq!(parse_run_delay("12"), None);
        assert_eq!(parse_run_delay(""), None);
    }

    #[test]
    fn the_first_marks_count_and_the_end_needs_a_beginning() {
        let start = Instant::now();
        let measurement = Measurement::new(GuestStats::default(), 1, PerfLens::default());
        measurement.ring(doorbell::MEASURE_END);
        measurement.ring(doorbell::STARTED);
        measurement.ring(doorbell::MEASURE_BEGIN);
        for value in 0..1000 {
            measurement.ring(value);
        }
        let end = Instant::now();
        std::thread::sleep(Duration::from_millis(2));
        measurement.ring(doorbell::MEASURE_END);
        let measured = measurement.finish(start);
        assert!(measured.duration.unwrap() <= end - start);
        assert!(measured.boot.is_some());
        assert_eq!(measured.run_delay_ns, Some(0), "no thread has started, so none was delayed");
    }
}
