//! Having all other CPUs stand still while one changes what all of them use: page tables, placements, servers that end.
//!
//! One CPU at a time conducts. It asks the others to come ([`Rendezvous::begin`]), and each arrives once it has nothing open
//! in the kernel. Until the conductor releases them ([`Rendezvous::release`]) they own nothing: it may touch every thread,
//! queue and counter. Meanwhile it can have some of them do something for it, once or several times: forget TLB entries
//! ([`Rendezvous::assign`]). Nobody spins: all waiting is the caller's, who halts until the next interrupt; this file says
//! only when to wait and whom to interrupt.
//!
//! Rounds are numbered, so that a CPU that is slow to leave one round cannot mistake the next for it.

use super::sync::{AtomicU32, Ordering};

/// What all CPUs share. All zero is the state at boot.
#[derive(Default)]
pub struct Rendezvous {
    /// Index of the conducting CPU plus 1; 0 for nobody.
    conductor: AtomicU32,
    /// Number of the last round that began.
    begun: AtomicU32,
    /// Number of the last round that ended.
    released: AtomicU32,
    /// CPUs still on their way to this round.
    missing: AtomicU32,
    /// CPUs that have not done yet what they were assigned.
    unfinished: AtomicU32,
}

/// What one CPU remembers and is asked. All zero is the state at boot.
#[derive(Default)]
pub struct Seat {
    /// The last round that this CPU took part in, or conducted.
    attended: AtomicU32,
    /// Whether the conductor has work for this CPU.
    has_work: AtomicU32,
}

impl Rendezvous {
    /// Tries to become the conductor; false if another CPU is: take part in its round, then try again.
    #[must_use]
    pub fn try_conduct(&self, cpu: u32) -> bool {
        self.conductor.compare_exchange(0, cpu + 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// As the conductor: asks `others` CPUs to come. Each of them must be interrupted then.
    pub fn begin(&self, seat: &Seat, others: u32) {
        let round = self.begun.load(Ordering::Relaxed).wrapping_add(1);
        seat.attended.store(round, Ordering::Relaxed);
        self.missing.store(others, Ordering::Relaxed);
        self.begun.store(round, Ordering::Release);
    }

    /// As the conductor: whether all are there.
    pub fn all_arrived(&self) -> bool {
        self.missing.load(Ordering::Acquire) == 0
    }

    /// Whether this CPU is asked to come; then it must arrive.
    pub fn is_called(&self, seat: &Seat) -> bool {
        self.begun.load(Ordering::Acquire) != seat.attended.load(Ordering::Relaxed)
    }

    /// Arrives: from now on the conductor owns what was this CPU's. True for the last one, who must interrupt the conductor
    /// ([`Rendezvous::conductor`]).
    #[must_use]
    pub fn arrive(&self, seat: &Seat) -> bool {
        seat.attended.store(self.begun.load(Ordering::Acquire), Ordering::Relaxed);
        self.missing.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Index of the CPU that conducts the round that this CPU attends.
    pub fn conductor(&self) -> u32 {
        self.conductor.load(Ordering::Relaxed).wrapping_sub(1)
    }

    /// Whether the round that this CPU attends is over: it owns again what was its own.
    pub fn is_released(&self, seat: &Seat) -> bool {
        self.released.load(Ordering::Acquire) == seat.attended.load(Ordering::Relaxed)
    }

    /// As the conductor: gives work to the CPUs with these seats, `count` of them. Each must be interrupted then.
    pub fn assign<'a>(&self, seats: impl Iterator<Item = &'a Seat>, count: u32) {
        self.unfinished.store(count, Ordering::Relaxed);
        for seat in seats {
            seat.has_work.store(1, Ordering::Release);
        }
    }

    /// As the conductor: whether all that was assigned is done.
    pub fn all_finished(&self) -> bool {
        self.unfinished.load(Ordering::Acquire) == 0
    }

    /// Takes this CPU's work, if there is any: it must be done, and then reported.
    pub fn take_work(&self, seat: &Seat) -> bool {
        seat.has_work.load(Ordering::Relaxed) != 0 && seat.has_work.swap(0, Ordering::Acquire) != 0
    }

    /// Reports work as done. True for the last one, who must interrupt the conductor.
    #[must_use]
    pub fn finish(&self) -> bool {
        self.unfinished.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// As the conductor: ends the round. All others must be interrupted then.
    pub fn release(&self) {
        let round = self.begun.load(Ordering::Relaxed);
        self.conductor.store(0, Ordering::Release);
        self.released.store(round, Ordering::Release);
    }
}
