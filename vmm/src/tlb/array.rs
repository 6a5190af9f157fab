//! A set-associative array of anything: the one building block of TLBs and walk caches.

use crate::tlb::geometry::{Index, Shape};
use crate::tlb::replacement::{Policy, oldest};

/// Sets of ways, each free or taken.
#[derive(Clone, Debug)]
pub(crate) struct SetArray<T> {
    ways: usize,
    set_bits: u32,
    index: Index,
    slots: Vec<Option<T>>,
    /// When each slot was last used.
    stamps: Vec<u64>,
    policy: Policy,
}

impl<T> SetArray<T> {
    /// An empty array of a checked shape.
    pub(crate) fn new(shape: &Shape, seed: u64) -> SetArray<T> {
        SetArray {
            ways: shape.ways() as usize,
            set_bits: shape.sets().trailing_zeros(),
            index: shape.index,
            slots: (0..shape.entries).map(|_| None).collect(),
            stamps: vec![0; shape.entries as usize],
            policy: Policy::new(shape, seed),
        }
    }

    /// The set that `number` selects.
    fn set(&self, number: u64) -> usize {
        let mask = (1 << self.set_bits) - 1;
        let folded = match self.index {
            Index::LowBits => number,
            Index::XorFold => number ^ number >> self.set_bits,
        };
        (folded & mask) as usize
    }

    /// The slots of a set.
    fn slots_of(&self, set: usize) -> std::ops::Range<usize> {
        set * self.ways..(set + 1) * self.ways
    }

    /// Whether an entry that `matches` is in the set of `number`; it then counts as used at `now`.
    pub(crate) fn lookup(&mut self, number: u64, now: u64, matches: impl Fn(&T) -> bool) -> bool {
        let set = self.set(number);
        let found = self.slots_of(set).find(|slot| self.slots[*slot].as_ref().is_some_and(&matches));
        let Some(slot) = found else { return false };
        self.stamps[slot] = now;
        self.policy.touch(set, slot % self.ways, self.ways);
        true
    }

    /// Puts an entry into the set of `number`, in place of another one where no way is free.
    pub(crate) fn insert(&mut self, number: u64, now: u64, entry: T) {
        let set = self.set(number);
        let slots = self.slots_of(set);
        let free = self.slots[slots.clone()].iter().position(Option::is_none);
        let way = match free {
            Some(way) => way,
            None => self.policy.victim(set, &self.stamps[slots.clone()]),
        };
        self.slots[slots.start + way] = Some(entry);
        self.stamps[slots.start + way] = now;
        self.policy.touch(set, way, self.ways);
    }

    /// How long the set of `number` could do without its least used way: 0 where one is free, else the time when that
    /// way was last used.
    pub(crate) fn age(&self, number: u64) -> u64 {
        let slots = self.slots_of(self.set(number));
        if self.slots[slots.clone()].iter().any(Option::is_none) {
            return 0;
        }
        let stamps = &self.stamps[slots];
        stamps[oldest(stamps)]
    }

    /// Frees the slots whose entry is `doomed`, and hands out each of them.
    pub(crate) fn drop_matching(&mut self, doomed: impl Fn(&T) -> bool, mut dropped: impl FnMut(T)) {
        for slot in &mut self.slots {
            if let Some(entry) = slot.take_if(|entry| doomed(entry)) {
                dropped(entry);
            }
        }
    }
}
