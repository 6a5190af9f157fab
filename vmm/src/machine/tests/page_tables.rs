//! The boot page tables, checked with the walker that reads a dead guest's: it shares no code with the builder.

use proptest::prelude::*;

use abi::address::{
    CPU_AREA_BASE, CPU_AREA_PIECES, CPU_AREA_STRIDE, LOCAL_APIC, PAGE_SIZE, PHYSICAL_MAP_BASE,
    SLOT_TOP_ENTRY_COUNT, SLOT_TOP_ENTRY_FIRST, TABLE_ENTRIES, top_entry_base,
};

use super::kernel;
use crate::machine::boot::{Processor, page_tables, table_bytes};
use crate::machine::guest::HugePages;
use crate::machine::kernel_image::KernelImage;
use crate::machine::layout::{Layout, Request};
use crate::machine::memory::{self, GuestMemory};
use crate::machine::page_table::{Access, LargestPage, entry};
use crate::machine::walk::{Translation, translate};

/// A guest's tables in memory, and all leaves as (virtual address, translation).
struct Tables {
    memory: GuestMemory,
    root: u64,
    layout: Layout,
    image: KernelImage,
    words: Vec<u64>,
}

fn build(memory_bytes: u64, vcpus: u32, image: KernelImage, largest_page: LargestPage) -> Tables {
    build_for(memory_bytes, vcpus, image, Processor { largest_page, has_x2apic: true })
}

fn build_for(memory_bytes: u64, vcpus: u32, image: KernelImage, processor: Processor) -> Tables {
    let layout = Layout::new(&Request {
        memory_bytes,
        kernel: image.physical_extent(),
        module_sizes: vec![5000],
        servers: 2,
        rights: 2,
        vcpus,
        table_bytes: table_bytes(memory_bytes, vcpus, &image, processor),
        sample_capacity: 1000,
    })
    .unwrap();
    let memory = GuestMemory::new(memory_bytes, HugePages::No).unwrap();
    let words = page_tables(memory_bytes, vcpus, &image, &layout, processor).unwrap();
    memory.write_words(layout.page_tables.start, &words).unwrap();
    Tables { root: layout.page_tables.start, memory, layout, image, words }
}

impl Tables {
    fn at(&self, address: u64) -> Option<Translation> {
        translate(&self.memory, self.root, address)
    }

    /// Calls `check` with every present leaf entry.
    fn each_leaf(&self, check: &mut dyn FnMut(u64, u64)) {
        self.each_leaf_below(self.root, 4, 0, check);
    }

    fn each_leaf_below(&self, table: u64, level: u32, base: u64, check: &mut dyn FnMut(u64, u64)) {
        for (index, value) in self.memory.read_words(table, TABLE_ENTRIES).unwrap().into_iter().enumerate() {
            let address =
                if level == 4 { top_entry_base(index) } else { base + ((index as u64) << (3 + 9 * level)) };
            if value & entry::PRESENT == 0 {
                continue;
            }
            if level == 1 || value & entry::LARGE != 0 {
                check(address, value);
            } else {
                assert_eq!(value & entry::USER, 0);
                self.each_leaf_below(value & entry::ADDRESS, level - 1, address, check);
            }
        }
    }
}

#[test]
fn every_leaf_is_global_supervisor_and_never_both_writable_and_executable() {
    for page in [LargestPage::Mebibytes2, LargestPage::Gibibyte1] {
        let tables = build(64 << 20, 4, kernel(40, 9), page);
        let mut leaves = 0;
        tables.each_leaf(&mut |address, value| {
            leaves += 1;
            assert!(address >= PHYSICAL_MAP_BASE, "{address:#x} is in the lower half");
            assert_ne!(value & entry::GLOBAL, 0, "{address:#x} is not global");
            assert_eq!(value & entry::USER, 0, "{address:#x} is open to user mode");
            let both = value & entry::WRITABLE != 0 && value & entry::NO_EXECUTE == 0;
            assert!(!both, "{address:#x} is writable and executable");
        });
        assert!(leaves > 50);
    }
}

#[test]
fn the_kernel_has_the_rights_of_its_segments() {
    let tables = build(64 << 20, 1, kernel(40, 9), LargestPage::Gibibyte1);
    for segment in &tables.image.segments {
        for page in (0..segment.size).step_by(PAGE_SIZE as usize) {
            let found = tables.at(segment.virtual_start + page + 5).unwrap();
            assert_eq!(found.physical, segment.physical_start + page + 5);
            assert_eq!((found.page_size, found.user, found.global), (PAGE_SIZE, false, true));
            assert_eq!(found.writable, segment.access == Access::ReadWrite);
            assert_eq!(found.executable, segment.access == Access::ReadExecute);
        }
    }
    let last = tables.image.segments.last().unwrap();
    assert_eq!(tables.at(last.virtual_start + last.size), None);
    assert_eq!(tables.at(tables.image.segments[0].virtual_start - 1), None);
}

