//! The VMM's own clocks and KVM's statistics at the marks that the guest's doorbell sets.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use abi::port::doorbell;

use crate::machine::clock::now_ns;
use crate::machine::kick;
use crate::machine::probe::{Mark as ProbeMark, Probe};
use crate::machine::stats::{GuestStats, Snapshot};

/// What was seen at one mark.
#[derive(Clone, Debug)]
struct Mark {
    time: Instant,
    /// The same on the clock of all processes.
    at_ns: u64,
    stats: Snapshot,
    schedule: Option<Schedule>,
}

#[derive(Debug, Default)]
struct Marks {
    started: Option<Instant>,
    begin: Option<Mark>,
    end: Option<Mark>,
    /// At the end.
    pages: BTreeMap<String, u64>,
}

/// Takes the marks. The first of each kind counts: a guest that floods the doorbell changes nothing.
pub(crate) struct Measurement<'a> {
    stats: GuestStats,
    /// Who else takes counts at the marks.
    probe: &'a dyn Probe,
    marks: Mutex<Marks>,
    /// Of the vCPUs; empty for one that has not started.
    threads: Vec<OnceLock<VcpuThread>>,
    has_started: AtomicBool,
    has_begun: AtomicBool,
    has_ended: AtomicBool,
    announced: OnceLock<u64>,
}

/// The thread of a vCPU.
struct VcpuThread {
    id: libc::pid_t,
    /// Opened once: a mark is then one read, and needs no right to open files.
    schedule: Option<File>,
    /// How it had fared when its CPU's part ended, before the second mark.
    at_end_of_part: OnceLock<Option<Schedule>>,
}

/// How a thread fared with the host's scheduler so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Schedule {
    /// Time that it had a CPU, ns.
    cpu_ns: u64,
    /// Time that it was runnable but had none, ns.
    run_delay_ns: u64,
}

/// The differences between the marks.
pub(crate) struct Measured {
    pub boot: Option<Duration>,
    /// Round trips that the guest announced at the first mark.
    pub announced: Option<u64>,
    /// When the measured part began, on the clock of all processes.
    pub began_at_ns: Option<u64>,
    pub duration: Option<Duration>,
    pub kvm_stats: BTreeMap<String, u64>,
    /// See [`GuestStats::pages`]; at the second mark.
    pub kvm_pages: BTreeMap<String, u64>,
    pub cpu_ns: Option<u64>,
    pub run_delay_ns: Option<u64>,
}

