//! What a guest's process holds of the host's memory, as `/proc/PID/smaps` tells it.

use std::fs;
use std::ops::Range;

use crate::record::density::MemoryFigures;

/// Measures a process whose guest's memory lies at these addresses; `None` where the system does not tell.
pub(crate) fn measure(process: u32, guest: &[Range<u64>]) -> Option<MemoryFigures> {
    let smaps = fs::read_to_string(format!("/proc/{process}/smaps")).ok()?;
    let mut figures = parse(&smaps, guest)?;
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let tables = status.lines().find_map(|line| line.strip_prefix("VmPTE:"));
    figures.page_table_bytes = tables.and_then(kibibytes).unwrap_or(0);
    Some(figures)
}

/// Adds the mappings up (Documentation/filesystems/proc.rst, smaps).
fn parse(smaps: &str, guest: &[Range<u64>]) -> Option<MemoryFigures> {
    let mut figures = MemoryFigures::default();
    let mut is_guest = false;
    let mut seen = false;
    for line in smaps.lines() {
        if let Some(start) = mapping_start(line) {
            is_guest = guest.iter().any(|range| range.contains(&start));
            seen = true;
            continue;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        let Some(bytes) = kibibytes(value) else { continue };
        let sum = match (name, is_guest) {
            ("Rss", true) => &mut figures.guest_rss_bytes,
            ("Pss", true) => &mut figures.guest_pss_bytes,
            ("AnonHugePages", true) => &mut figures.guest_huge_bytes,
            ("Rss", false) => &mut figures.overhead_rss_bytes,
            ("Pss", false) => &mut figures.overhead_pss_bytes,
            // Pages of the host's reserve are in neither Rss nor Pss.
            ("Private_Hugetlb" | "Shared_Hugetlb", true) => {
                figures.guest_rss_bytes += bytes;
                figures.guest_pss_bytes += bytes;
                &mut figures.guest_huge_bytes
            }
            _ => continue,
        };
        *sum += bytes;
    }
    seen.then_some(figures)
}

/// First address of a mapping's first line: `7f0000000000-7f0000001000 rw-p …`.
fn mapping_start(line: &str) -> Option<u64> {
    let (range, _) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    u64::from_str_radix(end, 16).ok()?;
    u64::from_str_radix(start, 16).ok()
}

fn kibibytes(text: &str) -> Option<u64> {
    text.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0a000-55d0b000 r-xp 00000000 fe:00 32584                      /usr/bin/inkbed
Rss:                 100 kB
Pss:                  25 kB
Pss_Dirty:             0 kB
VmFlags: rd ex mr
7f000000-7f800000 rw-p 00000000 00:00 0
Rss:                4096 kB
Pss:                4096 kB
AnonHugePages:      2048 kB
7f800000-7f900000 rw-p 00000000 00:01 5                          /memfd:inkbed-programs (deleted)
Rss:                  64 kB
Pss:                   8 kB
7fa00000-7fb00000 rw-p 00000000 00:00 0
Rss:                   4 kB
Pss:                   4 kB
";

    #[test]
    fn guest_and_overhead_are_told_apart() {
        let figures = parse(SMAPS, std::slice::from_ref(&(0x7f00_0000..0x7f90_0000))).unwrap();
        let expected = MemoryFigures {
            guest_rss_bytes: 4160 << 10,
            guest_pss_bytes: 4104 << 10,
            guest_huge_bytes: 2048 << 10,
            overhead_pss_bytes: 29 << 10,
            overhead_rss_bytes: 104 << 10,
            page_table_bytes: 0,
        };
        assert_eq!(figures, expected);
        assert_eq!(parse("", &[]), None);
    }

    #[test]
    fn reserved_huge_pages_count_as_guest_memory() {
        let text = "7f000000-7f800000 rw-p 0 00:00 0\nRss: 0 kB\nPss: 0 kB\nPrivate_Hugetlb: 8192 kB\n";
        let figures = parse(text, std::slice::from_ref(&(0x7f00_0000..0x7f80_0000))).unwrap();
        assert_eq!((figures.guest_rss_bytes, figures.guest_huge_bytes), (8 << 20, 8 << 20));
    }

    #[test]
    fn this_process_can_be_measured() {
        let figures = measure(std::process::id(), &[]).unwrap();
        assert!(
            figures.overhead_pss_bytes > 0 && figures.page_table_bytes > 0 && figures.guest_rss_bytes == 0
        );
    }
}
