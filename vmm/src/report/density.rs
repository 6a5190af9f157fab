//! What many guests at once did to each other: start-up, memory, fairness, the host's CPUs.

use std::borrow::Borrow;

use serde::{Deserialize, Serialize};

use super::launch::Launch;
use super::reduce::rounded;
use crate::guests::MemoryFigures;
use crate::guests::cgroup::CgroupUse;

/// The process of one guest among several at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// Which of the guests at once, counted from 0.
    pub guest: u32,
    /// Which of the case's launches, counted from 0.
    pub launch: u32,
    /// From the start of the process until its own code ran, ns. What it never came to is absent, here and below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entered_ns: Option<u64>,
    /// Until the guest was complete, ns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_ns: Option<u64>,
    /// Until the guest's kernel had loaded all servers, its first output, ns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ns: Option<u64>,
    /// Until the client's system call of the first mark, ns; without warm-up it is the guest's first system call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_mark_ns: Option<u64>,
    /// Memory while it waited for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryFigures>,
    /// CPU time of the process from start to end, in user mode, ns.
    pub user_ns: u64,
    /// The same in the host's kernel, the guest's own included, ns.
    pub system_ns: u64,
    /// When it began to measure, ns of the clock that all guests share (CLOCK_MONOTONIC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at_ns: Option<u64>,
    /// Between the marks: time that vCPU threads had a CPU, ns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_cpu_ns: Option<u64>,
    /// Between the marks: time that they were runnable without one, which is what the guest sees as stolen, ns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_delay_ns: Option<u64>,
    /// Round trips per second between the marks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trips_per_second: Option<f64>,
    /// Its quota and what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<CgroupUse>,
}

/// Median and greatest of one figure over guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of the guests are not above.
    pub median: u64,
    /// Of the guest with the most.
    pub max: u64,
}

/// All guests of a case together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DensityRecord {
    /// Guests at once.
    pub guests: u32,
    /// Guests, over all launches, that finished as they should.
    pub finished: u32,
    /// Guests, over all launches, that did not.
    pub failed: u32,
    /// See [`ProcessRecord::started_ns`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ns: Option<Spread>,
    /// See [`ProcessRecord::first_mark_ns`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_mark_ns: Option<Spread>,
    /// See [`MemoryFigures::guest_rss_bytes`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_rss_bytes: Option<Spread>,
    /// See [`MemoryFigures::overhead_pss_bytes`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overhead_pss_bytes: Option<Spread>,
    /// PSS of all guests at once, the guests' memory included, bytes; of the launch with the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_pss_bytes: Option<u64>,
    /// Round trips per second of all guests together, mean over launches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trips_per_second: Option<f64>,
    /// Jain's index of the guests' throughput: 1 when all had the same, 1/n when one had all; of the least fair launch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fairness: Option<f64>,
    /// Throughput of the fastest guest by that of the slowest; of the least fair launch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fastest_to_slowest: Option<f64>,
    /// Share of the time from the first guest's beginning to the last one's end in which all of them measured, mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<f64>,
    /// CPUs of the host that the guests kept busy meanwhile, mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_cpus: Option<f64>,
    /// Share of the time in which vCPUs wanted to run that they had no CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steal: Option<f64>,
}

/// The figures of one guest's process.
pub fn process_record(launch: &Launch) -> Option<ProcessRecord> {
    let process = launch.process.as_ref()?;
    let guest = &process.guest;
    let run = launch.result.as_ref().ok();
    Some(ProcessRecord {
        guest: process.index,
        launch: process.launch,
        entered_ns: guest.times.entered_ns,
        created_ns: guest.times.created_ns,
        started_ns: guest.times.started_ns,
        first_mark_ns: guest.times.ready_ns,
        memory: guest.memory,
        user_ns: guest.user_ns,
        system_ns: guest.system_ns,
        began_at_ns: guest.times.began_at_ns,
        measured_cpu_ns: run.and_then(|run| run.cpu_ns),
        run_delay_ns: run.and_then(|run| run.run_delay_ns),
        round_trips_per_second: run.and_then(|run| {
            let measured_ns = run.measured_ns.filter(|ns| *ns > 0)?;
            Some(rounded(run.round_trips as f64 * 1e9 / measured_ns as f64, 3))
        }),
        cgroup: guest.cgroup,
    })
}