impl<'a> Measurement<'a> {
    pub(crate) fn new(stats: GuestStats, vcpus: usize, probe: &'a dyn Probe) -> Measurement<'a> {
        Measurement {
            stats,
            probe,
            marks: Mutex::default(),
            threads: (0..vcpus).map(|_| OnceLock::new()).collect(),
            has_started: AtomicBool::new(false),
            has_begun: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            announced: OnceLock::new(),
        }
    }

    /// Notes that the calling thread runs a vCPU.
    pub(crate) fn set_this_thread(&self, vcpu: u32) {
        if let Some(slot) = self.threads.get(vcpu as usize) {
            let schedule = File::open("/proc/thread-self/schedstat").ok();
            let at_end_of_part = OnceLock::new();
            slot.get_or_init(|| VcpuThread { id: kick::current_thread(), schedule, at_end_of_part });
        }
    }

    /// Whether the guest rings the doorbell with this value, that of a stage, for the first time.
    pub(crate) fn is_first(&self, value: u32) -> bool {
        match value {
            doorbell::STARTED => !self.has_started.swap(true, Ordering::SeqCst),
            doorbell::MEASURE_BEGIN => !self.has_begun.swap(true, Ordering::SeqCst),
            doorbell::MEASURE_END => {
                self.has_begun.load(Ordering::SeqCst) && !self.has_ended.swap(true, Ordering::SeqCst)
            }
            _ => false,
        }
    }

    /// Notes how many round trips the guest announces. The first time counts.
    pub(crate) fn announce(&self, round_trips: u64) -> u64 {
        *self.announced.get_or_init(|| round_trips)
    }

    /// Threads that have started.
    pub(crate) fn threads(&self) -> impl Iterator<Item = libc::pid_t> {
        self.threads.iter().filter_map(OnceLock::get).map(|thread| thread.id)
    }

    /// CPU time that the vCPU threads have used so far, ns; `None` where the host does not tell.
    pub(crate) fn cpu_ns(&self) -> Option<u64> {
        self.schedule().map(|schedule| schedule.cpu_ns)
    }

    fn schedule(&self) -> Option<Schedule> {
        self.threads.iter().filter_map(OnceLock::get).map(VcpuThread::schedule).sum()
    }

    /// Called by the thread of `vcpu`, which took the doorbell's exit, while its guest waits.
    pub(crate) fn ring(&self, vcpu: u32, value: u32) {
        let now = Instant::now();
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        match value {
            doorbell::STARTED if marks.started.is_none() => marks.started = Some(now),
            doorbell::MEASURE_BEGIN if marks.begin.is_none() => {
                let mut mark = self.mark(now, ProbeMark::Begin);
                // What taking the mark has cost belongs to nobody.
                (mark.time, mark.at_ns) = (Instant::now(), now_ns());
                marks.begin = Some(mark);
            }
            doorbell::PART_MEASURED if marks.begin.is_some() && marks.end.is_none() => {
                self.end_part(vcpu as usize);
            }
            doorbell::MEASURE_END if marks.begin.is_some() && marks.end.is_none() => {
                marks.end = Some(self.mark(now, ProbeMark::End));
                marks.pages = self.stats.pages();
            }
            _ => {}
        }
    }

    /// The result, for a guest whose first instruction ran at `first_entry`.
    pub(crate) fn finish(self, first_entry: Instant) -> Measured {
        let marks = self.marks.into_inner().unwrap_or_else(PoisonError::into_inner);
        let announced = self.announced.get().copied();
        let boot = marks.started.map(|started| started.duration_since(first_entry));
        let (Some(begin), Some(end)) = (marks.begin, marks.end) else {
            return Measured {
                boot,
                announced,
                began_at_ns: None,
                duration: None,
                kvm_stats: BTreeMap::new(),
                kvm_pages: BTreeMap::new(),
                cpu_ns: None,
                run_delay_ns: None,
            };
        };
        let schedule = begin.schedule.zip(end.schedule);
        Measured {
            boot,
            announced,
            began_at_ns: Some(begin.at_ns),
            duration: Some(end.time.duration_since(begin.time)),
            kvm_stats: self.stats.difference(&begin.stats, &end.stats),
            kvm_pages: marks.pages,
            cpu_ns: schedule.map(|(begin, end)| end.cpu_ns.saturating_sub(begin.cpu_ns)),
            run_delay_ns: schedule.map(|(begin, end)| end.run_delay_ns.saturating_sub(begin.run_delay_ns)),
        }
    }

    /// KVM's statistic of instructions that it has emulated, over all vCPUs; 0 where there is none.
    pub(crate) fn emulated_instructions(&self) -> u64 {
        self.stats.vcpu_total("insn_emulation")
    }

    /// What this vCPU does from here on is in no count.
    fn end_part(&self, vcpu: usize) {
        self.stats.end_part(vcpu);
        self.probe.mark(ProbeMark::EndOfPart);
        if let Some(thread) = self.threads.get(vcpu).and_then(OnceLock::get) {
            thread.at_end_of_part.get_or_init(|| thread.schedule());
        }
    }

    fn mark(&self, time: Instant, which: ProbeMark) -> Mark {
        let threads = self.threads.iter().filter_map(OnceLock::get);
        let schedule = threads
            .map(|thread| thread.at_end_of_part.get().copied().unwrap_or_else(|| thread.schedule()))
            .sum();
        let mark = Mark { time, at_ns: now_ns(), stats: self.stats.snapshot(), schedule };
        self.probe.mark(which);
        mark
    }
}

impl VcpuThread {
    fn schedule(&self) -> Option<Schedule> {
        let mut text = [0; 80];
        let length = self.schedule.as_ref()?.read_at(&mut text, 0).ok()?;
        Schedule::parse(std::str::from_utf8(&text[..length]).ok()?)
    }
}

impl Schedule {
    /// The first two numbers of schedstat (Documentation/scheduler/sched-stats.rst).
    fn parse(schedstat: &str) -> Option<Schedule> {
        let mut numbers = schedstat.split_ascii_whitespace().map(str::parse);
        Some(Schedule { cpu_ns: numbers.next()?.ok()?, run_delay_ns: numbers.next()?.ok()? })
    }
}

impl std::iter::Sum for Schedule {
    fn sum<I: Iterator<Item = Schedule>>(all: I) -> Schedule {
        all.fold(Schedule::default(), |sum, one| Schedule {
            cpu_ns: sum.cpu_ns + one.cpu_ns,
            run_delay_ns: sum.run_delay_ns + one.run_delay_ns,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::probe::NoProbe;

    #[test]
    fn schedstat_has_three_numbers() {
        let schedule = Schedule { cpu_ns: 12, run_delay_ns: 34 };
        assert_eq!(Schedule::parse("12 34 5\n"), Some(schedule));
        assert_eq!(Schedule::parse("12"), None);
        assert_eq!(Schedule::parse(""), None);
    }

    #[test]
    fn this_thread_has_a_schedule() {
        let measurement = Measurement::new(GuestStats::default(), 1, &NoProbe);
        measurement.set_this_thread(0);
        let schedule = measurement.threads[0].get().unwrap().schedule();
        // Without the kernel's CONFIG_SCHED_INFO the file is not there; where it is, this thread has run.
        assert_eq!(schedule.is_some(), std::path::Path::new("/proc/thread-self/schedstat").exists());
    }

    #[test]
    fn a_stage_is_reached_once() {
        let measurement = Measurement::new(GuestStats::default(), 1, &NoProbe);
        let reached: Vec<u32> =
            [2, 3, 1, 3, 1, 2, 2, 9].into_iter().filter(|v| measurement.is_first(*v)).collect();
        assert_eq!(reached, [doorbell::STARTED, doorbell::MEASURE_BEGIN, doorbell::MEASURE_END]);
    }

    #[test]
    fn the_first_marks_count_and_the_end_needs_a_beginning() {
        let start = Instant::now();
        let measurement = Measurement::new(GuestStats::default(), 1, &NoProbe);
        measurement.ring(0, doorbell::MEASURE_END);
        measurement.ring(0, doorbell::STARTED);
        measurement.ring(0, doorbell::MEASURE_BEGIN);
        for value in 0..1000 {
            measurement.ring(0, value);
        }
        let end = Instant::now();
        std::thread::sleep(Duration::from_millis(2));
        measurement.ring(0, doorbell::MEASURE_END);
        let measured = measurement.finish(start);
        assert!(measured.duration.unwrap() <= end - start);
        assert!(measured.boot.is_some());
        assert_eq!(measured.run_delay_ns, Some(0), "no thread has started, so none was delayed");
    }
}
