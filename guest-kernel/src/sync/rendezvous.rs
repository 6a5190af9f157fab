//! Having all other CPUs stand still while one changes what all of them use: page tables, placements, servers that end.
//!
//! One CPU at a time conducts. It asks the others to come ([`Rendezvous::gather`]), and each arrives once it has nothing open
//! in the kernel. Until the conductor releases them ([`Rendezvous::release`]) they own nothing: it may touch every thread,
//! queue and counter. Meanwhile it can have some of them do something for it, once or several times: forget TLB entries
//! ([`Rendezvous::have_done`]). Nobody spins: whoever waits halts until the next interrupt, and whoever makes a wait end
//! interrupts who waits.
//!
//! Rounds are numbered, so that a CPU that is slow to leave one round cannot mistake the next for it. Interrupts are not: one
//! that comes while another is pending is the same. Whoever is woken therefore looks for everything that it may be wanted for, or has
//! itself interrupted again: in the loops here an interrupt may come for a letter, a promotion or another round, and
//! [`Party::attend`] and [`crate::smp::world::stop`] look for these.

use super::atomic::{AtomicU32, Ordering};

/// A CPU, as the others see it here. What it stored before it interrupts another one, that one sees once it is interrupted.
pub trait Party: Copy {
    /// Its index.
    fn index(self) -> u32;
    /// Its seat.
    fn seat(self) -> &'static Seat;
    /// All others.
    fn others(self) -> impl Iterator<Item = Self>;
    /// The one with this index.
    fn with_index(self, index: u32) -> Option<Self>;
    /// Interrupts another one.
    fn interrupt(self, target: Self);
    /// Waits for an interrupt; one that has come since the last wait, or since interrupts were off, ends it at once.
    fn wait_for_interrupt(self);
    /// Does what others want, this file's part included. False if there was nothing.
    fn attend(self) -> bool;
    /// Does what the conductor has work for.
    fn work(self);
    /// From here on the conductor owns what is this CPU's.
    fn give_away(self);
    /// It owns it again.
    fn take_back(self);
}

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
    /// Becomes the conductor, taking part in the rounds of others until it is this CPU's turn, and waits until all others
    /// stand still.
    pub fn gather(&self, cpu: impl Party) {
        while !self.try_conduct(cpu.index()) {
            if !cpu.attend() {
                cpu.wait_for_interrupt();
            }
        }
        let round = self.begun.load(Ordering::Relaxed).wrapping_add(1);
        cpu.seat().attended.store(round, Ordering::Relaxed);
        self.missing.store(cpu.others().count() as u32, Ordering::Relaxed);
        self.begun.store(round, Ordering::Release);
        cpu.others().for_each(|other| cpu.interrupt(other));
        while self.missing.load(Ordering::Acquire) != 0 {
            cpu.wait_for_interrupt();
        }
    }

    fn try_conduct(&self, index: u32) -> bool {
        self.conductor.compare_exchange(0, index + 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// As the conductor: ends the round.
    pub fn release(&self, cpu: impl Party) {
        let round = self.begun.load(Ordering::Relaxed);
        // Nobody is there to conduct the next round before this one is released.
        self.conductor.store(0, Ordering::Relaxed);
        self.released.store(round, Ordering::Release);
        cpu.others().for_each(|other| cpu.interrupt(other));
    }

    /// As the conductor: has those of the others that `concerns` do their work, and waits until they have.
    pub fn have_done<P: Party>(&self, cpu: P, concerns: impl Fn(P) -> bool) {
        let concerned = || cpu.others().filter(|other| concerns(*other));
        self.unfinished.store(concerned().count() as u32, Ordering::Relaxed);
        for other in concerned() {
            other.seat().has_work.store(1, Ordering::Release);
            cpu.interrupt(other);
        }
        while self.unfinished.load(Ordering::Acquire) != 0 {
            cpu.wait_for_interrupt();
        }
    }

    /// Whether this CPU is asked to come.
    pub fn is_called(&self, seat: &Seat) -> bool {
        self.begun.load(Ordering::Acquire) != seat.attended.load(Ordering::Relaxed)
    }

    /// Stands still until released, if another CPU wants that. False if none does. If one calls meanwhile, that has to wait until
    /// this CPU has left the kernel for a thread of its own, however often others call; its interrupt may have been the same as
    /// that of the release, so it comes again.
    pub fn stand_still_if_called(&self, cpu: impl Party) -> bool {
        if !self.is_called(cpu.seat()) {
            return false;
        }
        self.stand_still(cpu);
        if self.is_called(cpu.seat()) {
            cpu.interrupt(cpu);
        }
        true
    }

    fn stand_still(&self, cpu: impl Party) {
        let seat = cpu.seat();
        // If the round is over by then, a spare interrupt goes to the conductor of the next one, or to nobody.
        let interrupt_conductor = || {
            let conductor = self.conductor.load(Ordering::Relaxed).wrapping_sub(1);
            if let Some(conductor) = cpu.with_index(conductor) {
                cpu.interrupt(conductor);
            }
        };
        cpu.give_away();
        let round = self.begun.load(Ordering::Acquire);
        seat.attended.store(round, Ordering::Relaxed);
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            interrupt_conductor();
        }
        while self.released.load(Ordering::Acquire) != round {
            if seat.has_work.load(Ordering::Relaxed) != 0 && seat.has_work.swap(0, Ordering::Acquire) != 0 {
                cpu.work();
                if self.unfinished.fetch_sub(1, Ordering::AcqRel) == 1 {
                    interrupt_conductor();
                }
            } else {
                cpu.wait_for_interrupt();
            }
        }
        cpu.take_back();
    }
}
