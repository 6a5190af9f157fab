//! From an instruction's operands to accesses, through the guest's page tables.

use abi::address::{REGION_SIZE, SMALL_BASE};

use crate::lens::trace::decode::{Mode, Operand, Registers, SegmentBases};
use crate::lens::trace::recording::{MemoryAccess, Region, piece_size};
use crate::machine::debug::CpuState;
use crate::machine::memory::GuestMemory;
use crate::machine::walk;
use crate::tlb::stream::{Access, PageSize};

/// Bits of CR3 that hold the address of the top-level page table.
pub(super) const PAGE_TABLE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Bits of CR4 (Intel SDM vol. 3, 2.5).
pub(super) mod cr4 {
    /// PGE: global pages.
    pub(in crate::lens::trace) const GLOBAL_PAGES: u64 = 1 << 7;
    /// PCIDE: process-context identifiers.
    pub(in crate::lens::trace) const PCIDS: u64 = 1 << 17;
}

/// The registers that the next instruction's addresses are made of.
pub(super) fn registers(state: &CpuState) -> Registers {
    let system = &state.system;
    let bases = SegmentBases {
        cs: system.cs.base,
        ss: system.ss.base,
        ds: system.ds.base,
        es: system.es.base,
        fs: system.fs.base,
        gs: system.gs.base,
    };
    let mode = if system.cs.l == 1 { Mode::Bits64 } else { Mode::Bits32 };
    Registers { general: state.general, mode, bases }
}

/// Linear address of the next instruction.
pub(super) fn code_address(state: &CpuState) -> u64 {
    registers(state).code_address(state.general.rip)
}

/// The region that the code at an address outside of the kernel's image lies in. That of a 32-bit program begins where
/// its segments do.
pub(super) fn region_of(address: u64, state: &CpuState) -> Region {
    let root = state.system.cr3 & PAGE_TABLE_ADDRESS;
    if registers(state).mode == Mode::Bits32 {
        let base = state.system.cs.base;
        return Region { page_table: if base >= SMALL_BASE { 0 } else { root }, base };
    }
    let is_user = address >> 63 == 0;
    Region { page_table: if is_user { root } else { 0 }, base: address & !(REGION_SIZE - 1) }
}

/// Reads eight bytes at a virtual address; four where no more are mapped, which are a whole word for 32-bit code.
pub(super) fn read_word(memory: &GuestMemory, root: u64, address: u64) -> Option<u64> {
    let bytes = walk::read(memory, root, address, 8);
    let whole = bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    whole.or(bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes).into()))
}

/// Most pages that the instructions of a trace touch, each as often as it is touched: at most as many records.
pub(super) const PAGES_MAX: u64 = 1 << 22;

/// Makes accesses of operands, and counts the pages of all of them.
pub(super) struct Accesses {
    most: u64,
    pages_left: u64,
}

impl Default for Accesses {
    fn default() -> Accesses {
        Accesses::at_most(PAGES_MAX)
    }
}

impl Accesses {
    fn at_most(most: u64) -> Accesses {
        Accesses { most, pages_left: most }
    }

    /// Adds those of an instruction, or fails with the most pages that there may be.
    pub(super) fn add(
        &mut self,
        accesses: &mut Vec<MemoryAccess>,
        memory: &GuestMemory,
        state: &CpuState,
        operands: &[Operand],
    ) -> Result<(), u64> {
        operands.iter().try_for_each(|operand| self.add_one(accesses, memory, state, operand))
    }

    /// The accesses of one operand; pages that lie side by side are one. What is not mapped ends it: the instruction will fault.
    fn add_one(
        &mut self,
        accesses: &mut Vec<MemoryAccess>,
        memory: &GuestMemory,
        state: &CpuState,
        operand: &Operand,
    ) -> Result<(), u64> {
        let first = accesses.len();
        let mut done = 0;
        while done < operand.size_bytes {
            let address = operand.address.wrapping_add(done);
            let Some(translation) = walk::translate(memory, state.system.cr3, address) else { break };
            self.pages_left = self.pages_left.checked_sub(1).ok_or(self.most)?;
            let page_size = PageSize::from_bytes(translation.page_size).unwrap_or(PageSize::Kib4);
            let global = translation.global && state.system.cr4 & cr4::GLOBAL_PAGES != 0;
            let access = Access {
                kind: operand.kind,
                address,
                size_bytes: piece_size(page_size, address, operand.size_bytes - done),
                user: state.ring() == 3 && !operand.is_implicit,
                page_size,
                global,
            };
            done += u64::from(access.size_bytes);
            let next = MemoryAccess {
                access,
                size_bytes: access.size_bytes.into(),
                physical: translation.physical,
                page_table: if translation.global { 0 } else { state.system.cr3 & PAGE_TABLE_ADDRESS },
                user_page: translation.user,
            };
            match accesses[first..].last_mut().filter(|last| last.goes_on_with(&next)) {
                Some(last) => last.size_bytes += next.size_bytes,
                None => accesses.push(next),
            }
        }
        Ok(())
    }
}

