//! A naive model: plain vectors, searched from end to end, least recently used by definition.

use crate::tlb::geometry::{Array, Index, Shape};
use crate::tlb::stream::{Access, AccessKind, Event, InvalidatePcidKind, PageSize};
use crate::tlb::{Counts, Model, Tags};

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    number: u64,
    piece: PageSize,
    page: PageSize,
    global: bool,
    tag: u64,
    root: u64,
    used: usize,
}

/// Number, size and, unless global, page table.
type Lost = (u64, PageSize, Option<u64>);

pub(super) struct Reference {
    model: Model,
    entries: Vec<Vec<Entry>>,
    lost: Vec<Vec<Lost>>,
    /// Number, tag and time of last use.
    walk_caches: Vec<Vec<(u64, u64, usize)>>,
    pcids: bool,
    tag: u64,
    root: u64,
    now: usize,
}

fn set(shape: &Shape, number: u64) -> u64 {
    let sets = u64::from(shape.sets());
    match shape.index {
        Index::LowBits => number % sets,
        Index::XorFold => (number % sets) ^ (number / sets % sets),
    }
}

impl Reference {
    pub(super) fn new(model: &Model) -> Reference {
        Reference {
            model: model.clone(),
            entries: vec![Vec::new(); model.tlb.len()],
            lost: vec![Vec::new(); model.tlb.len()],
            walk_caches: vec![Vec::new(); model.walk_cache.len()],
            pcids: false,
            tag: 0,
            root: 0,
            now: 0,
        }
    }

    /// Counts of all events together.
    pub(super) fn run(mut self, events: &[Event]) -> Counts {
        let mut counts = Counts::default();
        for event in events {
            self.now += 1;
            self.event(event, &mut counts);
        }
        counts
    }

    fn event(&mut self, event: &Event, counts: &mut Counts) {
        let tagged = self.pcids && self.model.tags == Tags::Pcid;
        match *event {
            Event::Access(access) => self.access(&access, counts),
            Event::LoadPageTable { value } => {
                self.root = value << 12 >> 24;
                self.tag = if tagged { value % 4096 } else { 0 };
                counts.page_table_loads += 1;
                if !tagged || value >> 63 == 0 {
                    self.flush(counts, Some(self.tag), false);
                }
            }
            Event::PcidsEnabled(enabled) => {
                self.pcids = enabled;
                if tagged && !enabled {
                    self.tag = 0;
                    self.flush(counts, None, true);
                }
            }
            Event::InvalidatePage { address } => self.invalidate(counts, address, self.tag, true),
            Event::InvalidatePcid { kind, pcid, address } => {
                let tag = if tagged { u64::from(pcid) } else { 0 };
                match kind {
                    InvalidatePcidKind::Address => self.invalidate(counts, address, tag, false),
                    InvalidatePcidKind::SinglePcid => self.flush(counts, Some(tag), false),
                    InvalidatePcidKind::AllWithGlobal => self.flush(counts, None, true),
                    InvalidatePcidKind::AllExceptGlobal => self.flush(counts, None, false),
                }
            }
            Event::FlushAll { global_too } => self.flush(counts, None, global_too),
            Event::RoundTrip => {}
        }
    }

    fn remove(&mut self, counts: &mut Counts, doomed: impl Fn(&Entry) -> bool) {
        for (entries, lost) in self.entries.iter_mut().zip(&mut self.lost) {
            for entry in entries.extract_if(.., |entry| doomed(entry)) {
                counts.entries_dropped += 1;
                lost.push((entry.number, entry.piece, (!entry.global).then_some(entry.root)));
            }
        }
    }

    fn flush(&mut self, counts: &mut Counts, tag: Option<u64>, global_too: bool) {
        counts.flushes += 1;
        self.remove(counts, |entry| {
            (global_too || !entry.global) && (tag.is_none() || tag == Some(entry.tag))
        });
        for cache in &mut self.walk_caches {
            cache.retain(|entry| tag.is_some_and(|tag| tag != entry.1));
        }
    }

    fn invalidate(&mut self, counts: &mut Counts, address: u64, tag: u64, global_too: bool) {
        counts.page_invalidations += 1;
        self.remove(counts, |entry| {
            let start = entry.number * entry.piece.bytes() / entry.page.bytes() * entry.page.bytes();
            let is_inside = address >= start && address - start < entry.page.bytes();
            is_inside && if entry.global { global_too } else { entry.tag == tag }
        });
        for cache in &mut self.walk_caches {
            cache.retain(|entry| entry.1 != tag);
        }
    }

    fn serving(&self, level: u8, kind: AccessKind, size: PageSize) -> Vec<usize> {
        let serves = |array: &Array| {
            array.level == level && array.used_by.contains(&kind) && array.page_sizes.contains(&size)
        };
        (0..self.entries.len()).filter(|array| serves(&self.model.tlb[*array])).collect()
    }

