//! The lens `perf`: the host counts hardware events of the vCPU threads while they are in the guest, and only then.
//!
//! Unlike the guest's own counters it needs no PMU in the guest and nothing of the guest's kernel, and it counts
//! everything that the guest executes between the marks, on all vCPUs. Each thread opens the counters of itself, as one
//! group, so that all of them count at the same times or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use perf_event::events::{Cache, CacheId, CacheOp, CacheResult, Event, Hardware};
use perf_event::{Builder, Counter, Group, ReadFormat};
use serde::Serialize;

use crate::host::perf::explain;
use crate::lens::Reading;

/// What the host counted between the marks, over all vCPU threads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PerfResult {
    /// Event name to count.
    pub counts: BTreeMap<&'static str, u64>,
    /// The same by the number of round trips.
    pub per_round_trip: BTreeMap<&'static str, f64>,
    /// Events that this processor's Linux driver does not count, and why.
    pub left_out: BTreeMap<&'static str, String>,
}

/// The counters of one thread. Events are what Linux has generic names for: its driver knows the processor.
struct ThreadCounters {
    thread: ThreadId,
    /// The counts when this thread's part of the measurement ended, which stand for it from then on.
    at_end_of_part: Option<PerfSnapshot>,
    group: Group,
    counters: Vec<(&'static str, Counter)>,
    left_out: BTreeMap<&'static str, String>,
}

/// All of them.
#[derive(Default)]
pub(crate) struct PerfLens {
    is_wanted: bool,
    threads: Mutex<Vec<ThreadCounters>>,
    /// The first thread's failure is that of all; with the host's setting, read while files may still be opened.
    failure: Mutex<Option<(io::Error, Option<i32>)>>,
}

/// The counts at a mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PerfSnapshot {
    counts: BTreeMap<&'static str, u64>,
    enabled: Duration,
    running: Duration,
}

impl PerfSnapshot {
    fn add(&mut self, other: &PerfSnapshot) {
        self.enabled += other.enabled;
        self.running += other.running;
        other.counts.iter().for_each(|(name, count)| *self.counts.entry(name).or_default() += count);
    }
}

impl PerfLens {
    pub(crate) fn new(is_wanted: bool) -> PerfLens {
        PerfLens { is_wanted, ..PerfLens::default() }
    }

    /// Opens the counters of the calling thread, before it enters the guest for the first time.
    pub(crate) fn open_for_this_thread(&self) {
        if !self.is_wanted {
            return;
        }
        match ThreadCounters::open() {
            Ok(counters) => self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(counters),
            Err(error) => {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| (error, paranoid()));
            }
        }
    }

    /// Keeps the counts of the calling thread as they are now.
    pub(crate) fn end_part(&self) {
        let this = thread::current().id();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let unended =
            |counters: &&mut ThreadCounters| counters.thread == this && counters.at_end_of_part.is_none();
        if let Some(counters) = threads.iter_mut().find(unended) {
            let mut part = PerfSnapshot::default();
            // What cannot be read now cannot be read at the mark either, which says so.
            if counters.add_now_to(&mut part).is_ok() {
                counters.at_end_of_part = Some(part);
            }
        }
    }

    /// The counts now. The calling thread is not in the guest; others may be.
    pub(crate) fn snapshot(&self) -> PerfSnapshot {
        let mut sum = PerfSnapshot::default();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            if let Err(error) = thread.add_to(&mut sum) {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert((error, None));
            }
        }
        sum
    }

    /// What was counted between two marks; `None` for a case that did not come to both.
    pub(crate) fn finish(
        self,
        marks: Option<(&PerfSnapshot, &PerfSnapshot)>,
        round_trips: u64,
    ) -> Reading<PerfResult> {
        if !self.is_wanted {
            return Reading::default();
        }
        if let Some((error, paranoid)) = self.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return absent(&error, paranoid);
        }
        let threads = self.threads.into_inner().unwrap_or_else(PoisonError::into_inner);
        let left_out = threads.into_iter().next().map(|thread| thread.left_out).unwrap_or_default();
        match marks {
            Some((begin, end)) if round_trips > 0 => difference(begin, end, round_trips, left_out),
            _ => Reading::absent("the case did not come to its second mark"),
        }
    }
}

fn paranoid() -> Option<i32> {
    fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").ok()?.trim().parse().ok()
}

/// Why there are no counters, and what helps (Documentation/admin-guide/perf-security.rst).
fn absent(error: &io::Error, paranoid: Option<i32>) -> Reading<PerfResult> {
    let remedy = match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            "sudo sysctl kernel.perf_event_paranoid=1, or give the process CAP_PERFMON"
        }
        Some(libc::EMFILE) => "raise ulimit -n",
        _ => "run on bare metal, or let the hypervisor of this host give it performance counters",
    };
    Reading::Absent { reason: explain(error, paranoid), remedy: Some(remedy.to_owned()) }
}

