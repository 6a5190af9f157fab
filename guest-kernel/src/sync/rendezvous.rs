//! Stopping all other CPUs while one changes what all of them use: page tables, placements, servers that end.
//!
//! One CPU at a time leads. It calls the others ([`Rendezvous::gather`]), and each stops once it has nothing open in the kernel.
//! Until the leader releases them ([`Rendezvous::release`]) they own nothing: it may touch every thread, queue and counter.
//! Meanwhile it can have some of them do something for it, once or several times: forget TLB entries ([`Rendezvous::have_done`]).
//! Nobody spins: whoever waits halts until the next interrupt, and whoever makes a wait end interrupts who waits.
//!
//! Rounds are numbered, so that a CPU that is slow to leave one round cannot mistake the next for it. Interrupts are not: one
//! that comes while another is pending is the same. Whoever is woken therefore looks for everything that it may be wanted for, or has
//! itself interrupted again: in the loops here an interrupt may come for a thread that has arrived, a promotion or another round,
//! and whoever calls [`Rendezvous::gather`] looks for these afterwards.

use super::atomic::{AtomicU32, Ordering};

/// A CPU that takes part. What it stored before it interrupts another one, that one sees once it is interrupted.
pub trait Participant: Copy {
    /// Another CPU, as this one sees it.
    type Peer: Copy;
    /// Its index.
    fn index(self) -> u32;
    /// What it remembers.
    fn attendance(&self) -> &Attendance;
    /// All others.
    fn peers(self) -> impl Iterator<Item = Self::Peer>;
    /// The one with this index, this one included.
    fn peer(self, index: u32) -> Option<Self::Peer>;
    /// What another one is asked.
    fn attendance_of(peer: &Self::Peer) -> &Attendance;
    /// Interrupts another one.
    fn interrupt(self, peer: Self::Peer);
    /// Interrupts itself.
    fn interrupt_self(self);
    /// Waits for an interrupt; one that has come since the last wait, or since interrupts were off, ends it at once.
    fn wait_for_interrupt(self);
    /// Takes part in the round of another one ([`Rendezvous::stop_if_called`]). False if there was none.
    fn stop_if_called(self) -> bool;
    /// Does what the leader has work for.
    fn work(self);
    /// From here on the leader owns what is this CPU's.
    fn give_away(self);
    /// It owns it again.
    fn take_back(self);
}

/// What all CPUs share. All zero is the state at boot.
#[derive(Default)]
pub struct Rendezvous {
    /// Index of the leading CPU plus 1; 0 for nobody.
    leader: AtomicU32,
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
pub struct Attendance {
    /// The last round that this CPU took part in, or led.
    attended: AtomicU32,
    /// Whether the leader has work for this CPU.
    has_work: AtomicU32,
}

impl Rendezvous {
    /// Becomes the leader, taking part in the rounds of others until it is this CPU's turn, and waits until all others
    /// have stopped.
    pub fn gather(&self, cpu: impl Participant) {
        while !self.try_lead(cpu.index()) {
            if !cpu.stop_if_called() {
                cpu.wait_for_interrupt();
            }
        }
        let round = self.begun.load(Ordering::Relaxed).wrapping_add(1);
        cpu.attendance().attended.store(round, Ordering::Relaxed);
        self.missing.store(cpu.peers().count() as u32, Ordering::Relaxed);
        self.begun.store(round, Ordering::Release);
        cpu.peers().for_each(|other| cpu.interrupt(other));
        while self.missing.load(Ordering::Acquire) != 0 {
            cpu.wait_for_interrupt();
        }
    }

    fn try_lead(&self, index: u32) -> bool {
        self.leader.compare_exchange(0, index + 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// As the leader: ends the round.
    pub fn release(&self, cpu: impl Participant) {
        let round = self.begun.load(Ordering::Relaxed);
        // Nobody is there to lead the next round before this one is released.
        self.leader.store(0, Ordering::Relaxed);
        self.released.store(round, Ordering::Release);
        cpu.peers().for_each(|other| cpu.interrupt(other));
    }

    /// As the leader: has those of the others that `concerns` do their work, and waits until they have.
    pub fn have_done<P: Participant>(&self, cpu: P, concerns: impl Fn(P::Peer) -> bool) {
        let concerned = || cpu.peers().filter(|other| concerns(*other));
        self.unfinished.store(concerned().count() as u32, Ordering::Relaxed);
        for other in concerned() {
            P::attendance_of(&other).has_work.store(1, Ordering::Release);
            cpu.interrupt(other);
        }
        while self.unfinished.load(Ordering::Acquire) != 0 {
            cpu.wait_for_interrupt();
        }
    }

    /// Whether this CPU is asked to come.
    pub fn is_called(&self, attendance: &Attendance) -> bool {
        self.begun.load(Ordering::Acquire) != attendance.attended.load(Ordering::Relaxed)
    }

    /// Stops until released, if another CPU wants that. False if none does. If one calls meanwhile, that has to wait until
    /// this CPU has left the kernel for a thread of its own, however often others call; its interrupt may have been the same as
    /// that of the release, so it comes again.
    pub fn stop_if_called(&self, cpu: impl Participant) -> bool {
        if !self.is_called(cpu.attendance()) {
            return false;
        }
        self.stop(cpu);
        if self.is_called(cpu.attendance()) {
            cpu.interrupt_self();
        }
        true
    }

    fn stop(&self, cpu: impl Participant) {
        let attendance = cpu.attendance();
        // If the round is over by then, a spare interrupt goes to the leader of the next one, or to nobody.
        let interrupt_leader = || {
            let leader = self.leader.load(Ordering::Relaxed).wrapping_sub(1);
            if let Some(leader) = cpu.peer(leader) {
                cpu.interrupt(leader);
            }
        };
        cpu.give_away();
        let round = self.begun.load(Ordering::Acquire);
        attendance.attended.store(round, Ordering::Relaxed);
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            interrupt_leader();
        }
        while self.released.load(Ordering::Acquire) != round {
            if attendance.has_work.load(Ordering::Relaxed) != 0
                && attendance.has_work.swap(0, Ordering::Acquire) != 0
            {
                cpu.work();
                if self.unfinished.fetch_sub(1, Ordering::AcqRel) == 1 {
                    interrupt_leader();
                }
            } else {
                cpu.wait_for_interrupt();
            }
        }
        cpu.take_back();
    }
}