/// The figures of all guests of a case; `None` where they were not processes of their own. `guests`: how many at once.
pub fn density(
    guests: Option<u32>,
    launches: &[impl Borrow<Launch>],
    succeeded: &[bool],
) -> Option<DensityRecord> {
    let guests = guests?;
    let members: Vec<Member> = launches.iter().filter_map(|launch| Member::of(launch.borrow())).collect();
    let finished = succeeded.iter().filter(|success| **success).count() as u32;
    let memory = |field: fn(&MemoryFigures) -> u64| {
        spread(members.iter().filter_map(|member| member.record.memory.as_ref().map(field)))
    };
    let groups: Vec<Vec<&Member>> = by_launch(&members);
    let together: Vec<Together> = groups.iter().filter_map(|group| Together::of(group)).collect();
    let mean = |field: fn(&Together) -> f64| {
        let sum: f64 = together.iter().map(field).sum();
        (!together.is_empty()).then(|| sum / together.len() as f64)
    };
    Some(DensityRecord {
        guests,
        finished,
        failed: launches.len() as u32 - finished,
        started_ns: spread(members.iter().filter_map(|member| member.record.started_ns)),
        first_mark_ns: spread(members.iter().filter_map(|member| member.record.first_mark_ns)),
        guest_rss_bytes: memory(|memory| memory.guest_rss_bytes),
        overhead_pss_bytes: memory(|memory| memory.overhead_pss_bytes),
        total_pss_bytes: groups.iter().filter_map(|group| total_pss(group)).max(),
        round_trips_per_second: mean(|all| all.throughput).map(|value| rounded(value, 1)),
        fairness: together
            .iter()
            .map(|all| all.fairness)
            .min_by(f64::total_cmp)
            .map(|value| rounded(value, 4)),
        fastest_to_slowest: together
            .iter()
            .map(|all| all.fastest_to_slowest)
            .max_by(f64::total_cmp)
            .map(|value| rounded(value, 3)),
        overlap: mean(|all| all.overlap).map(|value| rounded(value, 3)),
        busy_cpus: mean(|all| all.busy_cpus).map(|value| rounded(value, 3)),
        steal: steal(&members).map(|value| rounded(value, 4)),
    })
}

/// A guest with what the aggregate needs of it.
struct Member {
    record: ProcessRecord,
    measured_ns: Option<u64>,
}

impl Member {
    fn of(launch: &Launch) -> Option<Member> {
        let measured_ns = launch.result.as_ref().ok().and_then(|run| run.measured_ns);
        Some(Member { record: process_record(launch)?, measured_ns })
    }
}

fn by_launch(members: &[Member]) -> Vec<Vec<&Member>> {
    let launches = members.iter().map(|member| member.record.launch + 1).max().unwrap_or(0);
    (0..launches)
        .map(|launch| members.iter().filter(|member| member.record.launch == launch).collect())
        .collect()
}

fn total_pss(group: &[&Member]) -> Option<u64> {
    let memory = group.iter().map(|member| member.record.memory);
    let total = |memory: MemoryFigures| memory.guest_pss_bytes + memory.overhead_pss_bytes;
    memory.flatten().map(total).reduce(|sum, one| sum + one)
}

/// What the guests of one launch did at the same time: those that came to both marks.
struct Together {
    throughput: f64,
    fairness: f64,
    fastest_to_slowest: f64,
    overlap: f64,
    busy_cpus: f64,
}

impl Together {
    fn of(group: &[&Member]) -> Option<Together> {
        let rates: Vec<f64> =
            group.iter().filter_map(|member| member.record.round_trips_per_second).collect();
        let spans: Vec<(u64, u64)> = group
            .iter()
            .filter_map(|member| {
                let begin = member.record.began_at_ns?;
                Some((begin, begin.checked_add(member.measured_ns?)?))
            })
            .collect();
        let first = spans.iter().map(|(begin, _)| *begin).min()?;
        let last = spans.iter().map(|(_, end)| *end).max().filter(|last| *last > first)?;
        let all_begun = spans.iter().map(|(begin, _)| *begin).max()?;
        let none_ended = spans.iter().map(|(_, end)| *end).min()?;
        let window = (last - first) as f64;
        let cpu =
            group.iter().filter_map(|member| member.record.measured_cpu_ns).fold(0, u64::saturating_add);
        let slowest = rates.iter().copied().min_by(f64::total_cmp).filter(|rate| *rate > 0.0)?;
        let fastest = rates.iter().copied().max_by(f64::total_cmp)?;
        Some(Together {
            throughput: rates.iter().sum(),
            fairness: jain(&rates)?,
            fastest_to_slowest: fastest / slowest,
            overlap: none_ended.saturating_sub(all_begun) as f64 / window,
            busy_cpus: cpu as f64 / window,
        })
    }
}

/// Jain's fairness index (Jain, Chiu and Hawe, DEC-TR-301, 1984): (Σx)² / (n Σx²).
pub fn jain(shares: &[f64]) -> Option<f64> {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    (squares > 0.0).then(|| sum * sum / (shares.len() as f64 * squares))
}

fn steal(members: &[Member]) -> Option<f64> {
    let known: Vec<(u64, u64)> = members
        .iter()
        .filter_map(|member| member.record.measured_cpu_ns.zip(member.record.run_delay_ns))
        .collect();
    let (cpu, delay) = known.iter().fold((0, 0), |(cpu, delay), one| (cpu + one.0, delay + one.1));
    (cpu + delay > 0).then(|| delay as f64 / (cpu + delay) as f64)
}

fn spread(values: impl Iterator<Item = u64>) -> Option<Spread> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let max = *values.last()?;
    Some(Spread { median: super::statistics::quantile(&values, 50), max })
}

#[cfg(test)]
#[path = "density_tests.rs"]
mod tests;
