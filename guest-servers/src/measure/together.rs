//! Threads that measure on several CPUs: how they begin at the same moment, and keep each other company to the end.

use core::hint::spin_loop;

use abi::pace::{Pace, ticks_in};
use abi::workload::{Loop, status, together};
use rt::Start;
use rt::atomic::{AtomicBool, AtomicU64, Ordering};
use rt::clock::now;

use crate::measure::Failure;

/// Where the threads of this client meet.
pub struct Together {
    is_there: AtomicU64,
    /// The fewest round trips that one of them has found to fill the time.
    round_trips: AtomicU64,
    has_told: AtomicU64,
    arrived: AtomicU64,
    has_begun: AtomicBool,
    finished: AtomicU64,
}

/// The one of this client.
pub static TOGETHER: Together = Together {
    is_there: AtomicU64::new(0),
    round_trips: AtomicU64::new(u64::MAX),
    has_told: AtomicU64::new(0),
    arrived: AtomicU64::new(0),
    has_begun: AtomicBool::new(false),
    finished: AtomicU64::new(0),
};

impl Together {
    /// Round trips that each thread is to measure: as many as it is told, or as many as fill the time that it is told. Then all
    /// threads find out their pace while all call, and the slowest one's count is that of all.
    #[inline(never)]
    pub fn round_trips(
        &self,
        start: &Start,
        threads: u64,
        call: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let Loop { round_trips: most, measure_ns: wanted_ns, .. } = Loop::of(&start.info().arguments);
        if wanted_ns == 0 {
            return Ok(most);
        }
        let wanted = ticks_in(wanted_ns, start.info().tsc_hz);
        if wanted == 0 {
            return Err(Failure(status::BAD_ARGUMENT));
        }
        call_until_all(&self.is_there, threads, call)?;
        let pace = pace(wanted, most, call)?;
        self.round_trips.fetch_min(pace.round_trips_in(wanted, most), Ordering::AcqRel);
        call_until_all(&self.has_told, threads, call)?;
        Ok(self.round_trips.load(Ordering::Acquire))
    }

    /// The first mark, and when this thread is behind it. Spinning threads see it at the same moment; halted ones are woken
    /// one after the other.
    #[inline(never)]
    pub fn begin(&self, start: &Start, threads: u64, round_trips: u64) -> u64 {
        // Without a warm-up there may be servers that have not begun yet.
        rt::yield_now();
        if Loop::of(&start.info().arguments).together & together::SPIN == 0 {
            rt::call::measure_begin(threads, round_trips);
        } else if start.thread == 0 {
            self.arrived.fetch_add(1, Ordering::AcqRel);
            while self.arrived.load(Ordering::Acquire) < threads {
                spin_loop();
            }
            rt::call::measure_begin_at_once(threads, round_trips);
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
        let keeps_calling = Loop::of(&start.info().arguments).together & together::KEEP_CALLING != 0;
        rt::call::part_measured(began, now(), keeps_calling);
        self.finished.fetch_add(1, Ordering::AcqRel);
        while keeps_calling && self.finished.load(Ordering::Acquire) < threads {
            call()?;
        }
        Ok(())
    }

    /// Goes on calling behind the second mark, in no count and no sample, until all guests have measured, if that is asked for.
    #[inline(never)]
    pub fn wait_for_other_guests(
        &self,
        start: &Start,
        call: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if Loop::of(&start.info().arguments).together & together::UNTIL_ALL_GUESTS == 0 {
            return Ok(());
        }
        let between_looks = start.info().tsc_hz / LOOKS_PER_SECOND;
        while rt::call::others_measure() {
            let looked = now();
            call()?;
            while now().wrapping_sub(looked) < between_looks {
                call()?;
            }
        }
        Ok(())
    }
}

/// Looks in a second at whether others still measure: so seldom that calls are what the host has to do.
const LOOKS_PER_SECOND: u64 = 500;

/// Calls until so many threads have come here.
fn call_until_all(
    here: &AtomicU64,
    threads: u64,
    call: &mut dyn FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    here.fetch_add(1, Ordering::AcqRel);
    loop {
        // At least once: the first round trip is none to learn a pace from.
        call()?;
        if here.load(Ordering::Acquire) >= threads {
            return Ok(());
        }
    }
}

/// The pace of round trips, twice as many in each turn until they tell enough.
fn pace(
    wanted_ticks: u64,
    most: u64,
    call: &mut dyn FnMut() -> Result<(), Failure>,
) -> Result<Pace, Failure> {
    let mut round_trips = 1;
    loop {
        let began = now();
        for _ in 0..round_trips {
            call()?;
        }
        let pace = Pace { round_trips, ticks: now().wrapping_sub(began) };
        if pace.tells(wanted_ticks, most) {
            return Ok(pace);
        }
        round_trips *= 2;
    }
}
