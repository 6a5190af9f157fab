//! Ctrl-C: the first one stops the guest and lets what is done be written, the second one ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level;

use crate::machine::StopFlag;

/// Whether the user has asked to stop.
#[derive(Clone, Debug)]
pub(super) struct Interrupt {
    /// Stops running guests.
    pub(super) stop: StopFlag,
    raised: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens for SIGINT, SIGTERM and SIGHUP from now on. No thread waits for them: starting one is a tenth of the time
    /// that a guest takes to its first output.
    pub(super) fn listen() -> anyhow::Result<Interrupt> {
        let interrupt = Interrupt { stop: StopFlag::new()?, raised: Arc::default() };
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let listener = interrupt.clone();
            let on_signal = move || {
                if listener.raised.swap(true, Ordering::SeqCst) {
                    low_level::exit(130);
                }
                listener.stop.stop();
            };
            // SAFETY: The handler does what a signal handler may: it swaps an atomic, writes to an event, or exits at once.
            unsafe { low_level::register(signal, on_signal) }?;
        }
        Ok(interrupt)
    }

    /// Whether a signal has come.
    pub(super) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::SeqCst)
    }
}
