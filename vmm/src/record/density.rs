//! Many guests at once: the process of each, and all of them together.

use serde::{Deserialize, Serialize};

use super::quota::Quota;
use crate::statistics::at_once::NotAtOnce;

/// Memory of one process, bytes. PSS: each page divided by the number of processes that map it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryFigures {
    /// Guest memory that is there: what the guest, and the VMM for it, have touched.
    pub guest_rss_bytes: u64,
    /// Of that, what is not shared with other guests, shared pages in proportion.
    pub guest_pss_bytes: u64,
    /// Guest memory in huge pages.
    pub guest_huge_bytes: u64,
    /// Everything else: the price of the guest's process beyond its guest.
    pub overhead_pss_bytes: u64,
    /// The same with shared pages in full.
    pub overhead_rss_bytes: u64,
    /// The host's page tables for the process; no part of any PSS.
    pub page_table_bytes: u64,
}

/// What the cgroup of a guest counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CgroupUse {
    /// Its quota.
    #[serde(flatten)]
    pub quota: Quota,
    /// CPU time, µs.
    pub usage_us: u64,
    /// Periods at whose end it had used its quota up.
    pub throttled_periods: u64,
    /// Time that it had to wait for its next quota, µs, summed over CPUs.
    pub throttled_us: u64,
}

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
    /// When it passed its first mark, ns of the clock that all guests share (CLOCK_MONOTONIC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at_ns: Option<u64>,
    /// Until when it called, on the same clock: behind its second mark it went on until all guests had measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called_until_ns: Option<u64>,
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
    /// Share of the longest measured part in which all of them called, before their second marks or behind; of the launch with the
    /// least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<f64>,
    /// Round trips that all guests together made while all of them measured, over all launches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trips_at_once: Option<f64>,
    /// These per second of the time in which all measured, mean over launches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trips_per_second: Option<f64>,
    /// Jain's index of what each guest did then: 1 when all did the same, 1/n when one did all; of the least fair launch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fairness: Option<f64>,
    /// What the fastest guest did then by what the slowest one did; of the least fair launch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fastest_to_slowest: Option<f64>,
    /// Why these four are absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_at_once: Option<NotAtOnce>,
    /// Samples were missing, so round trips were taken to lie evenly between a guest's marks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lie_evenly: bool,
    /// CPUs of the host that the guests kept busy from the first one's beginning to the last one's end, mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_cpus: Option<f64>,
    /// Share of the time in which vCPUs wanted to run that they had no CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steal: Option<f64>,
}
