//! Slots of the region of small spaces: which are free. One list for each size; a slot is split when all smaller ones that would
//! do are taken, and two halves are merged as soon as both are free (the buddy system). Taking and giving back cost a few
//! steps for each size, however many slots there are.

use core::cell::Cell;

use abi::address::{SMALL_BASE, SMALL_SIZE, SMALL_SLOT_SIZES};

use super::{Memory, OutOfMemory};

/// Slots of the smallest size.
const UNIT_COUNT: usize = (SMALL_SIZE / SMALL_SLOT_SIZES[0]) as usize;

/// Number of sizes; the size with index n is that of `1 << n` units.
const SIZE_COUNT: usize = SMALL_SLOT_SIZES.len();

/// No unit: the end of a list.
const NONE: u16 = u16::MAX;

/// The first unit of a free slot, in the list of its size.
#[derive(Clone, Copy)]
struct Node {
    /// Index of the slot's size; [`NONE`] if no free slot begins here.
    size: u16,
    next: u16,
    previous: u16,
}

/// The free slots.
pub struct SmallSlots {
    nodes: &'static [Cell<Node>],
    /// The first unit of the first free slot of each size.
    first: [Cell<u16>; SIZE_COUNT],
}

/// Index of the smallest size that holds `bytes`.
fn size_index(bytes: u64) -> Option<usize> {
    SMALL_SLOT_SIZES.iter().position(|size| *size >= bytes)
}

/// Bytes of the smallest slot that holds `bytes`, if there are such large ones.
pub fn size_for(bytes: u64) -> Option<u64> {
    size_index(bytes).map(|index| SMALL_SLOT_SIZES[index])
}

impl SmallSlots {
    /// None at all, for plans without 32-bit servers.
    pub fn none() -> SmallSlots {
        SmallSlots { nodes: &[], first: [const { Cell::new(NONE) }; SIZE_COUNT] }
    }

    /// The whole region, free.
    pub fn make(memory: &Memory) -> Result<SmallSlots, OutOfMemory> {
        let none = Node { size: NONE, next: NONE, previous: NONE };
        memory.objects(UNIT_COUNT, |_| Ok(Cell::new(none))).map(SmallSlots::whole)
    }

    /// The whole region, free, with a node for each unit, none of which is in a list yet.
    fn whole(nodes: &'static [Cell<Node>]) -> SmallSlots {
        let slots = SmallSlots { nodes, ..SmallSlots::none() };
        let largest = SIZE_COUNT - 1;
        for unit in (0..UNIT_COUNT).step_by(1 << largest).rev() {
            slots.push(unit, largest);
        }
        slots
    }

    /// Takes a slot of `size` bytes, one of [`SMALL_SLOT_SIZES`], and returns its base address.
    pub fn take(&self, size: u64) -> Option<u64> {
        let wanted = size_index(size)?;
        let found = (wanted..SIZE_COUNT).find(|index| self.first[*index].get() != NONE)?;
        let unit = usize::from(self.first[found].get());
        self.remove(unit);
        for half in (wanted..found).rev() {
            self.push(unit + (1 << half), half);
        }
        Some(SMALL_BASE + unit as u64 * SMALL_SLOT_SIZES[0])
    }

    /// Gives the slot of `size` bytes at address `base` back.
    pub fn give_back(&self, base: u64, size: u64) {
        let Some(mut index) = size_index(size) else { return };
        let mut unit = ((base - SMALL_BASE) / SMALL_SLOT_SIZES[0]) as usize;
        while index + 1 < SIZE_COUNT {
            let other = unit ^ (1 << index);
            if usize::from(self.nodes[other].get().size) != index {
                break;
            }
            self.remove(other);
            unit = unit.min(other);
            index += 1;
        }
        self.push(unit, index);
    }

    /// Puts a free slot at the head of the list of its size.
    fn push(&self, unit: usize, size: usize) {
        let next = self.first[size].replace(unit as u16);
        self.nodes[unit].set(Node { size: size as u16, next, previous: NONE });
        if next != NONE {
            self.change(next, |node| node.previous = unit as u16);
        }
    }

