//! Page tables (Intel SDM vol. 3, chapter 5): building the lower half of spaces, and filling in-kernel slots.

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::address::{FIRST_SHARED_TOP_ENTRY, PAGE_SIZE, PHYSICAL_MAP_BASE, TABLE_ENTRIES};
use x86_64::structures::paging::PageTableFlags;

use crate::memory::{Memory, OutOfMemory};

/// A page table of any level.
type Table = [Cell<u64>; TABLE_ENTRIES];

/// The part of an entry that holds a physical address.
const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;

/// What a page may be used for, apart from reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Writing.
    pub write: bool,
    /// Executing.
    pub execute: bool,
}

impl Access {
    /// Reading only.
    pub const READ: Access = Access { write: false, execute: false };
    /// Reading and writing.
    pub const WRITE: Access = Access { write: true, execute: false };
    /// Reading and executing.
    pub const EXECUTE: Access = Access { write: false, execute: true };
}

/// Physical address of the boot page table, which every other one shares its upper half with.
static KERNEL_ROOT: AtomicU64 = AtomicU64::new(0);

/// Notes the boot page table.
pub fn set_kernel_root(root: u64) {
    KERNEL_ROOT.store(root, Ordering::Relaxed);
}

/// The boot page table: the way to the kernel's half that every space shares.
pub fn kernel_root() -> u64 {
    KERNEL_ROOT.load(Ordering::Relaxed)
}

/// Where physical memory at `address` is mapped.
pub fn physical_pointer(address: u64) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut((PHYSICAL_MAP_BASE + address) as usize)
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

/// A new top-level table whose upper half is the kernel's.
pub fn new_root(memory: &Memory) -> Result<u64, OutOfMemory> {
    let root = memory.frame()?;
    let (from, to) = (table(kernel_root()), table(root));
    for (from, to) in from.iter().zip(to).skip(FIRST_SHARED_TOP_ENTRY) {
        to.set(from.get());
    }
    Ok(root)
}

/// Maps `count` small pages from `address` on to frames from `frame` on. A page of a server in a user space differs
/// from one in the kernel by the user bit; only the latter are global, because every space has them.
pub fn map(
    root: u64,
    address: u64,
    frame: u64,
    count: u64,
    access: Access,
    user: bool,
    memory: &Memory,
) -> Result<(), OutOfMemory> {
    let mut flags = PageTableFlags::PRESENT | PageTableFlags::ACCESSED;
    flags.set(PageTableFlags::WRITABLE, access.write);
    flags.set(PageTableFlags::DIRTY, access.write);
    flags.set(PageTableFlags::NO_EXECUTE, !access.execute);
    flags.set(PageTableFlags::USER_ACCESSIBLE, user);
    flags.set(PageTableFlags::GLOBAL, !user);
    let mut done = 0;
    while done < count {
        let start = address + done * PAGE_SIZE;
        let level3 = next_table(&table(root)[index(start, 4)], user, memory)?;
        let level2 = next_table(&level3[index(start, 3)], user, memory)?;
        let level1 = next_table(&level2[index(start, 2)], user, memory)?;
        for entry in level1.iter().skip(index(start, 1)).take((count - done) as usize) {
            entry.set((frame + done * PAGE_SIZE) | flags.bits());
            done += 1;
        }
    }
    Ok(())
}

/// The frame behind a page that may be written, if `address` lies in one.
pub fn writable_frame(root: u64, address: u64) -> Option<u64> {
    let mut entry = table(root)[index(address, 4)].get();
    for level in [3, 2, 1] {
        if entry & PageTableFlags::PRESENT.bits() == 0 {
            return None;
        }
        entry = table(entry & ADDRESS_MASK)[index(address, level)].get();
    }
    let needed = (PageTableFlags::PRESENT | PageTableFlags::WRITABLE).bits();
    (entry & needed == needed).then_some(entry & ADDRESS_MASK)
}

/// Takes a whole region (4 GiB, aligned) away: four entries of a level-3 table. The TLB is the caller's affair.
pub fn unmap_region(root: u64, base: u64) {
    let top = table(root)[index(base, 4)].get();
    if top & PageTableFlags::PRESENT.bits() != 0 {
        let first = index(base, 3);
        for entry in &table(top & ADDRESS_MASK)[first..first + 4] {
            entry.set(0);
        }
    }
}
