//! The operating system's own words in /proc and /sys.

use std::fs;

use serde::Serialize;

use crate::host::fact::Fact;

/// Facts about the operating system.
#[derive(Clone, Debug, Serialize)]
pub struct SystemFacts {
    /// Release of the running Linux kernel.
    pub kernel_release: Fact<String>,
    /// Memory, bytes.
    pub memory_bytes: Fact<u64>,
    /// Memory that can be had without swapping, bytes.
    pub available_memory_bytes: Fact<u64>,
    /// The clock that Linux tells the time by.
    pub clocksource: Fact<String>,
    /// Transparent huge pages: `always`, `madvise` or `never`.
    pub transparent_hugepages: Fact<String>,
    /// What unprivileged users may count.
    pub perf_event_paranoid: Fact<i32>,
    /// Whether the NMI watchdog holds a hardware counter of each CPU.
    pub nmi_watchdog: Fact<bool>,
}

impl SystemFacts {
    pub(crate) fn probe() -> SystemFacts {
        let memory = read("/proc/meminfo");
        SystemFacts {
            kernel_release: read("/proc/sys/kernel/osrelease"),
            memory_bytes: memory.clone().and_then(|text| memory_field(&text, "MemTotal:")),
            available_memory_bytes: memory.and_then(|text| memory_field(&text, "MemAvailable:")),
            clocksource: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            transparent_hugepages: read("/sys/kernel/mm/transparent_hugepage/enabled")
                .and_then(|text| chosen(&text)),
            perf_event_paranoid: read("/proc/sys/kernel/perf_event_paranoid").and_then(|text| number(&text)),
            nmi_watchdog: read("/proc/sys/kernel/nmi_watchdog").map(|text| text == "1"),
        }
    }
}

/// A file's text without the line end.
pub(crate) fn read(path: &str) -> Fact<String> {
    match fs::read_to_string(path) {
        Ok(text) => Fact::Known(text.trim().to_owned()),
        Err(error) => Fact::absent(format_args!("{path}: {error}")),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Fact<T> {
    text.parse().map_or_else(|_| Fact::absent(format_args!("{text:?} is no number")), Fact::Known)
}

/// A field of /proc/meminfo, which counts in KiB.
pub(crate) fn memory_field(text: &str, name: &str) -> Fact<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    match line.and_then(|rest| rest.trim().strip_suffix("kB")) {
        Some(kibibytes) => number::<u64>(kibibytes.trim()).map(|kibibytes| kibibytes.saturating_mul(1024)),
        None => Fact::absent(format_args!("/proc/meminfo has no {name}")),
    }
}

/// The word in brackets: `always [madvise] never`.
pub(crate) fn chosen(text: &str) -> Fact<String> {
    match text.split_once('[').and_then(|(_, rest)| rest.split_once(']')) {
        Some((word, _)) => Fact::Known(word.to_owned()),
        None => Fact::absent(format_args!("nothing is chosen in {text:?}")),
    }
}
