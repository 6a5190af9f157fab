//! The handle by which somebody else stops a running guest.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

use crate::machine::error::{MachineError, host};

/// Stops every guest that runs under it, and every one that is started under it later. Clones are the same flag.
#[derive(Clone, Debug)]
pub struct StopFlag {
    // Written once and never read: it stays readable for all who wait on it.
    event: Arc<EventFd>,
    is_raised: Arc<AtomicBool>,
}

impl StopFlag {
    /// A flag that nobody has raised.
    pub fn new() -> Result<StopFlag, MachineError> {
        Ok(StopFlag { event: Arc::new(new_event()?), is_raised: Arc::default() })
    }

    /// Raises the flag. Running guests stop at once. May be called from a signal handler.
    pub fn stop(&self) {
        self.is_raised.store(true, Ordering::Release);
        // Can only fail when the counter is full, and then the flag is up.
        let _ = self.event.write(1);
    }

    /// Whether somebody has raised it.
    pub(crate) fn is_raised(&self) -> bool {
        self.is_raised.load(Ordering::Acquire)
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}

/// An event that one thread raises and another waits for.
pub(crate) fn new_event() -> Result<EventFd, MachineError> {
    EventFd::new(EFD_CLOEXEC | EFD_NONBLOCK).map_err(host("create an event"))
}