/// Address of the handler in a 64-bit gate (Intel SDM vol. 3, figure 7-8).
pub(super) fn gate_target(gate: &[u8]) -> Option<u64> {
    let low = u16::from_le_bytes(*gate.first_chunk()?);
    let middle = u16::from_le_bytes(*gate.get(6..8)?.first_chunk()?);
    let high = u32::from_le_bytes(*gate.get(8..12)?.first_chunk()?);
    Some(u64::from(low) | u64::from(middle) << 16 | u64::from(high) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::guest::HugePages;
    use crate::machine::page_table::entry;
    use crate::tlb::stream::AccessKind;

    #[test]
    fn a_gate_holds_its_target_in_three_pieces() {
        let gate = [0xc0, 0x01, 0x10, 0, 0, 0x8e, 0x20, 0x80, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(gate_target(&gate), Some(0xffff_ffff_8020_01c0));
        assert_eq!(gate_target(&gate[..11]), None);
    }

    /// Memory in which the first 2 MiB are mapped 4 KiB by 4 KiB: pages 0 to 3 where they are, page 4 onto page 9, the others not.
    fn mapped() -> GuestMemory {
        let memory = GuestMemory::new(1 << 20, HugePages::No).unwrap();
        let entry = |page: u64| page << 12 | entry::PRESENT;
        for (table, next) in [(0x5000, 6), (0x6000, 7), (0x7000, 8)] {
            memory.write_words(table, &[entry(next)]).unwrap();
        }
        memory.write_words(0x8000, &[0, 1, 2, 3, 9].map(entry)).unwrap();
        memory
    }

    fn reads(address: u64, size_bytes: u64, most: u64) -> Result<Vec<MemoryAccess>, u64> {
        let operand = Operand { address, size_bytes, kind: AccessKind::Read, is_implicit: false };
        let mut accesses = Vec::new();
        Accesses::at_most(most).add(&mut accesses, &mapped(), &state(1, 0), &[operand])?;
        Ok(accesses)
    }

    #[test]
    fn pages_side_by_side_are_one_access_and_what_is_not_mapped_ends_it() {
        let accesses = reads(0x800, 1 << 40, 100).unwrap();
        let places: Vec<_> = accesses
            .iter()
            .map(|access| (access.access.address, access.size_bytes, access.physical))
            .collect();
        assert_eq!(places, [(0x800, 0x3800, 0x800), (0x4000, 0x1000, 0x9000)]);
        let pieces: Vec<_> = accesses[0].pieces().map(|piece| (piece.address, piece.size_bytes)).collect();
        assert_eq!(pieces, [(0x800, 0x800), (0x1000, 0x1000), (0x2000, 0x1000), (0x3000, 0x1000)]);
        assert_eq!(accesses[0].piece_count(), 4);
    }

    #[test]
    fn a_trace_touches_so_many_pages_and_no_more() {
        assert!(reads(0x800, 1 << 40, 5).is_ok());
        assert_eq!(reads(0x800, 1 << 40, 4).unwrap_err(), 4);
    }

    #[test]
    fn a_region_in_user_space_belongs_to_its_page_table_and_a_slot_to_none() {
        let state = state(1, 0x1000);
        let user = region_of(0x1_0012_3456, &state);
        assert_eq!(user, Region { page_table: 0x5000, base: 0x1_0000_0000 });
        let slot = region_of(0xffff_8081_0000_1000, &state);
        assert_eq!(slot, Region { page_table: 0, base: 0xffff_8081_0000_0000 });
    }

    /// A state with a page table at 0x5000, with L and the base of CS.
    fn state(long: u8, base: u64) -> CpuState {
        let mut system = kvm_bindings::kvm_sregs { cr3: 0x5003, ..Default::default() };
        (system.cs.l, system.cs.base) = (long, base);
        CpuState { general: kvm_bindings::kvm_regs { rip: 0x20, ..Default::default() }, system }
    }

    #[test]
    fn the_region_of_a_32_bit_program_begins_with_its_segments() {
        assert_eq!(code_address(&state(1, 0x1000)), 0x20, "64-bit mode has no base");
        let large = state(0, 0);
        assert_eq!(code_address(&large), 0x20);
        assert_eq!(region_of(0x20, &large), Region { page_table: 0x5000, base: 0 });
        let small = state(0, 0xa040_0000);
        assert_eq!(code_address(&small), 0xa040_0020);
        assert_eq!(region_of(0xa040_0020, &small), Region { page_table: 0, base: 0xa040_0000 });
    }
}
