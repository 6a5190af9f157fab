//! Page tables (Intel SDM vol. 3, chapter 5): building the lower half of spaces, and filling in-kernel slots.

use core::cell::Cell;
use core::ptr::copy_nonoverlapping;

use abi::address::{
    FIRST_SHARED_TOP_ENTRY, HOME_TOP_ENTRY_FIRST, LARGE_SIZE, PAGE_SIZE, SMALL_BASE, SMALL_SLOT_SIZES,
    TABLE_ENTRIES,
};
use x86_64::structures::paging::PageTableFlags;

use super::per_machine::PerMachine;
use crate::memory::{Memory, OutOfMemory, PageRanges, Placement, physical_pointer};

/// A page table of any level.
type Table = [Cell<u64>; TABLE_ENTRIES];

/// The part of an entry that holds a physical address.
const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;

/// A bit of an entry that the CPU ignores: the frame belongs to the region, and is given back with it.
const OWN_FRAME: PageTableFlags = PageTableFlags::BIT_9;

/// What a page may be used for: bits of its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access(u64);

impl Access {
    /// Reading only.
    pub const READ: Access = Access(PageTableFlags::NO_EXECUTE.bits());
    /// Reading and writing.
    pub const WRITE: Access = Access(
        PageTableFlags::WRITABLE.bits() | PageTableFlags::DIRTY.bits() | PageTableFlags::NO_EXECUTE.bits(),
    );
    /// Reading and executing.
    pub const EXECUTE: Access = Access(0);
}

/// Physical address of the boot page table, which every other one shares its upper half with.
static KERNEL_ROOT: PerMachine = PerMachine::new();

/// Notes the boot page table.
pub fn set_kernel_root(root: u64) {
    KERNEL_ROOT.set(root);
}

/// The boot page table: the way to the kernel's half that every space shares.
pub fn kernel_root() -> u64 {
    KERNEL_ROOT.get()
}

/// The table at physical address `address`.
fn table(address: u64) -> &'static Table {
    // SAFETY: addresses of tables come from the boot record, from `Memory` or from entries that this module wrote, so
    // this is a mapped, aligned page that only ever holds a table; cells allow several references.
    unsafe { &*physical_pointer(address).cast::<Table>() }
}

/// Index into the table of `level` (4 is the top) for a virtual address.
fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * (level - 1))) as usize % TABLE_ENTRIES
}

/// The table that an entry points to, made if it is not there. Tables allow everything; pages decide.
fn next_table(entry: &Cell<u64>, user: bool, memory: &Memory) -> Result<&'static Table, OutOfMemory> {
    if entry.get() & PageTableFlags::PRESENT.bits() == 0 {
        let mut flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
        flags.set(PageTableFlags::USER_ACCESSIBLE, user);
        entry.set(memory.frame()? | flags.bits());
    }
    Ok(table(entry.get() & ADDRESS_MASK))
}

/// A new top-level table whose upper half is the kernel's, with the homes of servers that may migrate: their shared
/// level-3 tables, which hold those that are in the kernel. If there is a region of small spaces, it is there, too.
pub fn new_root(home_count: usize, memory: &Memory) -> Result<u64, OutOfMemory> {
    let root = memory.frame()?;
    let (from, to) = (table(kernel_root()), table(root));
    let homes = HOME_TOP_ENTRY_FIRST..HOME_TOP_ENTRY_FIRST + home_count;
    for entries in [homes, FIRST_SHARED_TOP_ENTRY..TABLE_ENTRIES] {
        copy_entries(&from[entries.clone()], &to[entries]);
    }
    if from[0].get() != 0 {
        let own = next_table(&to[0], true, memory)?;
        own[index(SMALL_BASE, 3)].set(small_tables().get());
    }
    Ok(root)
}

/// Copies all entries at once: one by one they are what a space costs most.
fn copy_entries(from: &[Cell<u64>], to: &[Cell<u64>]) {
    assert_eq!(from.len(), to.len());
    // SAFETY: both are `from.len()` words, of two tables; cells may be written through a shared reference, and no other CPU
    // changes either: one is new, and the kernel's changes only while the caller alone runs.
    unsafe { copy_nonoverlapping(from.as_ptr(), to.as_ptr().cast_mut(), from.len()) };
}