    /// Takes a free slot out of the list of its size.
    fn remove(&self, unit: usize) {
        let node = self.nodes[unit].get();
        if node.previous == NONE {
            self.first[usize::from(node.size)].set(node.next);
        } else {
            self.change(node.previous, |previous| previous.next = node.next);
        }
        if node.next != NONE {
            self.change(node.next, |next| next.previous = node.previous);
        }
        self.nodes[unit].set(Node { size: NONE, ..node });
    }

    fn change(&self, unit: u16, change: impl FnOnce(&mut Node)) {
        let cell = &self.nodes[usize::from(unit)];
        let mut node = cell.get();
        change(&mut node);
        cell.set(node);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LARGEST: u64 = SMALL_SLOT_SIZES[SIZE_COUNT - 1];

    fn free_slots() -> SmallSlots {
        let none = Node { size: NONE, next: NONE, previous: NONE };
        SmallSlots::whole(vec![Cell::new(none); UNIT_COUNT].leak())
    }

    #[test]
    fn a_plan_without_32_bit_servers_has_none() {
        for size in SMALL_SLOT_SIZES {
            assert_eq!(SmallSlots::none().take(size), None);
        }
    }

    /// How many slots of the largest size can be taken; they are given back.
    fn largest_free(slots: &SmallSlots) -> usize {
        let taken: Vec<u64> = std::iter::from_fn(|| slots.take(LARGEST)).collect();
        taken.iter().for_each(|base| slots.give_back(*base, LARGEST));
        taken.len()
    }

    #[test]
    fn the_region_is_made_of_slots_of_any_one_size() {
        for size in SMALL_SLOT_SIZES {
            let slots = free_slots();
            let mut taken: Vec<u64> = std::iter::from_fn(|| slots.take(size)).collect();
            taken.sort_unstable();
            let expected: Vec<u64> = (0..SMALL_SIZE / size).map(|index| SMALL_BASE + index * size).collect();
            assert_eq!(taken, expected);
        }
        assert_eq!(free_slots().take(LARGEST + 1), None);
    }

    #[test]
    fn the_smallest_size_that_holds_it_is_found() {
        assert_eq!(size_for(1), Some(2 << 20));
        assert_eq!(size_for(2 << 20), Some(2 << 20));
        assert_eq!(size_for((2 << 20) + 1), Some(4 << 20));
        assert_eq!(size_for(LARGEST), Some(LARGEST));
        assert_eq!(size_for(LARGEST + 1), None);
    }

    proptest! {
        /// Slots are aligned to their size and never overlap. One is refused only if every place for it is touched by a slot that
        /// is taken: free halves have been merged. When all are given back, the region is whole again.
        #[test]
        fn slots_are_split_and_merged_without_loss(
            steps in proptest::collection::vec((any::<bool>(), 0..SIZE_COUNT, any::<usize>()), 0..400),
        ) {
            let slots = free_slots();
            let mut taken: Vec<(u64, u64)> = Vec::new();
            let overlaps = |taken: &[(u64, u64)], base: u64, size: u64| {
                taken.iter().any(|(other, bytes)| base < other + bytes && *other < base + size)
            };
            for (take, size, which) in steps {
                let size = SMALL_SLOT_SIZES[size];
                if take || taken.is_empty() {
                    match slots.take(size) {
                        Some(base) => {
                            prop_assert_eq!(base % size, 0);
                            prop_assert!(base >= SMALL_BASE && base + size <= SMALL_BASE + SMALL_SIZE);
                            prop_assert!(!overlaps(&taken, base, size));
                            taken.push((base, size));
                        }
                        None => {
                            let mut places = (0..SMALL_SIZE / size).map(|index| SMALL_BASE + index * size);
                            prop_assert!(places.all(|base| overlaps(&taken, base, size)));
                        }
                    }
                } else {
                    let (base, size) = taken.swap_remove(which % taken.len());
                    slots.give_back(base, size);
                }
            }
            for (base, size) in taken {
                slots.give_back(base, size);
            }
            prop_assert_eq!(largest_free(&slots) as u64, SMALL_SIZE / LARGEST);
        }
    }
}
