//! Which host CPU each vCPU thread runs on.

#![expect(unsafe_code, reason = "system calls")]

use std::collections::BTreeSet;
use std::io;

use crate::machine::error::{MachineError, host};
use crate::machine::guest::Pin;

/// Host CPU of each vCPU; empty when they are not pinned.
pub(crate) fn assign(pin: &Pin, vcpus: u32) -> Result<Vec<usize>, MachineError> {
    if *pin == Pin::None {
        return Ok(Vec::new());
    }
    choose(pin, vcpus, &allowed_cpus()?).map_err(MachineError::Pin)
}

fn choose(pin: &Pin, vcpus: u32, allowed: &[usize]) -> Result<Vec<usize>, String> {
    let list = match pin {
        Pin::None => return Ok(Vec::new()),
        Pin::Auto => allowed,
        Pin::List(list) => list,
    };
    if list.is_empty() {
        return Err(
            "the list of host CPUs is empty; give at least one, or leave the threads unpinned".to_owned()
        );
    }
    if let Some(cpu) = list.iter().find(|cpu| !allowed.contains(cpu)) {
        return Err(format!("this process may not use host CPU {cpu}; it may use {allowed:?}"));
    }
    Ok(list.iter().copied().cycle().take(vcpus as usize).collect())
}

/// The most CPUs that Linux can be built for on x86-64.
const CPUS_MAX: usize = 8192;

/// Words of an affinity mask.
const MASK_WORDS: usize = CPUS_MAX / 64;

/// CPUs that this process may use, lowest first.
pub fn allowed_cpus() -> Result<Vec<usize>, MachineError> {
    let mut mask = [0u64; MASK_WORDS];
    // SAFETY: The kernel writes at most the given number of bytes to `mask`; 0 means the calling thread.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&mask), mask.as_mut_ptr().cast()) };
    if result != 0 {
        return Err(host("tell which CPUs this process may use")(io::Error::last_os_error()));
    }
    Ok((0..CPUS_MAX).filter(|cpu| mask[cpu / 64] & (1 << (cpu % 64)) != 0).collect())
}

/// Number of host CPUs that the vCPU threads have: those that this process may use (its affinity mask, which the cpuset of its
/// control group limits), or those of the list.
pub fn usable_cpus(pin: &Pin) -> Result<usize, MachineError> {
    match pin {
        Pin::None | Pin::Auto => Ok(allowed_cpus()?.len()),
        Pin::List(list) => Ok(list.iter().collect::<BTreeSet<_>>().len()),
    }
}

/// CPU numbers in a list such as `0-3,5`, as Linux and its users write them; `None` where it is none.
pub fn parse_list(list: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= CPUS_MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// Pins the calling thread.
pub(crate) fn pin_this_thread(cpu: usize) -> Result<(), MachineError> {
    let mut mask = [0u64; MASK_WORDS];
    if let Some(word) = mask.get_mut(cpu / 64) {
        *word = 1 << (cpu % 64);
    }
    // SAFETY: The kernel reads at most the given number of bytes from `mask`; 0 means the calling thread.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&mask), mask.as_ptr().cast()) };
    if result != 0 {
        return Err(MachineError::Pin(format!("host CPU {cpu}: {}", io::Error::last_os_error())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vcpus_go_round_the_list() {
        assert_eq!(choose(&Pin::Auto, 5, &[1, 3]).unwrap(), [1, 3, 1, 3, 1]);
        assert_eq!(choose(&Pin::List(vec![3]), 2, &[1, 3]).unwrap(), [3, 3]);
        assert!(choose(&Pin::None, 2, &[1, 3]).unwrap().is_empty());
    }

    #[test]
    fn a_cpu_out_of_reach_is_named() {
        let error = choose(&Pin::List(vec![1, 7]), 2, &[1, 3]).unwrap_err();
        assert!(error.contains("host CPU 7"), "{error}");
        assert!(choose(&Pin::List(vec![]), 1, &[0]).is_err());
    }

    #[test]
    fn lists_are_numbers_and_ranges() {
        assert_eq!(parse_list("0-3,5"), Some(vec![0, 1, 2, 3, 5]));
        assert_eq!(parse_list(" 7 , 1-1"), Some(vec![7, 1]));
        for bad in ["", "1,", "-", "1-", "-1", "3-1", "0-8192", "0-18446744073709551615", "a"] {
            assert_eq!(parse_list(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_cpus_that_threads_may_run_on_are_usable() {
        let all = allowed_cpus().unwrap();
        assert_eq!(usable_cpus(&Pin::Auto).unwrap(), all.len());
        assert_eq!(usable_cpus(&Pin::List(vec![3, 3, 1])).unwrap(), 2, "a CPU named twice is one");
        std::thread::spawn(move || {
            pin_this_thread(all[0]).unwrap();
            assert_eq!(usable_cpus(&Pin::None).unwrap(), 1, "the affinity mask counts, not what is online");
        })
        .join()
        .unwrap();
    }

    #[test]
    fn this_process_has_a_cpu_and_can_be_pinned_to_it() {
        let cpus = allowed_cpus().unwrap();
        std::thread::spawn(move || {
            pin_this_thread(cpus[0]).unwrap();
            assert_eq!(allowed_cpus().unwrap(), [cpus[0]]);
        })
        .join()
        .unwrap();
    }
}