/// Makes the level-2 table of the region of small spaces, which all spaces share. Before the first [`new_root`].
pub fn add_small_region(memory: &Memory) -> Result<(), OutOfMemory> {
    let level3 = next_table(&table(kernel_root())[0], true, memory)?;
    next_table(&level3[index(SMALL_BASE, 3)], true, memory).map(drop)
}

/// The entry that leads to the tables of the region of small spaces.
fn small_tables() -> &'static Cell<u64> {
    &table(table(kernel_root())[0].get() & ADDRESS_MASK)[index(SMALL_BASE, 3)]
}

/// Makes the level-2 table that a 32-bit server which may migrate has in its own space. It stays there for ever.
pub fn add_large_home(root: u64, memory: &Memory) -> Result<(), OutOfMemory> {
    let level3 = next_table(&table(root)[0], true, memory)?;
    next_table(&level3[0], true, memory).map(drop)
}

/// The level-2 entries of a 32-bit region of `size` bytes at `base`: in the region of small spaces, or else at the beginning
/// of the space `root`.
fn slot_entries(root: u64, base: u64, size: u64) -> &'static [Cell<u64>] {
    let level3 = table(table(root)[0].get() & ADDRESS_MASK);
    let level2 = table(level3[index(base, 3)].get() & ADDRESS_MASK);
    let first = index(base, 2);
    &level2[first..first + (size / SMALL_SLOT_SIZES[0]) as usize]
}

/// Moves the region of a 32-bit server between its own space and a slot of `size` bytes, each given by page table and base.
/// What lies in a slot is in all spaces, so it is global. Returns the number of pages.
pub fn move_slot(
    (from_root, from): (u64, u64),
    (to_root, to): (u64, u64),
    size: u64,
    ranges: &PageRanges,
) -> u64 {
    let mut tables = [0; SLOT_TABLES_MAX];
    for (entry, table) in slot_entries(from_root, from, size).iter().zip(&mut tables) {
        *table = entry.replace(0);
    }
    let is_small = to >= SMALL_BASE;
    let mut changed = 0;
    for range in ranges.iter() {
        for page in 0..range.count {
            let offset = range.offset + page * PAGE_SIZE;
            let level1 = tables[(offset / SMALL_SLOT_SIZES[0]) as usize] & ADDRESS_MASK;
            let entry = &table(level1)[index(offset, 1)];
            let global = PageTableFlags::GLOBAL.bits();
            entry.set(if is_small { entry.get() | global } else { entry.get() & !global });
        }
        changed += range.count;
    }
    // Not before: a walk of the CPU's own accord must not find them global where they are not.
    for (entry, table) in slot_entries(to_root, to, size).iter().zip(tables) {
        entry.set(table);
    }
    changed
}

/// Makes the shared level-3 tables of the first `count` homes. Before the first [`new_root`].
pub fn add_homes(count: usize, memory: &Memory) -> Result<(), OutOfMemory> {
    for entry in &table(kernel_root())[HOME_TOP_ENTRY_FIRST..HOME_TOP_ENTRY_FIRST + count] {
        next_table(entry, false, memory)?;
    }
    Ok(())
}

/// Makes the level-3 table that the home at `base` has in its own space, and hangs it there. Returns its address.
pub fn add_own_home(root: u64, base: u64, memory: &Memory) -> Result<u64, OutOfMemory> {
    let own = memory.frame()?;
    // The space has never been loaded.
    let _ = set_home_table(root, base, own, true);
    Ok(own)
}

/// Hangs the level-3 table `level3` under the home's top-level entry of `root`. Whether another one hung there, which the TLB may
/// know: forgetting it is the caller's affair.
#[must_use]
pub fn set_home_table(root: u64, base: u64, level3: u64, user: bool) -> bool {
    let mut flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
    flags.set(PageTableFlags::USER_ACCESSIBLE, user);
    let before = table(root)[index(base, 4)].replace(level3 | flags.bits());
    before & PageTableFlags::PRESENT.bits() != 0 && before & ADDRESS_MASK != level3
}

