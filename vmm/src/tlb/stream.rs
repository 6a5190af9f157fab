//! What a trace tells a model of the processor's caches of translations: one [`Event`] after the other, in program order.
//!
//! The trace lens produces it, the TLB models (`tlb`) consume it. Addresses are virtual (linear). The producer has
//! walked the page tables, so each access carries what a TLB entry would hold: page size and global bit. A stream begins
//! with [`Event::PcidsEnabled`] and [`Event::LoadPageTable`], which tell how and where the traced program runs.

use serde::{Deserialize, Serialize};

/// Takes events in program order.
pub trait EventSink {
    /// Takes the next event.
    fn event(&mut self, event: &Event);
}

/// Recording a stream, to run several models over it later.
impl EventSink for Vec<Event> {
    fn event(&mut self, event: &Event) {
        self.push(*event);
    }
}

/// One thing that matters to a TLB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// An access to memory.
    Access(Access),
    /// MOV to CR3.
    LoadPageTable {
        /// The operand as written: PCID in bits 0-11 where PCIDs are enabled, "do not invalidate" in bit 63.
        value: u64,
    },
    /// CR4.PCIDE is (from now on) set or clear. A stream that never says so has it clear.
    PcidsEnabled(bool),
    /// INVLPG.
    InvalidatePage {
        /// Its operand.
        address: u64,
    },
    /// INVPCID.
    InvalidatePcid {
        /// Its register operand.
        kind: InvalidatePcidKind,
        /// Bits 0-11 of its descriptor; meaningless for the kinds that name no PCID.
        pcid: u16,
        /// The upper half of its descriptor; meaningless except for [`InvalidatePcidKind::Address`].
        address: u64,
    },
    /// Any other flush of all translations: a change of CR4.PGE (`global_too`), of CR4.PAE and the like.
    FlushAll {
        /// Global translations go as well.
        global_too: bool,
    },
    /// A mark between round trips: N + 1 marks enclose N round trips. What comes before the first mark and after the
    /// last is simulated, but belongs to no round trip.
    RoundTrip,
}

/// One access to memory, which lies within one page: the producer splits it where it crosses into another page (see
/// [`PageSize::bytes_left`]), because the next page may be of another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// What for.
    pub kind: AccessKind,
    /// Virtual address of the first byte.
    pub address: u64,
    /// Bytes.
    pub size_bytes: u16,
    /// Made with user privilege. Implicit accesses of the processor (GDT, IDT, TSS) are never.
    pub user: bool,
    /// Size of the page as mapped.
    pub page_size: PageSize,
    /// The leaf's global bit, where CR4.PGE is set; `false` where it is clear.
    pub global: bool,
}

/// What an access is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessKind {
    /// Instruction bytes.
    Fetch,
    /// Data that is read.
    Read,
    /// Data that is written, or read and written.
    Write,
}

/// Size of a page as mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PageSize {
    /// 4 KiB: mapped by a page-table entry.
    #[serde(rename = "4KiB")]
    Kib4,
    /// 2 MiB: mapped by a page-directory entry.
    #[serde(rename = "2MiB")]
    Mib2,
    /// 1 GiB: mapped by a page-directory-pointer-table entry.
    #[serde(rename = "1GiB")]
    Gib1,
}

impl PageSize {
    /// Every size, ascending.
    pub const ALL: [PageSize; 3] = [PageSize::Kib4, PageSize::Mib2, PageSize::Gib1];

    /// The size of so many bytes, where x86-64 has it.
    pub const fn from_bytes(bytes: u64) -> Option<PageSize> {
        match bytes {
            0x1000 => Some(PageSize::Kib4),
            0x20_0000 => Some(PageSize::Mib2),
            0x4000_0000 => Some(PageSize::Gib1),
            _ => None,
        }
    }

    /// Address bits within the page.
    pub const fn shift(self) -> u32 {
        match self {
            PageSize::Kib4 => 12,
            PageSize::Mib2 => 21,
            PageSize::Gib1 => 30,
        }
    }

    /// Bytes of the page.
    pub const fn bytes(self) -> u64 {
        1 << self.shift()
    }

    /// Number of the page that holds `address`, counted in pages of this size.
    pub const fn page_number(self, address: u64) -> u64 {
        address >> self.shift()
    }

    /// Bytes from `address` to the end of its page: where an access must be split.
    pub const fn bytes_left(self, address: u64) -> u64 {
        self.bytes() - (address & (self.bytes() - 1))
    }
}

/// The four kinds of INVPCID (Intel SDM vol. 2A, INVPCID).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvalidatePcidKind {
    /// 0: one address in one PCID, except global translations.
    Address,
    /// 1: one PCID, except global translations.
    SinglePcid,
    /// 2: everything, with global translations.
    AllWithGlobal,
    /// 3: everything, except global translations.
    AllExceptGlobal,
}

impl InvalidatePcidKind {
    /// From the register operand; `None` where the instruction would fault.
    pub const fn from_operand(operand: u64) -> Option<InvalidatePcidKind> {
        match operand {
            0 => Some(InvalidatePcidKind::Address),
            1 => Some(InvalidatePcidKind::SinglePcid),
            2 => Some(InvalidatePcidKind::AllWithGlobal),
            3 => Some(InvalidatePcidKind::AllExceptGlobal),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_is_split_at_the_end_of_its_page() {
        assert_eq!(PageSize::Kib4.bytes_left(0x1ffc), 4);
        assert_eq!(PageSize::Kib4.bytes_left(0x2000), 0x1000);
        assert_eq!(PageSize::Mib2.bytes_left(0x1ffc), 0x1f_e004);
    }

    #[test]
    fn sizes_and_bytes_correspond() {
        for size in PageSize::ALL {
            assert_eq!(PageSize::from_bytes(size.bytes()), Some(size));
        }
        assert_eq!(PageSize::from_bytes(0x40_0000), None);
    }
}
