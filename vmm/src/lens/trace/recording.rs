//! What stepping through a guest leaves: every instruction between the marks, with its accesses to memory.

use std::collections::BTreeMap;

use abi::address::PAGE_SIZE;
use iced_x86::Instruction;

use crate::lens::trace::decode::{self, Mode};
use crate::lens::trace::repeat::Repeated;
use crate::tlb::stream::{Access, Event, PageSize};

/// Longest instruction, bytes (Intel SDM vol. 2, 2.3.11).
pub const INSTRUCTION_SIZE_MAX: usize = 15;

/// One access, and where in physical memory it went: two virtual addresses may be one page. A repeated instruction makes one to
/// all pages that are alike and lie side by side, in virtual and in physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryAccess {
    /// The access to the first page, as a TLB sees it.
    pub access: Access,
    /// Bytes in all pages.
    pub size_bytes: u64,
    /// Physical address of its first byte.
    pub physical: u64,
    /// The page table that translated it, 0 for a global page, which is the same in all of them.
    pub page_table: u64,
    /// Whether ring 3 may use the page.
    pub user_page: bool,
}

impl MemoryAccess {
    /// The accesses page by page, as a TLB sees them.
    pub fn pieces(&self) -> impl Iterator<Item = Access> + use<> {
        let MemoryAccess { access, size_bytes, .. } = *self;
        let mut done = 0;
        std::iter::from_fn(move || {
            let address = access.address.wrapping_add(done);
            let size = piece_size(access.page_size, address, size_bytes - done);
            done += u64::from(size);
            (size > 0).then_some(Access { address, size_bytes: size, ..access })
        })
    }

    /// Number of [`MemoryAccess::pieces`].
    pub fn piece_count(&self) -> u64 {
        // All others begin at a page's first byte.
        let others = self.size_bytes - u64::from(self.access.size_bytes);
        1 + others.div_ceil(PAGE_SIZE)
    }

    /// Whether `next` begins where this access ends, in pages that are alike.
    pub(super) fn goes_on_with(&self, next: &MemoryAccess) -> bool {
        let place = |access: &MemoryAccess| {
            let Access { kind, address, user, page_size, global, .. } = access.access;
            (kind, user, page_size, global, access.user_page, access.page_table, address, access.physical)
        };
        let end = MemoryAccess {
            access: Access { address: self.access.address.wrapping_add(self.size_bytes), ..self.access },
            physical: self.physical.wrapping_add(self.size_bytes),
            ..*self
        };
        place(&end) == place(next)
    }
}

/// Bytes of an access with so many `left` that one record for a TLB holds: up to the end of the page, and no more than a small page
/// has.
pub(super) fn piece_size(page_size: PageSize, address: u64, left: u64) -> u16 {
    page_size.bytes_left(address).min(PAGE_SIZE).min(left) as u16
}

/// One executed instruction. A repeated string instruction is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Its virtual (linear) address.
    pub address: u64,
    /// How the processor read it.
    pub mode: Mode,
    /// The region that it lies in; without meaning in the kernel's image.
    pub region: Region,
    /// Its bytes, the first [`Step::length`] of them.
    pub bytes: [u8; INSTRUCTION_SIZE_MAX],
    /// Number of its bytes.
    pub length: u8,
    /// Privilege level that it ran with: 0 or 3.
    pub ring: u8,
    /// Physical address of the top-level page table in CR3.
    pub page_table: u64,
    /// Fetch of its bytes, then its data; of a repeated instruction what it has touched when it is over.
    pub accesses: Vec<MemoryAccess>,
    /// What it did to the TLB beyond its accesses.
    pub event: Option<Event>,
    /// How it was repeated.
    pub repeated: Repeated,
}

impl Step {
    /// Offset in its region.
    pub fn offset(&self) -> u64 {
        self.address.wrapping_sub(self.region.base)
    }

    /// The instruction; `None` where its bytes are none.
    pub fn instruction(&self) -> Option<Instruction> {
        decode::decode(self.code(), self.address, self.mode)
    }

    /// The instruction's bytes.
    pub fn code(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length).min(INSTRUCTION_SIZE_MAX)]
    }
}

/// A region of a server, as the guest has mapped it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Region {
    /// Top-level page table of its space, 0 for a slot of the kernel and for a small space, which are in all of them.
    pub page_table: u64,
    /// Its lowest address.
    pub base: u64,
}

/// All instructions between the marks, in order, without a gap.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The instructions.
    pub steps: Vec<Step>,
    /// The server (its index in the plan) in each region in which code ran.
    pub regions: BTreeMap<Region, u32>,
    /// Base address of GS in the kernel: the record of CPU 0.
    pub cpu_record: u64,
    /// Address of IA32_LSTAR: where SYSCALL should lead.
    pub system_call_entry: u64,
    /// CR4.PCIDE at the first mark.
    pub has_pcids: bool,
}