/// The home of a server that may migrate: its own space.
#[derive(Clone, Copy)]
pub struct Home {
    /// Physical address of the space's top-level page table.
    pub root: u64,
    /// Physical address of the level-3 table of the home in that space.
    pub own_level3: u64,
}

/// Hangs the home at `base` into its own space as its server's placement asks: by its own table, or by the one that all
/// spaces share. Whether the TLB may know the other one, and has to forget it before anybody uses the home.
#[must_use]
pub fn hang_home(home: Home, base: u64, placement: Placement) -> bool {
    match placement {
        placement if placement.is_32_bit() => false,
        placement if placement.is_in_kernel() => {
            set_home_table(home.root, base, shared_home_table(base), false)
        }
        _ => set_home_table(home.root, base, home.own_level3, true),
    }
}

/// The level-3 table that all spaces but its own have for the home at `base`.
pub fn shared_home_table(base: u64) -> u64 {
    table(kernel_root())[index(base, 4)].get() & ADDRESS_MASK
}

/// Moves a region's entries from one level-3 table to another.
pub fn move_region(from: u64, to: u64, base: u64) {
    let first = index(base, 3);
    for (from, to) in table(from)[first..first + 4].iter().zip(&table(to)[first..first + 4]) {
        to.set(from.replace(0));
    }
}

/// Gives a region's pages, and the tables that lead to them, to ring 3 or takes them away. Returns the number of pages.
pub fn set_region_privilege(level3: u64, base: u64, ranges: &PageRanges, user: bool) -> u64 {
    let (user_bit, global) = (PageTableFlags::USER_ACCESSIBLE.bits(), PageTableFlags::GLOBAL.bits());
    let (set, clear) = if user { (user_bit, global) } else { (global, user_bit) };
    let mut changed = 0;
    for range in ranges.iter() {
        let mut page = 0;
        while page < range.count {
            let address = base + range.offset + page * PAGE_SIZE;
            let level3_entry = &table(level3)[index(address, 3)];
            let level2_entry = &table(level3_entry.get() & ADDRESS_MASK)[index(address, 2)];
            for entry in [level3_entry, level2_entry] {
                entry.set(if user { entry.get() | user_bit } else { entry.get() & !user_bit });
            }
            let level1 = table(level2_entry.get() & ADDRESS_MASK);
            for entry in level1.iter().skip(index(address, 1)).take((range.count - page) as usize) {
                entry.set(entry.get() & !clear | set);
                page += 1;
            }
        }
        changed += range.count;
    }
    changed
}

/// Exchanges the frame behind a page that is mapped below `level3`.
pub fn replace_frame(level3: u64, address: u64, frame: u64) {
    let level2 = table(table(level3)[index(address, 3)].get() & ADDRESS_MASK);
    let level1 = table(level2[index(address, 2)].get() & ADDRESS_MASK);
    let page = &level1[index(address, 1)];
    page.set(frame | page.get() & !ADDRESS_MASK);
}

/// The word at `address` of a space, if it is mapped.
pub fn read_word(root: u64, address: u64) -> Option<u64> {
    if !address.is_multiple_of(8) {
        return None;
    }
    let frame = writable_frame(root, address)?;
    // SAFETY: a frame of memory, read through the physical map; the offset is that of an aligned word in it.
    Some(unsafe { physical_pointer(frame + address % PAGE_SIZE).cast::<u64>().read_volatile() })
}

/// What small pages are mapped to.
#[derive(Clone, Copy, Debug)]
pub enum Frames {
    /// Frames in a row, of which this is the first, that belong to somebody else.
    Shared(u64),
    /// Fresh frames of the region's own.
    Own,
}

/// Maps pages for a server in a placement. A page of a server in a user space differs from one in the kernel by the user bit; the
/// latter are global, because every space has them, and so are those of small spaces.
pub struct Mapper<'memory> {
    root: u64,
    memory: &'memory Memory,
    /// Whether tables are for ring 3, too.
    user: bool,
    /// Bits of all entries of pages.
    common: u64,
    /// The level-1 table that was used last, with the number of what it covers: pages that lie close take one walk.
    near: Cell<Option<(u64, &'static Table)>>,
}

