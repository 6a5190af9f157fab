//! How far apart the threads of one guest began and ended their measured parts.

use abi::report::CpuReport;
use serde::{Deserialize, Serialize};

use crate::statistics::rounded;

/// The measured parts of the threads of one guest, by the guest's time-stamp counter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TogetherRecord {
    /// Threads that measured.
    pub threads: u64,
    /// Ticks from the first one's begin to the last one's.
    pub start_spread_ticks: u64,
    /// The same, ns, where the counter's frequency is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_spread_ns: Option<u64>,
    /// Share of the time from the first one's begin to the last one's end in which all of them measured.
    pub overlap: f64,
}

/// That of a guest whose CPUs report this; `None` where one thread measured, or where the guest contradicts itself.
pub fn together(cpus: &[CpuReport], tsc_hz: u64) -> Option<TogetherRecord> {
    let parts = cpus.iter().filter(|cpu| cpu.part_ended_tsc != 0);
    let parts: Vec<(u64, u64)> = parts.map(|cpu| (cpu.part_began_tsc, cpu.part_ended_tsc)).collect();
    let first_begin = parts.iter().map(|part| part.0).min()?;
    let last_begin = parts.iter().map(|part| part.0).max()?;
    let first_end = parts.iter().map(|part| part.1).min()?;
    let last_end = parts.iter().map(|part| part.1).max()?;
    if parts.len() < 2 || parts.iter().any(|(began, ended)| ended <= began) {
        return None;
    }
    let start_spread_ticks = last_begin - first_begin;
    let ns = |ticks: u64| (u128::from(ticks) * 1_000_000_000 / u128::from(tsc_hz)) as u64;
    let all = last_end - first_begin;
    Some(TogetherRecord {
        threads: parts.len() as u64,
        start_spread_ticks,
        start_spread_ns: (tsc_hz > 0).then(|| ns(start_spread_ticks)),
        overlap: rounded(first_end.saturating_sub(last_begin) as f64 / all as f64, 3),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(part_began_tsc: u64, part_ended_tsc: u64) -> CpuReport {
        CpuReport { part_began_tsc, part_ended_tsc, ..CpuReport::default() }
    }

    #[test]
    fn spread_and_overlap_are_those_of_all_that_measured() {
        let record = together(&[cpu(100, 300), cpu(150, 400), cpu(0, 0)], 1_000_000_000).unwrap();
        assert_eq!((record.threads, record.start_spread_ticks, record.start_spread_ns), (2, 50, Some(50)));
        assert_eq!(record.overlap, 0.5);
    }

    #[test]
    fn parts_that_never_overlap_say_so() {
        assert_eq!(together(&[cpu(100, 200), cpu(300, 400)], 0).unwrap().overlap, 0.0);
    }

    #[test]
    fn one_thread_or_nonsense_has_no_record() {
        assert_eq!(together(&[], 1), None);
        assert_eq!(together(&[cpu(1, 2)], 1), None);
        assert_eq!(together(&[cpu(9, 2), cpu(1, 2)], 1), None);
        let extreme = together(&[cpu(0, u64::MAX), cpu(1, u64::MAX)], 1);
        assert_eq!(extreme.map(|record| record.overlap), Some(1.0));
    }
}
