//! Notification bits from other CPUs, which one CPU takes: a word that is posted as long as it is not zero.
//!
//! Knows no other part of the kernel, see [`super::mailbox`].

use super::atomic::{AtomicU64, Ordering};

/// Bits on their way. All zero is none.
#[derive(Default)]
#[repr(transparent)]
pub struct Notice(AtomicU64);

impl Notice {
    /// Adds bits. True if whoever holds the word is in no mailbox: then it must be posted, by this CPU.
    #[must_use]
    pub fn add(&self, bits: u64) -> bool {
        // Release: whoever takes the bits sees what was written before them.
        bits != 0 && self.0.fetch_or(bits, Ordering::AcqRel) == 0
    }

    /// Takes all bits. Only for whoever has got it out of a mailbox: from here on it may be posted again.
    pub fn take(&self) -> u64 {
        self.0.swap(0, Ordering::AcqRel)
    }
}