impl<'memory> Mapper<'memory> {
    /// Maps in this top-level page table.
    pub fn new(root: u64, placement: Placement, memory: &'memory Memory) -> Mapper<'memory> {
        let user = !placement.is_in_kernel();
        let mut common = PageTableFlags::PRESENT | PageTableFlags::ACCESSED;
        common.set(PageTableFlags::USER_ACCESSIBLE, user);
        common.set(PageTableFlags::GLOBAL, placement.is_global());
        Mapper { root, memory, user, common: common.bits(), near: Cell::new(None) }
    }

    /// Maps `count` small pages from `address` on.
    pub fn map(&self, address: u64, frames: Frames, count: u64, access: Access) -> Result<(), OutOfMemory> {
        let mut done = 0;
        while done < count {
            let start = address + done * PAGE_SIZE;
            let entries = &self.level1(start)?[index(start, 1)..];
            let wanted = (count - done).min(entries.len() as u64);
            let (first, in_a_row) = match frames {
                Frames::Shared(first) => (first + done * PAGE_SIZE, wanted),
                Frames::Own => {
                    let (first, in_a_row) = self.memory.frames_in_a_row(wanted)?;
                    (first | OWN_FRAME.bits(), in_a_row)
                }
            };
            let mut value = first | self.common | access.0;
            for entry in &entries[..in_a_row as usize] {
                entry.set(value);
                value += PAGE_SIZE;
            }
            done += in_a_row;
        }
        Ok(())
    }

    /// The frame behind a page, if there is one at `address`.
    pub fn frame_of(&self, address: u64) -> Option<u64> {
        match self.near_table(address) {
            Some(table) => frame_in(table[index(address, 1)].get()),
            None => frame_of(self.root, address),
        }
    }

    /// The level-1 table for an address, if it is the one that was used last.
    fn near_table(&self, address: u64) -> Option<&'static Table> {
        self.near.get().filter(|(covered, _)| *covered == covered_by(address)).map(|(_, table)| table)
    }

    /// The level-1 table for an address, made if it is not there.
    fn level1(&self, address: u64) -> Result<&'static Table, OutOfMemory> {
        match self.near_table(address) {
            Some(near) => Ok(near),
            None => self.walk(address),
        }
    }

    /// The same, by a walk. Never inlined, so that what lies close does not pay for it.
    #[inline(never)]
    fn walk(&self, address: u64) -> Result<&'static Table, OutOfMemory> {
        let level3 = next_table(&table(self.root)[index(address, 4)], self.user, self.memory)?;
        let level2 = next_table(&level3[index(address, 3)], self.user, self.memory)?;
        let level1 = next_table(&level2[index(address, 2)], self.user, self.memory)?;
        self.near.set(Some((covered_by(address), level1)));
        Ok(level1)
    }
}

/// Number of the piece of the address space that one level-1 table covers.
fn covered_by(address: u64) -> u64 {
    address / (PAGE_SIZE * TABLE_ENTRIES as u64)
}

/// The frame behind a page, if there is one at `address`.
pub fn frame_of(root: u64, address: u64) -> Option<u64> {
    frame_in(page_entry(root, address)?)
}

/// The frame that an entry of a level-1 table leads to.
fn frame_in(entry: u64) -> Option<u64> {
    (entry & PageTableFlags::PRESENT.bits() != 0).then_some(entry & ADDRESS_MASK)
}

/// Copies bytes between writable pages, each given by page table and address; `None` if a page is not there.
pub fn copy_between((from_root, from): (u64, u64), (to_root, to): (u64, u64), size: u64) -> Option<()> {
    let mut done = 0;
    while done < size {
        let (from, to) = (from + done, to + done);
        let in_page = (PAGE_SIZE - from % PAGE_SIZE).min(PAGE_SIZE - to % PAGE_SIZE).min(size - done);
        let source = physical_pointer(writable_frame(from_root, from)? + from % PAGE_SIZE);
        let target = physical_pointer(writable_frame(to_root, to)? + to % PAGE_SIZE);
        // SAFETY: both lie within a frame of memory, and two regions share no writable frame.
        unsafe { core::ptr::copy_nonoverlapping(source, target, in_page as usize) };
        done += in_page;
    }
    Some(())
}

