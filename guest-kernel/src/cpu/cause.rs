//! Why the kernel switches from thread to thread: by messages, by preemption, or because servers start, stop and move.
//!
//! The rule of the resident space says how many page tables a round trip loads. It knows messages only, so what else makes the
//! kernel switch is counted apart. The paths of IPC pay nothing for it: they count as they always have, and whoever switches
//! for another reason takes what was counted meanwhile out of their sum ([`Cpu::because_of`]).
//!
//! **Preemption** is the end of a time slice, and what it leads to: the turn that was taken from a thread is passed on, from
//! whoever blocks while running on it to whoever runs instead, until it comes back to the thread that it was taken from
//! ([`BorrowedTurn`]). A switch that hands a message over is none of that, whoever's turn it is.

use core::cell::Cell;
use core::ptr;

use super::Cpu;
use super::counters::{Counter, CounterCells};
use crate::object::thread::Thread;

/// Switches and page-table loads for one reason. Only their own CPU changes them.
#[derive(Default)]
#[repr(C)]
pub struct SwitchCells {
    switches: Counter,
    loads: Counter,
    loads_preserving_tlb: Counter,
}

/// Numbers of switches and page-table loads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switching {
    /// Switches from one thread to another.
    pub switches: u64,
    /// Loads of a page table.
    pub loads: u64,
    /// Of these, the loads that kept the TLB entries of the new PCID.
    pub loads_preserving_tlb: u64,
}

impl Switching {
    /// What is here and not there.
    #[must_use]
    pub fn without(self, other: Switching) -> Switching {
        Switching {
            switches: self.switches.wrapping_sub(other.switches),
            loads: self.loads.wrapping_sub(other.loads),
            loads_preserving_tlb: self.loads_preserving_tlb.wrapping_sub(other.loads_preserving_tlb),
        }
    }
}

impl SwitchCells {
    /// What was counted.
    pub fn get(&self) -> Switching {
        Switching {
            switches: self.switches.get(),
            loads: self.loads.get(),
            loads_preserving_tlb: self.loads_preserving_tlb.get(),
        }
    }

    fn add(&self, more: Switching) {
        self.switches.add(more.switches);
        self.loads.add(more.loads);
        self.loads_preserving_tlb.add(more.loads_preserving_tlb);
    }
}

impl CounterCells {
    /// All switches and loads but those for the two other reasons.
    pub fn by_messages(&self) -> Switching {
        self.switching().without(self.by_preemption.get()).without(self.by_lifecycle.get())
    }
}

impl Cpu {
    /// Does `act`, and counts the switches and loads in it as those of `cause`, one of this CPU's cells, unless they have been
    /// counted as such already.
    pub fn because_of<T>(&self, cause: &SwitchCells, act: impl FnOnce() -> T) -> T {
        let before = self.counters().by_messages();
        let result = act();
        cause.add(self.counters().by_messages().without(before));
        result
    }

    /// Does `act`, which starts, stops or moves servers, or ends threads, and may switch because of that.
    pub fn because_of_lifecycle<T>(&self, act: impl FnOnce() -> T) -> T {
        // Whoever has lent or borrowed a turn may be gone, or somewhere else.
        self.borrowed_turn.forget();
        self.because_of(&self.counters().by_lifecycle, act)
    }
}

/// A turn that the timer has taken from a thread, and that has not come back to it.
#[derive(Default)]
#[repr(C)]
pub struct BorrowedTurn {
    /// From whom it was taken. Both are only compared with others: the threads may be another CPU's by now.
    lender: Cell<Option<&'static Thread>>,
    /// Who has it.
    borrower: Cell<Option<&'static Thread>>,
}

impl BorrowedTurn {
    /// The timer has taken `from`'s turn and given it to `to`. If `from` had only borrowed it, that goes on.
    pub fn take(&self, from: &'static Thread, to: &'static Thread) {
        if !self.is_with(from) {
            self.lender.set(Some(from));
        }
        self.borrower.set(Some(from));
        self.pass(from, to);
    }

    /// Whether `thread` runs on it.
    pub fn is_with(&self, thread: &Thread) -> bool {
        is(&self.borrower, thread)
    }

    /// `from` has blocked, and `to` runs instead: it has the turn now, if `from` had it.
    pub fn pass(&self, from: &Thread, to: &'static Thread) {
        if is(&self.lender, to) {
            self.forget();
        } else if self.is_with(from) {
            self.borrower.set(Some(to));
        }
    }

    /// Nobody has it any more: what follows is counted afresh.
    pub fn forget(&self) {
        self.lender.set(None);
        self.borrower.set(None);
    }
}

fn is(one: &Cell<Option<&'static Thread>>, other: &Thread) -> bool {
    one.get().is_some_and(|thread| ptr::eq(thread, other))
}
