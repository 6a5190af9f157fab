//! Slots of the kernel's half: which are free.

use core::cell::Cell;

use abi::address::{REGION_SIZE, SLOT_BASE, SLOT_COUNT};

use crate::memory::{Memory, OutOfMemory};

/// The free slots: a list of those given back, last in first out, and behind it all that were never taken. Taking and
/// giving back cost the same few instructions however many there are.
pub struct FreeSlots {
    given_back: &'static [Cell<u16>],
    given_back_count: Cell<u32>,
    never_taken: Cell<u32>,
}

const _: () = assert!(SLOT_COUNT <= 1 << 16);

impl FreeSlots {
    /// The first `count` slots, all of them free.
    pub fn make(count: usize, memory: &Memory) -> Result<FreeSlots, OutOfMemory> {
        memory.zeroed(count).map(FreeSlots::new)
    }

    /// As many slots as `given_back` has room for entries, all of them free.
    fn new(given_back: &'static [Cell<u16>]) -> FreeSlots {
        FreeSlots { given_back, given_back_count: Cell::new(0), never_taken: Cell::new(0) }
    }

    /// Takes a free slot and returns its base address.
    pub fn take(&self) -> Option<u64> {
        let index = match self.given_back_count.get().checked_sub(1) {
            Some(last) => {
                self.given_back_count.set(last);
                u32::from(self.given_back[last as usize].get())
            }
            None => {
                let index = self.never_taken.get();
                if index as usize == self.given_back.len() {
                    return None;
                }
                self.never_taken.set(index + 1);
                index
            }
        };
        Some(SLOT_BASE + u64::from(index) * REGION_SIZE)
    }

    /// Gives the slot at address `base` back.
    pub fn give_back(&self, base: u64) {
        let index = (base - SLOT_BASE) / REGION_SIZE;
        let count = self.given_back_count.get();
        self.given_back[count as usize].set(index as u16);
        self.given_back_count.set(count + 1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn free_slots() -> FreeSlots {
        FreeSlots::new(vec![Cell::new(0); SLOT_COUNT].leak())
    }

    #[test]
    fn every_slot_can_be_taken_once() {
        let slots = free_slots();
        let taken: BTreeSet<u64> = std::iter::from_fn(|| slots.take()).collect();
        assert_eq!(taken.len(), SLOT_COUNT);
        assert_eq!(taken.first(), Some(&SLOT_BASE));
        assert_eq!(taken.last(), Some(&(SLOT_BASE + (SLOT_COUNT as u64 - 1) * REGION_SIZE)));
        slots.give_back(SLOT_BASE + 5 * REGION_SIZE);
        assert_eq!(slots.take(), Some(SLOT_BASE + 5 * REGION_SIZE));
        assert_eq!(slots.take(), None);
    }

    proptest! {
        /// No slot is taken twice, none is lost, and exactly when all are taken there is none.
        #[test]
        fn no_slot_is_taken_twice(count in 1_usize..40, take in proptest::collection::vec(any::<(bool, usize)>(), 0..300)) {
            let slots = FreeSlots::new(vec![Cell::new(0); count].leak());
            let mut taken: Vec<u64> = Vec::new();
            for (take, which) in take {
                if take || taken.is_empty() {
                    let Some(base) = slots.take() else {
                        prop_assert_eq!(taken.len(), count);
                        continue;
                    };
                    prop_assert!(!taken.contains(&base));
                    prop_assert_eq!(base % REGION_SIZE, 0);
                    taken.push(base);
                } else {
                    slots.give_back(taken.swap_remove(which % taken.len()));
                }
            }
        }
    }
}
