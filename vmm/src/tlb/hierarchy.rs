//! The TLBs of a processor, level by level.

use std::collections::HashSet;

use crate::tlb::array::SetArray;
use crate::tlb::geometry::{Array, Model};
use crate::tlb::stream::{Access, AccessKind, PageSize};
use crate::tlb::translation::{Context, Identity, Translation};

/// How far an access had to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// In a level-1 array.
    First,
    /// In a level-2 array.
    Second,
    /// Nowhere: a walk is needed.
    Nowhere {
        /// There was a level-2 array to ask.
        asked_second: bool,
        /// It had been in one of the arrays, and a flush took it away.
        lost_to_flush: bool,
    },
}

/// One TLB at work.
#[derive(Clone, Debug)]
struct Tlb {
    used_by: Vec<AccessKind>,
    page_sizes: Vec<PageSize>,
    entries: SetArray<Translation>,
    /// What a flush took away and nothing has brought back.
    lost: HashSet<Identity>,
}

/// The TLBs at work.
#[derive(Clone, Debug)]
pub(crate) struct Hierarchy {
    first: Vec<Tlb>,
    second: Vec<Tlb>,
    global_pages: bool,
}

impl Hierarchy {
    /// Empty TLBs.
    pub(crate) fn new(model: &Model) -> Hierarchy {
        let level = |level| {
            let arrays = (0u64..).zip(&model.tlb).filter(|(_, array)| array.level == level);
            arrays.map(|(number, array)| Tlb::new(array, model.random_seed.wrapping_add(number))).collect()
        };
        Hierarchy { first: level(1), second: level(2), global_pages: model.global_pages }
    }

    /// Looks up the page of an access, and fills the levels that it missed.
    pub(crate) fn access(&mut self, access: &Access, context: Context, now: u64) -> Found {
        let global = access.global && self.global_pages;
        // Level 1 must translate everything: a page of a size that it does not hold takes entries piece by piece.
        let first_piece = largest_held(&self.first, access);
        let first = Translation::needed(access, first_piece, global, context);
        if lookup(&mut self.first, access.kind, &first, now) {
            return Found::First;
        }
        // Level 2 may leave out a size.
        let second = Translation::needed(access, access.page_size, global, context);
        let asked_second = self.second.iter().any(|tlb| tlb.holds(access.kind, second.piece));
        let found = if asked_second && lookup(&mut self.second, access.kind, &second, now) {
            Found::Second
        } else {
            let was_in_first = forget_loss(&mut self.first, access.kind, &first);
            let was_in_second = forget_loss(&mut self.second, access.kind, &second);
            fill(&mut self.second, access.kind, second, now);
            Found::Nowhere { asked_second, lost_to_flush: was_in_first || was_in_second }
        };
        fill(&mut self.first, access.kind, first, now);
        found
    }

    /// Drops the entries that are `doomed`, and returns how many there were.
    pub(crate) fn drop_matching(&mut self, doomed: impl Fn(&Translation) -> bool) -> u64 {
        let mut count = 0;
        for Tlb { entries, lost, .. } in self.first.iter_mut().chain(&mut self.second) {
            entries.drop_matching(&doomed, |entry| {
                count += 1;
                lost.insert(entry.identity());
            });
        }
        count
    }
}

impl Tlb {
    fn new(array: &Array, seed: u64) -> Tlb {
        Tlb {
            used_by: array.used_by.clone(),
            page_sizes: array.page_sizes.clone(),
            entries: SetArray::new(&array.shape, seed),
            lost: HashSet::new(),
        }
    }

    fn holds(&self, kind: AccessKind, size: PageSize) -> bool {
        self.used_by.contains(&kind) && self.page_sizes.contains(&size)
    }
}

/// The page size of the access, or the next smaller one that these arrays hold for such accesses.
fn largest_held(tlbs: &[Tlb], access: &Access) -> PageSize {
    let not_larger = PageSize::ALL.into_iter().rev().filter(|size| *size <= access.page_size);
    let mut held = not_larger.filter(|size| tlbs.iter().any(|tlb| tlb.holds(access.kind, *size)));
    held.next().unwrap_or(PageSize::Kib4)
}

fn lookup(tlbs: &mut [Tlb], kind: AccessKind, needed: &Translation, now: u64) -> bool {
    let mut holding = tlbs.iter_mut().filter(|tlb| tlb.holds(kind, needed.piece));
    holding.any(|tlb| tlb.entries.lookup(needed.number, now, |entry| entry.serves(needed)))
}

/// Several arrays of a level may hold the page: it goes where a way is free, else where the oldest entry is.
fn fill(tlbs: &mut [Tlb], kind: AccessKind, translation: Translation, now: u64) {
    let holding = tlbs.iter_mut().filter(|tlb| tlb.holds(kind, translation.piece));
    if let Some(tlb) = holding.min_by_key(|tlb| tlb.entries.age(translation.number)) {
        tlb.entries.insert(translation.number, now, translation);
        tlb.lost.remove(&translation.identity());
    }
}

/// Whether one of the arrays lost this translation to a flush; it is then brought back.
fn forget_loss(tlbs: &mut [Tlb], kind: AccessKind, translation: &Translation) -> bool {
    let mut was_lost = false;
    for tlb in tlbs.iter_mut().filter(|tlb| tlb.holds(kind, translation.piece)) {
        was_lost |= tlb.lost.remove(&translation.identity());
    }
    was_lost
}
