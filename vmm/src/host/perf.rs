//! Whether Linux lets this user count hardware events of a guest.

use std::io;

use perf_event::Builder;
use perf_event::events::{Event, Hardware};

use crate::host::fact::Fact;
use crate::host::system::SystemFacts;

/// Opens a cycle counter for guests that the calling thread runs, and closes it again.
pub(crate) fn probe(system: &SystemFacts) -> Fact<String> {
    match guest_counter(Hardware::CPU_CYCLES).build() {
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

/// Counts the calling thread, in guests only, at all of the guest's privilege levels: for Linux, a guest's ring 0 is
/// "kernel", too.
pub(crate) fn guest_counter(event: impl Event) -> Builder<'static> {
    let mut builder = Builder::new(event);
    builder
        .observe_self()
        .any_cpu()
        .exclude_host(true)
        .exclude_guest(false)
        .exclude_kernel(false)
        .enabled(false);
    builder
}
