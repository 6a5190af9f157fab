//! Limits that the host puts on this process.

#![expect(unsafe_code, reason = "system calls")]

use libc::{RLIMIT_NOFILE, rlimit};

/// Open files of one vCPU: itself, its statistics, and the schedule of its thread. A guest in a process of its own takes
/// this one fewer: its socket, and what it writes to standard error.
const FILES_OF_EACH: u64 = 3;

/// Open files of everything else.
const FILES_OF_PROCESS: u64 = 128;

/// Raises the soft limit of open files towards the hard one, when so many vCPUs, or guests with processes of their
/// own, need it. Where that does not suffice, creating a vCPU or starting a guest fails with a message.
pub(crate) fn allow_open_files(count: u32) {
    let needed = u64::from(count) * FILES_OF_EACH + FILES_OF_PROCESS;
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
