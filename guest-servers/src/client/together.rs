//! Threads that measure on several CPUs: how they begin at the same moment, and keep each other company to the end.

use core::hint::spin_loop;

use abi::program::{client, together};
use rt::Start;
use rt::atomic::{AtomicBool, AtomicU64, Ordering};
use rt::clock::now;

use super::Failure;

/// Where the threads of this client meet.
pub struct Together {
    arrived: AtomicU64,
    has_begun: AtomicBool,
    finished: AtomicU64,
}

/// The one of this client.
pub static TOGETHER: Together =
    Together { arrived: AtomicU64::new(0), has_begun: AtomicBool::new(false), finished: AtomicU64::new(0) };

impl Together {
    /// The first mark, and when this thread is behind it. Spinning threads see it at the same moment; halted ones are woken
    /// one after the other.
    #[inline(never)]
    pub fn begin(&self, start: &Start, threads: u64) -> u64 {
        // Without a warm-up there may be servers that have not begun yet.
        rt::yield_now();
        if start.argument(client::TOGETHER) & together::SPIN == 0 {
            rt::call::measure_begin(threads);
        } else if start.thread == 0 {
            self.arrived.fetch_add(1, Ordering::AcqRel);
            while self.arrived.load(Ordering::Acquire) < threads {
                spin_loop();
            }
            rt::call::measure_begin_at_once(threads);
            self.has_begun.store(true, Ordering::Release);
        } else {
            self.arrived.fetch_add(1, Ordering::AcqRel);
            while !self.has_begun.load(Ordering::Acquire) {
                spin_loop();
            }
        }
        now()
    }

    /// This thread has measured, from `began` until now. It goes on calling until all have, if that is asked for.
    #[inline(never)]
    pub fn end(
        &self,
        start: &Start,
        threads: u64,
        began: u64,
        call: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if threads == 1 {
            return Ok(());
        }
        let keeps_calling = start.argument(client::TOGETHER) & together::KEEP_CALLING != 0;
        rt::call::part_measured(began, now(), keeps_calling);
        self.finished.fetch_add(1, Ordering::AcqRel);
        while keeps_calling && self.finished.load(Ordering::Acquire) < threads {
            call()?;
        }
        Ok(())
    }
}
