//! Limits that the host puts on this process.

use libc::{RLIMIT_NOFILE, rlimit};

/// Open files of one vCPU: itself, its statistics, and the schedule of its thread.
const FILES_PER_VCPU: u64 = 3;

/// Open files of everything else.
const FILES_OF_PROCESS: u64 = 128;

/// Raises the soft limit of open files towards the hard one, when so many vCPUs need it. Where that does not suffice,
/// creating a vCPU fails with a message that names the limit.
pub(crate) fn allow_open_files(vcpus: u32) {
    let needed = u64::from(vcpus) * FILES_PER_VCPU + FILES_OF_PROCESS;
    let mut limit = rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: The kernel writes to `limit`, which is ours.
    let known = unsafe { libc::getrlimit(RLIMIT_NOFILE, &mut limit) } == 0;
    if !known || limit.rlim_cur >= needed {
        return;
    }
    // Several guests may run in this process at once: all that the hard limit gives.
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: The kernel reads `limit`, which is ours.
    unsafe { libc::setrlimit(RLIMIT_NOFILE, &limit) };
}