/// The entry of a small page, present or not; `None` where no table leads to it.
fn page_entry(root: u64, address: u64) -> Option<u64> {
    let mut entry = table(root)[index(address, 4)].get();
    for level in [3, 2, 1] {
        // Large pages are the kernel's own.
        if entry & PageTableFlags::PRESENT.bits() == 0 || entry & PageTableFlags::HUGE_PAGE.bits() != 0 {
            return None;
        }
        entry = table(entry & ADDRESS_MASK)[index(address, level)].get();
    }
    Some(entry)
}

/// The frame behind a page that may be written, if `address` lies in one.
pub fn writable_frame(root: u64, address: u64) -> Option<u64> {
    let entry = page_entry(root, address)?;
    let needed = (PageTableFlags::PRESENT | PageTableFlags::WRITABLE).bits();
    (entry & needed == needed).then_some(entry & ADDRESS_MASK)
}

/// Most level-1 tables of a slot of the region of small spaces.
const SLOT_TABLES_MAX: usize = (SMALL_SLOT_SIZES[SMALL_SLOT_SIZES.len() - 1] / SMALL_SLOT_SIZES[0]) as usize;

/// The level-2 tables of a region that no page table leads to any more, or the level-1 tables of a slot.
pub struct DetachedRegion {
    entries: [u64; 4],
    slot_entries: [u64; SLOT_TABLES_MAX],
}

/// Takes a whole region (4 GiB, aligned) out of a page table: four entries of a level-3 table. The TLB is the caller's
/// affair; only then may the region be released.
pub fn detach_region(root: u64, base: u64) -> DetachedRegion {
    detach_tables(root, base, 4)
}

/// The same with the region of a 32-bit server in a space of its own, which does not reach up to that of small spaces.
pub fn detach_large(root: u64) -> DetachedRegion {
    detach_tables(root, 0, index(LARGE_SIZE, 3))
}

fn detach_tables(root: u64, base: u64, count: usize) -> DetachedRegion {
    let top = table(root)[index(base, 4)].get();
    let mut entries = [0; 4];
    if top & PageTableFlags::PRESENT.bits() != 0 {
        let first = index(base, 3);
        for (entry, detached) in table(top & ADDRESS_MASK)[first..first + count].iter().zip(&mut entries) {
            *detached = entry.replace(0);
        }
    }
    DetachedRegion { entries, slot_entries: [0; SLOT_TABLES_MAX] }
}

/// The same with a slot of `size` bytes of the region of small spaces, or, at base 0, with the region of a 32-bit server that may
/// migrate there.
pub fn detach_slot(root: u64, base: u64, size: u64) -> DetachedRegion {
    let mut detached = [0; SLOT_TABLES_MAX];
    for (entry, detached) in slot_entries(root, base, size).iter().zip(&mut detached) {
        *detached = entry.replace(0);
    }
    DetachedRegion { entries: [0; 4], slot_entries: detached }
}

/// Gives the region's tables back, and those frames that are its own.
pub fn release_region(region: DetachedRegion, memory: &Memory) {
    let present = |entry: &u64| entry & PageTableFlags::PRESENT.bits() != 0;
    let release_level1 = |level1: u64| {
        for page in table(level1).iter().map(Cell::get).filter(present) {
            if page & OWN_FRAME.bits() != 0 {
                memory.release(page & ADDRESS_MASK);
            }
        }
        memory.release(level1);
    };
    for level2 in region.entries.into_iter().filter(present).map(|entry| entry & ADDRESS_MASK) {
        for level1 in table(level2).iter().map(Cell::get).filter(present) {
            release_level1(level1 & ADDRESS_MASK);
        }
        memory.release(level2);
    }
    for level1 in region.slot_entries.into_iter().filter(present) {
        release_level1(level1 & ADDRESS_MASK);
    }
}
