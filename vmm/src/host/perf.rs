//! Whether Linux lets this user count hardware events of a guest.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::host::fact::Fact;
use crate::host::system::SystemFacts;

/// Head of `perf_event_attr` (linux/perf_event.h), the size of its first version.
#[repr(C)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    breakpoint_address: u64,
}

const _: () = assert!(size_of::<Attributes>() == 64);

/// PERF_TYPE_HARDWARE and PERF_COUNT_HW_CPU_CYCLES.
const HARDWARE: u32 = 0;
const CPU_CYCLES: u64 = 0;

/// Do not start at once; do not count outside of guests.
const DISABLED: u64 = 1 << 0;
const EXCLUDE_HOST: u64 = 1 << 19;

/// Opens a cycle counter for guests that the calling thread runs, and closes it again.
pub(crate) fn probe(system: &SystemFacts) -> Fact<String> {
    match open() {
        Ok(_counter) => Fact::Known("cpu-cycles".to_owned()),
        Err(error) => Fact::absent(explain(&error, system.perf_event_paranoid.known().copied())),
    }
}

pub(crate) fn explain(error: &io::Error, paranoid: Option<i32>) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP) => {
            format!("this host has no hardware counter for guests: {error}")
        }
        Some(libc::EACCES | libc::EPERM) => match paranoid {
            Some(level) => format!("perf_event_paranoid is {level}: {error}"),
            None => format!("not permitted: {error}"),
        },
        _ => format!("perf_event_open: {error}"),
    }
}

fn open() -> io::Result<OwnedFd> {
    let attributes = Attributes {
        kind: HARDWARE,
        size: size_of::<Attributes>() as u32,
        config: CPU_CYCLES,
        sample_period: 0,
        sample_type: 0,
        read_format: 0,
        flags: DISABLED | EXCLUDE_HOST,
        wakeup_events: 0,
        breakpoint_type: 0,
        breakpoint_address: 0,
    };
    let (this_thread, any_cpu, no_group, no_flags) = (0, -1, -1, 0);
    // SAFETY: The kernel reads `size` bytes of `attributes`; all other arguments are plain numbers.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            this_thread,
            any_cpu,
            no_group,
            no_flags,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: The kernel has just made this descriptor for us; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
