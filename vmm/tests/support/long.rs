//! What tests with random guests share: how long they run, and how much memory they may take.

/// Most memory that a test process may ever have had, bytes: all its guests at once may touch all of theirs.
pub(crate) const MEMORY_MAX: u64 = 1 << 30;

/// The number in an environment variable.
pub(crate) fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Most memory that this process has had, bytes.
pub(crate) fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
