//! What stepping through a guest leaves: every instruction between the marks, with its accesses to memory.

use std::collections::BTreeMap;

use iced_x86::Instruction;

use crate::lens::stream::{Access, Event};
use crate::lens::trace::decode::{self, Mode};
use crate::lens::trace::repeat::Repeated;

/// Longest instruction, bytes (Intel SDM vol. 2, 2.3.11).
pub const INSTRUCTION_SIZE_MAX: usize = 15;

/// One access, and where in physical memory it went: two virtual addresses may be one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryAccess {
    /// The access as a TLB sees it.
    pub access: Access,
    /// Physical address of its first byte.
    pub physical: u64,
    /// The page table that translated it, 0 for a global page, which is the same in all of them.
    pub page_table: u64,
    /// Whether ring 3 may use the page.
    pub user_page: bool,
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
    /// Fetch of its bytes, then its data.
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