#[test]
fn stacks_have_guards_and_every_cpu_its_own_pages() {
    let vcpus = 20;
    let tables = build(64 << 20, vcpus, kernel(4, 4), LargestPage::Mebibytes2);
    let mut seen = std::collections::HashSet::new();
    for cpu in 0..vcpus {
        let area = CPU_AREA_BASE + u64::from(cpu) * CPU_AREA_STRIDE;
        for page in (area..area + CPU_AREA_STRIDE).step_by(PAGE_SIZE as usize) {
            let offset = page - area;
            let is_mapped = CPU_AREA_PIECES
                .iter()
                .any(|piece| (piece.offset..piece.offset + piece.size).contains(&offset));
            let found = tables.at(page);
            assert_eq!(found.is_some(), is_mapped, "CPU {cpu}, offset {offset:#x}");
            if let Some(found) = found {
                assert!(found.writable && !found.executable);
                assert!(seen.insert(found.physical), "two CPUs share {:#x}", found.physical);
                let areas = tables.layout.cpu_areas;
                assert!((areas.start..areas.start + areas.size).contains(&found.physical));
            }
        }
        for piece in CPU_AREA_PIECES {
            assert_eq!(tables.at(piece.start(cpu) - 1), None, "a guard lies below each piece");
        }
    }
    assert_eq!(tables.at(CPU_AREA_BASE + u64::from(vcpus) * CPU_AREA_STRIDE + 0x1000), None);
}

#[test]
fn the_slots_share_empty_level_3_tables() {
    let tables = build(64 << 20, 1, kernel(4, 4), LargestPage::Mebibytes2);
    let mut seen = std::collections::HashSet::new();
    for index in 0..256 {
        assert_eq!(tables.words[index], 0, "the lower half is empty");
    }
    for index in SLOT_TOP_ENTRY_FIRST..SLOT_TOP_ENTRY_FIRST + SLOT_TOP_ENTRY_COUNT {
        let value = tables.words[index];
        assert_eq!(
            value & (entry::PRESENT | entry::WRITABLE | entry::USER),
            entry::PRESENT | entry::WRITABLE
        );
        let table = value & entry::ADDRESS;
        assert!(seen.insert(table));
        let room = tables.layout.page_tables;
        assert!(table >= room.start && table + PAGE_SIZE <= room.start + room.size);
        assert!(table >= room.start + tables.words.len() as u64 * 8, "no other table lies there");
        assert!(tables.memory.read_words(table, TABLE_ENTRIES).unwrap().iter().all(|value| *value == 0));
    }
}

#[test]
fn the_physical_map_leaves_out_the_hole_and_uses_large_pages() {
    let bytes = memory::HOLE_START + (3 << 30) + (5 << 20) + 0x3000;
    for (page, large) in [(LargestPage::Mebibytes2, 2 << 20), (LargestPage::Gibibyte1, 1 << 30)] {
        let tables = build(bytes, 1, kernel(4, 4), page);
        let at = |physical: u64| tables.at(PHYSICAL_MAP_BASE + physical);
        assert_eq!(at(123).unwrap().page_size, large);
        assert_eq!(at(0xfee0_0000), None);
        assert_eq!(at(memory::HOLE_START), None);
        let end = memory::HOLE_END + bytes - memory::HOLE_START;
        assert_eq!(at(end - 1).unwrap().physical, end - 1);
        assert_eq!(at(end - 1).unwrap().page_size, 4096);
        assert_eq!(at(end - 0x4000).unwrap().page_size, 2 << 20 >> 9, "the rest of an odd MiB");
        assert_eq!(at(end), None);
        let found = at(memory::HOLE_END + 777).unwrap();
        assert!(found.writable && !found.executable && found.physical == memory::HOLE_END + 777);
    }
}

/// Registers of a device are where the kernel looks for them, and no page of memory is beside them.
#[test]
fn a_local_apic_in_memory_is_mapped_and_never_cached() {
    let address = PHYSICAL_MAP_BASE + LOCAL_APIC;
    for (bytes, largest_page) in [(64 << 20, LargestPage::Mebibytes2), (5 << 30, LargestPage::Gibibyte1)] {
        let tables = build_for(bytes, 1, kernel(4, 4), Processor { largest_page, has_x2apic: false });
        let found = tables.at(address + 0x20).unwrap();
        assert_eq!((found.physical, found.page_size), (LOCAL_APIC + 0x20, PAGE_SIZE));
        assert!(found.writable && !found.executable && !found.user);
        assert_eq!((tables.at(address - 1), tables.at(address + PAGE_SIZE)), (None, None));
        let mut uncached = Vec::new();
        tables.each_leaf(&mut |at, value| uncached.extend((value & entry::UNCACHED != 0).then_some(at)));
        assert_eq!(uncached, [address]);
    }
}

#[test]
fn a_table_that_points_to_itself_or_nowhere_is_survived() {
    let memory = GuestMemory::new(1 << 20, HugePages::No).unwrap();
    for index in 0..512 {
        memory.write_words(0x1000 + index * 8, &[0x1000 | entry::PRESENT]).unwrap();
    }
    assert_eq!(translate(&memory, 0x1000, 0x123).unwrap().physical, 0x1123);
    assert_eq!(translate(&memory, u64::MAX, 0x123), None);
    assert_eq!(translate(&memory, 0x1000, 1 << 50), None, "not canonical");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// The layout's room for tables is enough whatever the guest's size: building them does not fail.
    #[test]
    fn there_is_room_for_all_tables(
        pages in 40_000u64..2_000_000,
        vcpus in 1u32..900,
        text in 1u64..3_000,
        large in any::<bool>(),
        has_x2apic in any::<bool>(),
    ) {
        let page = if large { LargestPage::Gibibyte1 } else { LargestPage::Mebibytes2 };
        let image = kernel(text, text);
        let bytes = pages * 4096;
        let processor = Processor { largest_page: page, has_x2apic };
        let room = table_bytes(bytes, vcpus, &image, processor);
        let tables = build_for(bytes, vcpus, image, processor);
        let used = (tables.words.len() / TABLE_ENTRIES + SLOT_TOP_ENTRY_COUNT) as u64 * PAGE_SIZE;
        prop_assert!(used <= room && room - used <= 24 * PAGE_SIZE, "{used} of {room}");
    }
}
