//! The page tables that every vCPU starts on (Intel SDM vol. 3, 4.5: 4-level paging), built in a buffer of the host and
//! then written to guest memory in one piece. [`crate::machine::walk`] is the reader.

use abi::address::{PAGE_SIZE, TABLE_ENTRIES};

/// Bits of an entry (Intel SDM vol. 3, tables 4-15 to 4-20).
pub(crate) mod entry {
    pub(crate) const PRESENT: u64 = 1 << 0;
    pub(crate) const WRITABLE: u64 = 1 << 1;
    pub(crate) const USER: u64 = 1 << 2;
    /// Write-through and cache-disable: strong uncacheable memory by the page attributes of a reset.
    pub(crate) const UNCACHED: u64 = 1 << 3 | 1 << 4;
    pub(crate) const ACCESSED: u64 = 1 << 5;
    pub(crate) const DIRTY: u64 = 1 << 6;
    /// In an entry of level 2 or 3: it maps a large page.
    pub(crate) const LARGE: u64 = 1 << 7;
    pub(crate) const GLOBAL: u64 = 1 << 8;
    pub(crate) const NO_EXECUTE: u64 = 1 << 63;
    /// Physical address of the next table or of the page.
    pub(crate) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
}

/// What supervisor code may do with a page. Nothing is both writable and executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadExecute,
    ReadWrite,
    /// Registers of a device: never cached.
    Device,
}

impl Access {
    /// Leaf bits. Accessed and dirty are set beforehand: they tell the kernel nothing about its own half, and setting
    /// them later would cost a locked memory access in the middle of a measurement.
    const fn bits(self) -> u64 {
        let rights = match self {
            Access::Read => entry::NO_EXECUTE,
            Access::ReadExecute => 0,
            Access::ReadWrite => entry::NO_EXECUTE | entry::WRITABLE | entry::DIRTY,
            Access::Device => entry::NO_EXECUTE | entry::WRITABLE | entry::DIRTY | entry::UNCACHED,
        };
        entry::PRESENT | entry::GLOBAL | entry::ACCESSED | rights
    }
}

/// Bits of an entry that points to another table: all restriction is in the leaves.
const TABLE_BITS: u64 = entry::PRESENT | entry::WRITABLE | entry::ACCESSED;

/// Level at which a mapping's largest pages may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LargestPage {
    Kibibytes4 = 1,
    Mebibytes2 = 2,
    Gibibyte1 = 3,
}

/// Bytes that one entry of a table of `level` (1 to 4) covers.
pub(crate) const fn entry_span(level: u32) -> u64 {
    PAGE_SIZE << (9 * (level - 1))
}

/// Index in the table of `level` for a virtual address.
pub(crate) const fn entry_index(address: u64, level: u32) -> usize {
    (address / entry_span(level)) as usize % TABLE_ENTRIES
}

/// A contiguous mapping, all page aligned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapping {
    pub virtual_start: u64,
    pub physical_start: u64,
    pub size: u64,
    pub access: Access,
    pub largest_page: LargestPage,
}

/// More tables were needed than the layout has room for: a bug of the VMM.
#[derive(Debug)]
pub(crate) struct OutOfTables;

/// Tables under construction; table n lies at `base` + n × 4 KiB, table 0 is the top-level one.
pub(crate) struct PageTables {
    base: u64,
    capacity: usize,
    words: Vec<u64>,
}

impl PageTables {
    /// Only the empty top-level table. `base` and `bytes` are the physical range that the tables may take.
    pub(crate) fn new(base: u64, bytes: u64) -> PageTables {
        PageTables { base, capacity: (bytes / PAGE_SIZE) as usize, words: vec![0; TABLE_ENTRIES] }
    }

    /// Maps with the largest pages that alignment and `largest_page` allow. Pages that are mapped already are replaced.
    pub(crate) fn map(&mut self, mapping: Mapping) -> Result<(), OutOfTables> {
        let mut done = 0;
        while done < mapping.size {
            let (virtual_address, physical) = (mapping.virtual_start + done, mapping.physical_start + done);
            let fits = |level: u32| {
                let span = entry_span(level);
                (virtual_address | physical).is_multiple_of(span) && mapping.size - done >= span
            };
            let level = (2..=mapping.largest_page as u32).rev().find(|level| fits(*level)).unwrap_or(1);
            let table = self.table_for(virtual_address, level)?;
            let large = if level > 1 { entry::LARGE } else { 0 };
            let index = table * TABLE_ENTRIES + entry_index(virtual_address, level);
            self.words[index] = physical | mapping.access.bits() | large;
            done += entry_span(level);
        }
        Ok(())
    }

    /// Gives `count` entries of the top-level table, from `first` on, an empty level-3 table each. The empty tables take
    /// the place behind those built so far and are not among the words returned: guest memory is zero there already.
    pub(crate) fn attach_empty_tables(mut self, first: usize, count: usize) -> Result<Vec<u64>, OutOfTables> {
        let built = self.words.len() / TABLE_ENTRIES;
        if built + count > self.capacity {
            return Err(OutOfTables);
        }
        for offset in 0..count {
            self.words[first + offset] = self.table_address(built + offset) | TABLE_BITS;
        }
        Ok(self.words)
    }

    fn table_address(&self, table: usize) -> u64 {
        self.base + table as u64 * PAGE_SIZE
    }

    /// Index of the table of `level` that is responsible for an address, made when missing.
    fn table_for(&mut self, address: u64, level: u32) -> Result<usize, OutOfTables> {
        let mut table = 0;
        for above in (level + 1..=4).rev() {
            let index = table * TABLE_ENTRIES + entry_index(address, above);
            let present = self.words[index] & entry::PRESENT != 0;
            table = if present {
                ((self.words[index] & entry::ADDRESS) - self.base) as usize / PAGE_SIZE as usize
            } else {
                let new = self.words.len() / TABLE_ENTRIES;
                if new >= self.capacity {
                    return Err(OutOfTables);
                }
                self.words.resize(self.words.len() + TABLE_ENTRIES, 0);
                self.words[index] = self.table_address(new) | TABLE_BITS;
                new
            };
        }
        Ok(table)
    }
}

/// Most tables below the top-level one that a mapping can need.
pub(crate) fn tables_bound(virtual_start: u64, size: u64, largest_page: LargestPage) -> u64 {
    let touched = |level: u32| {
        let span = entry_span(level);
        let last = virtual_start.wrapping_add(size.max(1) - 1);
        last / span - virtual_start / span + 1
    };
    // A table of level n is one entry of level n + 1. Only the ends of a mapping need smaller pages than the largest.
    let small_levels = largest_page as u32 - 1;
    let ends = 2 * u64::from(small_levels);
    (largest_page as u32..=3).map(|level| touched(level + 1)).sum::<u64>() + ends
}
