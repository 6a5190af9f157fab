//! Ctrl-C: the first one stops the guest and lets what is done be written, the second one ends at once.

#![expect(unsafe_code, reason = "signal handlers")]

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use libc::c_int;
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
    /// Listens for SIGINT, SIGTERM and SIGHUP from now on, but for those that this process was started to ignore. No thread waits for them: starting one is a tenth of the time
    /// that a guest takes to its first output.
    pub(super) fn listen() -> anyhow::Result<Interrupt> {
        let interrupt = Interrupt { stop: StopFlag::new()?, raised: Arc::default() };
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            if is_ignored(signal) {
                continue;
            }
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

/// Whether the one who started this process wants it to ignore the signal, as `nohup` does with SIGHUP and a shell's
/// script with SIGINT of what it starts in the background.
fn is_ignored(signal: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: Without a new action the call only writes the present one, to a place that is large enough.
    let result = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: All zeros are a valid value of this plain structure, too.
    let action = unsafe { action.assume_init() };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}
