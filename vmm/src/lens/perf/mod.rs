//! The lens `perf`: the host counts hardware events of the vCPU threads while they are in the guest, and only then.
//!
//! Unlike the guest's own counters it needs no PMU in the guest and nothing of the guest's kernel, and it counts
//! everything that the guest executes between the marks, on all vCPUs. Each thread opens the counters of itself, as one
//! group, so that all of them count at the same times or not at all. On a hybrid processor these are the counters of the kind of
//! core that the thread is pinned to.

mod lens;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use perf_event::events::{Cache, CacheId, CacheOp, CacheResult, Event, Hardware, Raw};
use perf_event::{Builder, Counter, Group, ReadFormat};
use serde::Serialize;
use serde_json::Value;

use crate::host::CoreKind;
use crate::host::cores;
use crate::host::perf::{explain, guest_counter};
use crate::lens::Reading;
use crate::lens::measure::Watch;
use crate::lens::pmu::{Event as TlbEvent, EventTable, Selector, for_core};
use crate::machine;
use crate::machine::guest::GuestRun;
use crate::machine::probe::{Mark, Probe};

pub use lens::Perf;

/// The lens's name.
pub const NAME: &str = "perf";

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

/// The counters of one thread. Events are what Linux has generic names for: its driver knows the processor. Of a kind of core that is
/// in the tables of events, misses of the TLB are the walks that the lens `pmu` counts.
struct ThreadCounters {
    thread: ThreadId,
    /// The counts when this thread's part of the measurement ended, which stand for it from then on.
    at_end_of_part: Option<PerfSnapshot>,
    group: Group,
    counters: Vec<(&'static str, Counter)>,
    left_out: BTreeMap<&'static str, String>,
}

/// All of them, of one guest.
#[derive(Default)]
struct PerfWatch {
    threads: Mutex<Vec<ThreadCounters>>,
    /// The first thread's failure is that of all; found out while files may still be opened.
    failure: Mutex<Option<Failure>>,
    marks: Mutex<Marks>,
}

/// The counts at both marks.
#[derive(Debug, Default)]
struct Marks {
    begin: Option<PerfSnapshot>,
    end: Option<PerfSnapshot>,
}

/// Why a thread's counters cannot be read.
#[derive(Debug)]
enum Failure {
    /// What Linux says, with its setting of perf_event_paranoid.
    Linux(io::Error, Option<i32>),
    /// The thread may run on several kinds of cores.
    Cores(String),
}

/// The counts at a mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PerfSnapshot {
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

impl Probe for PerfWatch {
    /// Opens the counters of the calling thread, before it enters the guest for the first time.
    fn thread_begins(&self) {
        let kinds = cores::probe();
        let opened = match this_threads_kind(&kinds) {
            Ok(kind) => ThreadCounters::open(kind).map_err(|error| Failure::Linux(error, paranoid())),
            Err(reason) => Err(Failure::Cores(reason)),
        };
        match opened {
            Ok(counters) => self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(counters),
            Err(error) => self.fail(error),
        }
    }

    fn mark(&self, mark: Mark) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        match mark {
            Mark::Begin => marks.begin = Some(self.snapshot()),
            Mark::EndOfPart => self.end_part(),
            Mark::End => marks.end = Some(self.snapshot()),
        }
    }
}

impl PerfWatch {
    /// Keeps the counts of the calling thread as they are now.
    fn end_part(&self) {
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

    fn fail(&self, failure: Failure) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
    }

    /// The counts now. The calling thread is not in the guest; others may be.
    fn snapshot(&self) -> PerfSnapshot {
        let mut sum = PerfSnapshot::default();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            if let Err(error) = thread.add_to(&mut sum) {
                self.fail(Failure::Linux(error, None));
            }
        }
        sum
    }

    /// What was counted between the marks.
    fn counted(self, round_trips: u64) -> Reading<PerfResult> {
        if let Some(failure) = self.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return absent(failure);
        }
        let threads = self.threads.into_inner().unwrap_or_else(PoisonError::into_inner);
        let left_out = threads.into_iter().next().map(|thread| thread.left_out).unwrap_or_default();
        let marks = self.marks.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (marks.begin, marks.end) {
            (Some(begin), Some(end)) if round_trips > 0 => difference(&begin, &end, round_trips, left_out),
            _ => Reading::absent("the case did not come to its second mark"),
        }
    }
}

impl Watch for PerfWatch {
    fn finish(self: Box<Self>, run: &GuestRun) -> Reading<Value> {
        self.counted(run.round_trips).to_value()
    }
}

fn paranoid() -> Option<i32> {
    fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").ok()?.trim().parse().ok()
}