fn difference(
    begin: &PerfSnapshot,
    end: &PerfSnapshot,
    round_trips: u64,
    left_out: BTreeMap<&'static str, String>,
) -> Reading<PerfResult> {
    let enabled = end.enabled.saturating_sub(begin.enabled);
    let running = end.running.saturating_sub(begin.running);
    if running < enabled {
        return Reading::Absent {
            reason: format!(
                "the counters had the hardware for {running:?} of {enabled:?} only: others use it, too"
            ),
            remedy: Some(
                "stop other users of perf, and the NMI watchdog (sudo sysctl kernel.nmi_watchdog=0)"
                    .to_owned(),
            ),
        };
    }
    let count = |(name, count): (&&'static str, &u64)| {
        (*name, count.saturating_sub(begin.counts.get(name).copied().unwrap_or(0)))
    };
    let counts: BTreeMap<_, _> = end.counts.iter().map(count).collect();
    if counts.get(CYCLES).is_none_or(|cycles| *cycles == 0) {
        return Reading::absent("the counter of cycles stood still between the marks");
    }
    let per_round_trip =
        counts.iter().map(|(name, count)| (*name, *count as f64 / round_trips as f64)).collect();
    Reading::Counted(PerfResult { counts, per_round_trip, left_out })
}

const CYCLES: &str = "cycles";

impl ThreadCounters {
    fn open() -> io::Result<ThreadCounters> {
        let times = ReadFormat::TOTAL_TIME_ENABLED | ReadFormat::TOTAL_TIME_RUNNING;
        // The leader counts cycles: without them nothing else is worth counting.
        let mut leader = guest_counter(Hardware::CPU_CYCLES);
        let mut group = leader.read_format(times | ReadFormat::GROUP | ReadFormat::ID).build_group()?;
        let mut counters = Vec::new();
        let mut left_out = BTreeMap::new();
        let read_misses = |which| Cache { which, operation: CacheOp::READ, result: CacheResult::MISS };
        let others = [
            ("instructions", guest_counter(Hardware::INSTRUCTIONS)),
            ("dtlb_load_misses", guest_counter(read_misses(CacheId::DTLB))),
            ("itlb_load_misses", guest_counter(read_misses(CacheId::ITLB))),
        ];
        for (name, builder) in others {
            match group.add(&builder) {
                Ok(counter) => counters.push((name, counter)),
                Err(error) => {
                    left_out.insert(name, error.to_string());
                }
            }
        }
        group.enable()?;
        let thread = thread::current().id();
        Ok(ThreadCounters { thread, at_end_of_part: None, group, counters, left_out })
    }

    fn add_to(&mut self, sum: &mut PerfSnapshot) -> io::Result<()> {
        match &self.at_end_of_part {
            Some(part) => {
                sum.add(part);
                Ok(())
            }
            None => self.add_now_to(sum),
        }
    }

    fn add_now_to(&mut self, sum: &mut PerfSnapshot) -> io::Result<()> {
        let data = self.group.as_counter_mut().read_group()?;
        sum.enabled += data.time_enabled().unwrap_or_default();
        sum.running += data.time_running().unwrap_or_default();
        let leader = data.get(self.group.as_counter()).map(|entry| (CYCLES, entry.value()));
        let others =
            self.counters.iter().filter_map(|(name, counter)| Some((*name, data.get(counter)?.value())));
        for (name, value) in leader.into_iter().chain(others) {
            *sum.counts.entry(name).or_default() += value;
        }
        Ok(())
    }
}

/// Counts the calling thread, in guests only, at all of the guest's privilege levels: for Linux, a guest's ring 0 is
/// "kernel", too.
pub(crate) fn guest_counter(event: impl Event) -> Builder<'static> {
    let mut builder = Builder::new(event);
    builder
        .observe_self()
        .any_cpu()
        .exclude_host(true)
        .exclude_guest(false)
        .exclude_kernel(false)
        .enabled(false);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(cycles: u64, enabled: u64, running: u64) -> PerfSnapshot {
        PerfSnapshot {
            counts: BTreeMap::from([(CYCLES, cycles), ("instructions", 2 * cycles)]),
            enabled: Duration::from_micros(enabled),
            running: Duration::from_micros(running),
        }
    }

    #[test]
    fn counts_are_differences_by_round_trips() {
        let reading = difference(&snapshot(100, 10, 10), &snapshot(1100, 20, 20), 10, BTreeMap::new());
        let result = reading.counted().unwrap();
        assert_eq!((result.counts[CYCLES], result.counts["instructions"]), (1000, 2000));
        assert_eq!(result.per_round_trip["instructions"], 200.0);
    }

    #[test]
    fn counters_that_had_to_share_or_stood_still_give_no_figures() {
        let absent = |begin, end| match difference(&begin, &end, 10, BTreeMap::new()) {
            Reading::Absent { reason, .. } => reason,
            Reading::Counted(result) => panic!("{result:?}"),
        };
        assert!(absent(snapshot(0, 0, 0), snapshot(9, 20, 19)).contains("others use it"));
        assert!(absent(snapshot(9, 0, 0), snapshot(9, 20, 20)).contains("stood still"));
    }

    #[test]
    fn each_failure_has_its_remedy() {
        for (errno, expected) in [(libc::EACCES, "perf_event_paranoid"), (libc::ENOENT, "bare metal")] {
            let Reading::Absent { remedy, .. } = absent(&io::Error::from_raw_os_error(errno), Some(2)) else {
                panic!("there is no count")
            };
            assert!(remedy.unwrap().contains(expected));
        }
    }

    #[test]
    fn what_was_not_asked_for_opens_nothing() {
        let lens = PerfLens::new(false);
        lens.open_for_this_thread();
        assert_eq!(lens.snapshot(), PerfSnapshot::default());
        assert_eq!(lens.finish(None, 0), Reading::absent("not asked for"));
    }
}
