//! Page walks: how many references to memory each takes, with caches of upper page-table entries.

use crate::tlb::array::SetArray;
use crate::tlb::geometry::{Model, UpperEntry};
use crate::tlb::stream::{Access, PageSize};

/// An upper page-table entry; never global (Intel SDM vol. 3, 4.10.3.1).
#[derive(Clone, Copy, Debug)]
struct CachedEntry {
    number: u64,
    tag: u16,
}

/// The page walker.
#[derive(Clone, Debug)]
pub(crate) struct Walker {
    levels: u8,
    /// From the one nearest to the page.
    caches: Vec<(UpperEntry, SetArray<CachedEntry>)>,
}

impl Walker {
    /// With empty caches.
    pub(crate) fn new(model: &Model) -> Walker {
        let caches = UpperEntry::ALL.into_iter().filter_map(|holds| {
            let cache = model.walk_cache.iter().find(|cache| cache.holds == holds)?;
            let seed = model.random_seed.wrapping_add(1 << 32 | u64::from(holds.level()));
            Some((holds, SetArray::new(&cache.shape, seed)))
        });
        Walker { levels: model.paging_levels, caches: caches.collect() }
    }

    /// Walks for an access, and returns how many page-table entries were read from memory.
    pub(crate) fn walk(&mut self, access: &Access, tag: u16, now: u64) -> u64 {
        // 32-bit page tables have no leaves as high as 64-bit ones: a large page is at their top.
        let leaf = leaf_level(access.page_size).min(self.levels);
        let mut known = self.levels + 1;
        for (holds, cache) in self.caches.iter_mut().filter(|(holds, _)| holds.level() > leaf) {
            let number = holds.number(access.address);
            if cache.lookup(number, now, |entry| entry.number == number && entry.tag == tag) {
                known = holds.level();
                break;
            }
        }
        for (holds, cache) in &mut self.caches {
            if (leaf + 1..known).contains(&holds.level()) {
                let number = holds.number(access.address);
                cache.insert(number, now, CachedEntry { number, tag });
            }
        }
        u64::from(known - leaf)
    }

    /// Forgets the entries of one address space.
    pub(crate) fn forget(&mut self, tag: u16) {
        for (_, cache) in &mut self.caches {
            cache.drop_matching(|entry| entry.tag == tag, |_| ());
        }
    }

    /// Forgets everything.
    pub(crate) fn forget_all(&mut self) {
        for (_, cache) in &mut self.caches {
            cache.drop_matching(|_| true, |_| ());
        }
    }
}

/// Level of the table whose entry maps the page.
fn leaf_level(size: PageSize) -> u8 {
    match size {
        PageSize::Kib4 => 1,
        PageSize::Mib2 => 2,
        PageSize::Gib1 => 3,
    }
}
