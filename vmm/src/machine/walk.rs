//! Reading guest memory through the guest's own page tables, which may be anything: every step is bounds-checked.

use abi::address::PAGE_SIZE;

use crate::machine::memory::GuestMemory;
use crate::machine::page_table::{entry, entry_index, entry_span};

/// Where a virtual address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Translation {
    /// Physical address.
    pub physical: u64,
    /// Bytes of the page.
    pub page_size: u64,
    /// Writable at every level.
    pub writable: bool,
    /// Executable at every level.
    pub executable: bool,
    /// Open to user mode at every level.
    pub user: bool,
    /// The leaf's global bit.
    pub global: bool,
}

/// Translates as the processor would (Intel SDM vol. 3, 4.5.4), for 4-level paging with NXE. `None`: not mapped.
pub(crate) fn translate(memory: &GuestMemory, root: u64, address: u64) -> Option<Translation> {
    let canonical = ((address as i64) << 16 >> 16) as u64 == address;
    if !canonical {
        return None;
    }
    let mut table = root & entry::ADDRESS;
    let (mut writable, mut executable, mut user) = (true, true, true);
    for level in (1..=4).rev() {
        let value = memory.read_word(table + entry_index(address, level) as u64 * 8).ok()?;
        if value & entry::PRESENT == 0 {
            return None;
        }
        writable &= value & entry::WRITABLE != 0;
        executable &= value & entry::NO_EXECUTE == 0;
        user &= value & entry::USER != 0;
        let is_leaf = level == 1 || (level <= 3 && value & entry::LARGE != 0);
        if is_leaf {
            let page_size = entry_span(level);
            let page = value & entry::ADDRESS & !(page_size - 1);
            let physical = page | (address & (page_size - 1));
            let global = value & entry::GLOBAL != 0;
            return Some(Translation { physical, page_size, writable, executable, user, global });
        }
        table = value & entry::ADDRESS;
    }
    None
}

/// Reads up to `count` bytes at a virtual address; stops at the first page that is not there.
pub(crate) fn read(memory: &GuestMemory, root: u64, address: u64, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let at = address.wrapping_add(bytes.len() as u64);
        let Some(translation) = translate(memory, root, at) else { break };
        let in_page = (PAGE_SIZE - at % PAGE_SIZE) as usize;
        let mut piece = vec![0; in_page.min(count - bytes.len())];
        if memory.read(translation.physical, &mut piece).is_err() {
            break;
        }
        bytes.extend(piece);
    }
    bytes
}

/// Reads one aligned 8-byte word at a virtual address.
pub(crate) fn read_word(memory: &GuestMemory, root: u64, address: u64) -> Option<u64> {
    if !address.is_multiple_of(8) {
        return None;
    }
    let translation = translate(memory, root, address)?;
    memory.read_word(translation.physical).ok()
}
