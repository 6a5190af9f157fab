//! Address spaces: a top-level page table and, where the CPU has them, a process-context identifier (PCID).

use core::cell::Cell;

use crate::arch::Home;
use crate::object::server::Spread;

/// Bit 63 of a value for CR3: keep the TLB entries of the PCID that is loaded (Intel SDM vol. 3, 4.10.4.1).
pub const PRESERVE_TLB: u64 = 1 << 63;

/// PCIDs that can be given away; 0 is left to the boot page table and to spaces beyond this number.
pub const PCID_MAX: u64 = 4095;

/// A user address space.
pub struct Space {
    /// Physical address of the top-level page table.
    pub root: u64,
    /// What to load into CR3 when the TLB's entries of the space are true, and when they may not be.
    load_values: [u64; 2],
    /// What to load into CR3 next: the second of them as long as the TLB may hold what the page tables no longer say. Only
    /// the one CPU that loads this space changes it; if there are several, it stays the first: they flush at once
    /// ([`crate::smp::flush`]).
    next_load_value: Cell<u64>,
    /// The CPUs whose threads run in it.
    cpus: Cell<Option<Spread>>,
    /// Physical address of the level-3 table of its home, if it is that of a server that may migrate, else 0.
    own_level3: Cell<u64>,
}

impl Space {
    /// The space with number `index` among all spaces. Without `use_pcid` every load of it flushes.
    pub fn new(root: u64, index: u64, use_pcid: bool) -> Space {
        let pcid = if use_pcid && index < PCID_MAX { index + 1 } else { 0 };
        let flushing = root | pcid;
        let load_values = [if pcid == 0 { flushing } else { flushing | PRESERVE_TLB }, flushing];
        Space {
            root,
            load_values,
            next_load_value: Cell::new(flushing),
            cpus: Cell::new(None),
            own_level3: Cell::new(0),
        }
    }

    /// The value to load into CR3 now. The first load, and the first one after [`Space::set_stale`], flushes what the
    /// TLB holds for the PCID; the others keep it.
    #[inline]
    pub fn take_load_value(&self) -> u64 {
        let value = self.next_load_value.get();
        if value != self.load_values[0] {
            // Only then: CPUs that load the same space must not take its cache line from each other.
            self.next_load_value.set(self.load_values[0]);
        }
        value
    }

    /// Notes that a mapping was taken away while the TLB may hold it: the next load flushes.
    pub fn set_stale(&self) {
        if !self.is_shared() {
            self.next_load_value.set(self.load_values[1]);
        }
    }

    /// Notes that threads on these CPUs run in it, before they do. Whether all TLBs have to forget all of it first, because one
    /// that was to do so at the next load does not any more.
    #[must_use]
    pub fn add_cpus(&self, cpus: Spread) -> bool {
        let (before, was_shared) = (self.cpus.get(), self.is_shared());
        self.cpus.set(Some(before.map_or(cpus, |others| others.joined(cpus))));
        if self.is_shared() {
            self.next_load_value.set(self.load_values[0]);
        }
        // No TLB can hold anything of a PCID that was never loaded.
        before.is_some() && !was_shared && self.is_shared()
    }

    /// Whether threads on several CPUs run in it.
    pub fn is_shared(&self) -> bool {
        self.cpus.get().is_some_and(|cpus| cpus.count > 1)
    }

    /// Whether the TLB of a CPU may hold entries of this space while another one is loaded there.
    pub fn may_linger_on(&self, cpu: u32) -> bool {
        self.pcid() != 0 && self.is_shared() && self.cpus.get().is_some_and(|cpus| cpus.contains(cpu))
    }

    /// Notes the level-3 table of its home.
    pub fn set_own_level3(&self, table: u64) {
        self.own_level3.set(table);
    }

    /// The home of the server that may migrate and whose own space it is.
    pub fn home(&self) -> Home {
        Home { root: self.root, own_level3: self.own_level3.get() }
    }

    /// Its PCID, 0 when there is none.
    pub fn pcid(&self) -> u64 {
        self.load_values[1] & PCID_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_load_flushes_without_pcid() {
        let space = Space::new(0x5000, 3, false);
        assert_eq!(space.take_load_value(), 0x5000);
        assert_eq!(space.take_load_value(), 0x5000);
    }

    #[test]
    fn only_the_first_load_and_the_one_after_a_change_flush_with_pcid() {
        let space = Space::new(0x5000, 3, true);
        assert_eq!(space.take_load_value(), 0x5004);
        assert_eq!(space.take_load_value(), 0x5004 | PRESERVE_TLB);
        space.set_stale();
        assert_eq!(space.take_load_value(), 0x5004);
        assert_eq!(space.take_load_value(), 0x5004 | PRESERVE_TLB);
    }

    #[test]
    fn spaces_beyond_the_last_pcid_share_none() {
        let last = Space::new(0x5000, PCID_MAX - 1, true);
        assert_eq!(last.take_load_value(), 0x5fff);
        let beyond = Space::new(0x6000, PCID_MAX, true);
        assert_eq!(beyond.take_load_value(), 0x6000);
        assert_eq!(beyond.take_load_value(), 0x6000);
    }
}