/// Why there are no counters, and what helps (Documentation/admin-guide/perf-security.rst).
fn absent(failure: Failure) -> Reading<PerfResult> {
    let (error, paranoid) = match failure {
        Failure::Linux(error, paranoid) => (error, paranoid),
        Failure::Cores(reason) => {
            return Reading::Absent { reason, remedy: Some(cores::PIN_REMEDY.to_owned()) };
        }
    };
    let remedy = match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            "sudo sysctl kernel.perf_event_paranoid=1, or give the process CAP_PERFMON"
        }
        Some(libc::EMFILE) => "raise ulimit -n",
        _ => "run on bare metal, or let the hypervisor of this host give it performance counters",
    };
    Reading::Absent { reason: explain(&error, paranoid), remedy: Some(remedy.to_owned()) }
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
    fn open(kind: Option<&CoreKind>) -> io::Result<ThreadCounters> {
        let times = ReadFormat::TOTAL_TIME_ENABLED | ReadFormat::TOTAL_TIME_RUNNING;
        // The leader counts cycles: without them nothing else is worth counting.
        let mut leader = counter_on(kind, Hardware::CPU_CYCLES);
        let mut group = leader.read_format(times | ReadFormat::GROUP | ReadFormat::ID).build_group()?;
        let mut counters = Vec::new();
        let mut left_out = BTreeMap::new();
        let table = kind.and_then(event_table);
        let misses = |which, walks| match (kind, table.and_then(|table| table.selector(walks))) {
            (Some(kind), Some(selector)) => own_counter_of(kind, selector),
            _ => {
                let event = Cache { which, operation: CacheOp::READ, result: CacheResult::MISS };
                counter_on(kind, event)
            }
        };
        let others = [
            ("instructions", counter_on(kind, Hardware::INSTRUCTIONS)),
            ("dtlb_load_misses", misses(CacheId::DTLB, TlbEvent::DtlbLoadWalks)),
            ("itlb_load_misses", misses(CacheId::ITLB, TlbEvent::ItlbWalks)),
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

/// The kind of core that the calling thread runs on, where cores differ.
fn this_threads_kind(kinds: &[CoreKind]) -> Result<Option<&CoreKind>, String> {
    let cpus = if kinds.is_empty() { Vec::new() } else { machine::allowed_cpus().unwrap_or_default() };
    cores::kind_of(kinds, &cpus)
}

/// The events of a kind of core of this host's processor.
fn event_table(kind: &CoreKind) -> Option<&'static EventTable> {
    let cpuid = raw_cpuid::CpuId::new();
    let features = cpuid.get_feature_info()?;
    for_core(kind.name, features.family_id().into(), features.model_id().into())
}

/// As [`guest_counter`], for a generic event of one kind of core: the number of its PMU is in the upper half of the configuration
/// (Linux, include/uapi/linux/perf_event.h, PERF_PMU_TYPE_SHIFT).
fn counter_on(kind: Option<&CoreKind>, event: impl Event) -> Builder<'static> {
    const PMU_TYPE_SHIFT: u32 = 32;
    let mut builder = guest_counter(event);
    if let Some(kind) = kind {
        builder.attrs_mut().config |= u64::from(kind.perf_type) << PMU_TYPE_SHIFT;
    }
    builder
}

/// As [`guest_counter`], for an event of the PMU of one kind of core.
fn own_counter_of(kind: &CoreKind, selector: Selector) -> Builder<'static> {
    let mut builder = guest_counter(Raw::new(selector.0));
    builder.attrs_mut().type_ = kind.perf_type;
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
            let Reading::Absent { remedy, .. } =
                absent(Failure::Linux(io::Error::from_raw_os_error(errno), Some(2)))
            else {
                panic!("there is no count")
            };
            assert!(remedy.unwrap().contains(expected));
        }
    }

    #[test]
    fn a_thread_that_is_not_pinned_to_one_kind_of_core_says_so() {
        let Reading::Absent { reason, remedy } = absent(Failure::Cores("several kinds".to_owned())) else {
            panic!("there is no count")
        };
        assert!(reason.contains("several kinds") && remedy.unwrap().contains("--pin"));
    }

    #[test]
    fn events_of_a_hybrid_processor_name_the_pmu_of_their_core() {
        let atom = CoreKind { name: "cpu_atom", perf_type: 10, cpus: vec![4] };
        let attributes = |builder: Builder<'_>| (builder.attrs().type_, builder.attrs().config);
        let plain = attributes(counter_on(None, Hardware::INSTRUCTIONS));
        assert_eq!(plain, attributes(guest_counter(Hardware::INSTRUCTIONS)));
        let (kind, config) = attributes(counter_on(Some(&atom), Hardware::INSTRUCTIONS));
        assert_eq!((kind, config), (plain.0, plain.1 | 10 << 32));
        assert_eq!(attributes(own_counter_of(&atom, Selector(0x0e08))), (10, 0x0e08));
    }
}