    fn find(&mut self, arrays: &[usize], number: u64, piece: PageSize) -> bool {
        for array in arrays {
            for entry in &mut self.entries[*array] {
                let is_valid = entry.global || entry.tag == self.tag;
                if entry.number == number && entry.piece == piece && is_valid {
                    entry.used = self.now;
                    return true;
                }
            }
        }
        false
    }

    /// When the entry was last used that would have to go for this page; 0 where there is room.
    fn age(&self, array: usize, number: u64) -> usize {
        let shape = &self.model.tlb[array].shape;
        let rivals =
            self.entries[array].iter().filter(|entry| set(shape, entry.number) == set(shape, number));
        let used: Vec<usize> = rivals.map(|entry| entry.used).collect();
        if used.len() < shape.ways() as usize { 0 } else { *used.iter().min().unwrap() }
    }

    fn fill(&mut self, arrays: &[usize], access: &Access, piece: PageSize) {
        let number = access.address / piece.bytes();
        let Some(&array) = arrays.iter().min_by_key(|array| self.age(**array, number)) else { return };
        let age = self.age(array, number);
        let shape = self.model.tlb[array].shape;
        if age > 0 {
            let is_victim =
                |entry: &Entry| set(&shape, entry.number) == set(&shape, number) && entry.used == age;
            let victim = self.entries[array].iter().position(is_victim).unwrap();
            self.entries[array].remove(victim);
        }
        let global = access.global && self.model.global_pages;
        let (tag, root, page, used) = (self.tag, self.root, access.page_size, self.now);
        self.entries[array].push(Entry { number, piece, page, global, tag, root, used });
        let identity = (number, piece, (!global).then_some(root));
        self.lost[array].retain(|lost| *lost != identity);
    }

    fn was_lost(&mut self, arrays: &[usize], access: &Access, piece: PageSize) -> bool {
        let global = access.global && self.model.global_pages;
        let identity = (access.address / piece.bytes(), piece, (!global).then_some(self.root));
        let before: usize = self.lost.iter().map(Vec::len).sum();
        arrays.iter().for_each(|array| self.lost[*array].retain(|lost| *lost != identity));
        self.lost.iter().map(Vec::len).sum::<usize>() != before
    }

    fn access(&mut self, access: &Access, counts: &mut Counts) {
        let privilege = if access.user { &mut counts.user } else { &mut counts.kernel };
        let side =
            if access.kind == AccessKind::Fetch { &mut privilege.instruction } else { &mut privilege.data };
        side.accesses += 1;
        let mut piece = access.page_size;
        let mut first = self.serving(1, access.kind, piece);
        while first.is_empty() {
            piece = if piece == PageSize::Gib1 { PageSize::Mib2 } else { PageSize::Kib4 };
            first = self.serving(1, access.kind, piece);
        }
        if self.find(&first, access.address / piece.bytes(), piece) {
            return;
        }
        side.first_level_misses += 1;
        let second = self.serving(2, access.kind, access.page_size);
        if !self.find(&second, access.address / access.page_size.bytes(), access.page_size) {
            side.second_level_misses += u64::from(!second.is_empty());
            side.walks += 1;
            side.walk_references += self.walk(access);
            let lost_second = self.was_lost(&second, access, access.page_size);
            let lost_first = self.was_lost(&first, access, piece);
            side.flush_refills += u64::from(lost_first || lost_second);
            self.fill(&second, access, access.page_size);
        }
        self.fill(&first, access, piece);
    }

    /// Reads the tables from the top, from where a walk cache knows, and caches what it read.
    fn walk(&mut self, access: &Access) -> u64 {
        let leaf = match access.page_size {
            PageSize::Kib4 => 1,
            PageSize::Mib2 => 2,
            PageSize::Gib1 => 3,
        };
        let leaf = self.model.paging_levels.min(leaf);
        let mut references = 0;
        for level in leaf..=self.model.paging_levels {
            let cache = self.model.walk_cache.iter().position(|cache| cache.holds.level() == level);
            if let (true, Some(cache)) = (level > leaf, cache) {
                let number = access.address / (4096 << (9 * (level - 1)));
                let shape = self.model.walk_cache[cache].shape;
                let entries = &mut self.walk_caches[cache];
                if let Some(entry) = entries.iter_mut().find(|entry| (entry.0, entry.1) == (number, self.tag))
                {
                    entry.2 = self.now;
                    return references;
                }
                let is_rival = |entry: &(u64, u64, usize)| set(&shape, entry.0) == set(&shape, number);
                if entries.iter().filter(|entry| is_rival(entry)).count() == shape.ways() as usize {
                    let oldest = entries.iter().filter(|entry| is_rival(entry)).map(|entry| entry.2).min();
                    let victim = entries.iter().position(|entry| is_rival(entry) && Some(entry.2) == oldest);
                    entries.remove(victim.unwrap());
                }
                entries.push((number, self.tag, self.now));
            }
            references += 1;
        }
        references
    }
}
