//! Which host CPU each vCPU thread runs on.

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

/// Words of an affinity mask: 8,192 CPUs, the most that Linux can be built for on x86-64.
const MASK_WORDS: usize = 128;

/// CPUs that this process may use, lowest first.
pub fn allowed_cpus() -> Result<Vec<usize>, MachineError> {
    let mut mask = [0u64; MASK_WORDS];
    // SAFETY: The kernel writes at most the given number of bytes to `mask`; 0 means the calling thread.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&mask), mask.as_mut_ptr().cast()) };
    if result != 0 {
        return Err(host("tell which CPUs this process may use")(io::Error::last_os_error()));
    }
    Ok((0..MASK_WORDS * 64).filter(|cpu| mask[cpu / 64] & (1 << (cpu % 64)) != 0).collect())
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
