//! From an instruction's operands to accesses, through the guest's page tables.

use abi::address::{PAGE_SIZE, REGION_SIZE};

use crate::lens::stream::{Access, PageSize};
use crate::lens::trace::decode::Operand;
use crate::lens::trace::recording::{MemoryAccess, Region};
use crate::machine::debug::CpuState;
use crate::machine::memory::GuestMemory;
use crate::machine::walk;

/// Bits of CR3 that hold the address of the top-level page table.
pub(super) const PAGE_TABLE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Bits of CR4 (Intel SDM vol. 3, 2.5).
pub(super) mod cr4 {
    /// PGE: global pages.
    pub(in crate::lens::trace) const GLOBAL_PAGES: u64 = 1 << 7;
    /// PCIDE: process-context identifiers.
    pub(in crate::lens::trace) const PCIDS: u64 = 1 << 17;
}

/// The region that an address outside of the kernel's image lies in.
pub(super) fn region_of(address: u64, root: u64) -> Region {
    let is_user = address >> 63 == 0;
    let page_table = if is_user { root & PAGE_TABLE_ADDRESS } else { 0 };
    Region { page_table, base: address & !(REGION_SIZE - 1) }
}

/// Reads eight bytes at a virtual address.
pub(super) fn read_u64(memory: &GuestMemory, root: u64, address: u64) -> Option<u64> {
    let bytes = walk::read(memory, root, address, 8);
    bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// The accesses of one operand, one for each page. What is not mapped ends it: the instruction will fault.
pub(super) fn add_accesses(
    accesses: &mut Vec<MemoryAccess>,
    memory: &GuestMemory,
    state: &CpuState,
    operand: &Operand,
) {
    let mut done = 0;
    while done < operand.size_bytes {
        let address = operand.address.wrapping_add(done);
        let Some(translation) = walk::translate(memory, state.system.cr3, address) else { return };
        let page_size = PageSize::from_bytes(translation.page_size).unwrap_or(PageSize::Kib4);
        // An access to a large page is at most one small page's worth, so that its size fits the record.
        let left = page_size.bytes_left(address).min(PAGE_SIZE).min(operand.size_bytes - done);
        let global = translation.global && state.system.cr4 & cr4::GLOBAL_PAGES != 0;
        accesses.push(MemoryAccess {
            access: Access {
                kind: operand.kind,
                address,
                size_bytes: left as u16,
                user: state.ring() == 3,
                page_size,
                global,
            },
            physical: translation.physical,
            page_table: if translation.global { 0 } else { state.system.cr3 & PAGE_TABLE_ADDRESS },
            user_page: translation.user,
        });
        done += left;
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

    #[test]
    fn a_gate_holds_its_target_in_three_pieces() {
        let gate = [0xc0, 0x01, 0x10, 0, 0, 0x8e, 0x20, 0x80, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(gate_target(&gate), Some(0xffff_ffff_8020_01c0));
        assert_eq!(gate_target(&gate[..11]), None);
    }

    #[test]
    fn a_region_in_user_space_belongs_to_its_page_table_and_a_slot_to_none() {
        let user = region_of(0x1_0012_3456, 0x5003);
        assert_eq!(user, Region { page_table: 0x5000, base: 0x1_0000_0000 });
        let slot = region_of(0xffff_8081_0000_1000, 0x5003);
        assert_eq!(slot, Region { page_table: 0, base: 0xffff_8081_0000_0000 });
    }
}
