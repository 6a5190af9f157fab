//! Where the threads of a driver wait for each other before and after they measure.

use super::report::Measured;
use crate::object::thread::Thread;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::mailbox::Mailbox;

/// Where the driver's threads wait for each other.
#[derive(Default)]
pub struct Marks {
    waiting: Mailbox<Thread>,
    arrived: AtomicU32,
    /// Threads that measure together, as the first mark said.
    threads: AtomicU32,
    /// Round trips, and message words 0 to 2 of `MEASURE_END`, of all of them.
    sums: [AtomicU64; 4],
}

impl Marks {
    /// So many threads measure together. All of them say the same.
    pub fn set_threads(&self, threads: u32) {
        self.threads.store(threads, Ordering::Relaxed);
    }

    /// Whether the current thread, whose results are set, is the last one to come. If not it waits, and is out of reach.
    pub fn is_last(&self, thread: &'static Thread) -> bool {
        let threads = self.threads.load(Ordering::Relaxed);
        if threads <= 1 {
            return true;
        }
        thread.wait_at_mark();
        // Whether it is the first does not matter: nobody sleeps on this mailbox.
        let _ = self.waiting.post(thread);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 < threads {
            return false;
        }
        self.arrived.store(0, Ordering::Relaxed);
        true
    }

    /// Takes all that wait.
    pub fn take_waiting(&self) -> impl Iterator<Item = &'static Thread> {
        self.waiting.collect()
    }

    /// Adds what one of them has measured: round trips, and message words 0 to 2 of `MEASURE_END`.
    pub fn add(&self, measured: [u64; 4]) {
        for (sum, own) in self.sums.iter().zip(measured) {
            sum.fetch_add(own, Ordering::Relaxed);
        }
    }

    /// What all of them have measured.
    pub fn take_sums(&self, channel_count: u32) -> Measured {
        let [round_trips, sample_count, calls_answered_meanwhile, calls_failed] =
            self.sums.each_ref().map(|sum| sum.swap(0, Ordering::Relaxed));
        Measured { round_trips, channel_count, sample_count, calls_answered_meanwhile, calls_failed }
    }
}
