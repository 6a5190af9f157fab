//! A second thread that calls all the while, and what it sees.

use rt::atomic::{AtomicU64, Ordering};
use rt::call::OtherCalls;
use rt::clock::now;
use rt::{Message, call, yield_now};

/// What the calling thread tells the driving one. Both run on one CPU, and each number has one writer at a time.
pub struct Load {
    answered: AtomicU64,
    failed: AtomicU64,
    longest_gap: AtomicU64,
    answered_at_begin: AtomicU64,
    answered_meanwhile: AtomicU64,
}

/// The one load of this client.
pub static LOAD: Load = Load {
    answered: AtomicU64::new(0),
    failed: AtomicU64::new(0),
    longest_gap: AtomicU64::new(0),
    answered_at_begin: AtomicU64::new(0),
    answered_meanwhile: AtomicU64::new(0),
};

impl Load {
    /// The second thread: calls handle 0 for ever, and notes the longest time from one answer to the next.
    pub fn call_all_the_while(&self) -> ! {
        let mut last = now();
        loop {
            if call(0, Message::EMPTY).is_err() {
                self.failed.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let answered = now();
            self.longest_gap.fetch_max(answered.wrapping_sub(last), Ordering::Relaxed);
            self.answered.fetch_add(1, Ordering::Relaxed);
            last = answered;
        }
    }

    /// Lets the second thread run until it has had an answer.
    pub fn wait_for_answer(&self) {
        let seen = self.answered.load(Ordering::Relaxed);
        while self.answered.load(Ordering::Relaxed) == seen {
            yield_now();
        }
    }

    /// A move begins: from here on gaps count.
    pub fn watch(&self) {
        self.longest_gap.store(0, Ordering::Relaxed);
        self.answered_at_begin.store(self.answered.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The move has ended: what was answered since [`Load::watch`] was answered meanwhile.
    pub fn moved(&self) {
        let answered = self.answered.load(Ordering::Relaxed) - self.answered_at_begin.load(Ordering::Relaxed);
        self.answered_meanwhile.fetch_add(answered, Ordering::Relaxed);
    }

    /// The longest time between two answers since [`Load::watch`], cycles.
    pub fn longest_gap(&self) -> u64 {
        self.longest_gap.load(Ordering::Relaxed)
    }

    /// Counts a call of the driving thread itself among those that were answered, or failed.
    pub fn note(&self, answered: bool) {
        let counter = if answered { &self.answered_meanwhile } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets what has been counted: the measured part begins.
    pub fn reset(&self) {
        self.failed.store(0, Ordering::Relaxed);
        self.answered_meanwhile.store(0, Ordering::Relaxed);
    }

    /// What has been counted.
    pub fn counted(&self) -> OtherCalls {
        OtherCalls {
            answered_meanwhile: self.answered_meanwhile.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}
