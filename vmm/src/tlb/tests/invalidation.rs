//! What each operation takes away, and what it leaves.

use super::{access, counts, counts_after, fully_associative, load, read, read_global, text};
use crate::tlb::stream::{Access, AccessKind, Event, InvalidatePcidKind};
use crate::tlb::{Model, Tags};

/// Walks of reads of pages 1 and 2 and of the global page 3 that come after `operations`, all three having been there.
fn refilled(model: &Model, before: &[Event], operations: &[Event]) -> (u64, u64, u64) {
    let pages = [read(1), read(2), read_global(3)];
    let before = [before, &pages].concat();
    let counts = counts_after(model, &before, &[operations, &pages].concat());
    assert_eq!(counts.total().flush_refills, counts.total().walks, "each walk is due to the flush");
    (counts.user.data.walks, counts.kernel.data.walks, counts.entries_dropped)
}

#[test]
fn without_tags_a_load_of_cr3_leaves_global_pages_only() {
    let model = fully_associative("none", 8);
    assert_eq!(refilled(&model, &[load(1, 0, false)], &[load(1, 0, false)]), (2, 0, 2));
    let mut without_global = model.clone();
    without_global.global_pages = false;
    assert_eq!(refilled(&without_global, &[load(1, 0, false)], &[load(1, 0, false)]), (2, 1, 3));
}

#[test]
fn bit_63_is_ignored_where_pcids_are_disabled() {
    let model = fully_associative("pcid", 8);
    assert_eq!(refilled(&model, &[load(1, 0, false)], &[load(1, 0, true)]), (2, 0, 2));
}

#[test]
fn with_bit_63_tagged_pages_survive_a_change_of_space_and_back() {
    let model = fully_associative("pcid", 8);
    let before = [Event::PcidsEnabled(true), load(1, 1, true)];
    assert_eq!(refilled(&model, &before, &[load(2, 2, true), load(1, 1, true)]), (0, 0, 0));
}

#[test]
fn without_bit_63_the_loaded_pcid_is_flushed_and_no_other() {
    let model = fully_associative("pcid", 8);
    let before = [Event::PcidsEnabled(true), load(1, 1, true)];
    assert_eq!(refilled(&model, &before, &[load(2, 2, false), load(1, 1, true)]), (0, 0, 0));
    assert_eq!(refilled(&model, &before, &[load(2, 2, true), load(1, 1, false)]), (2, 0, 2));
}

#[test]
fn a_page_of_another_space_is_not_a_hit_and_not_a_refill() {
    for (model, enabled) in [(fully_associative("pcid", 8), true), (fully_associative("none", 8), false)] {
        let before = [Event::PcidsEnabled(enabled), load(1, 1, true), read(1)];
        let counts = counts_after(&model, &before, &[load(2, 2, true), read(1)]);
        assert_eq!((counts.user.data.walks, counts.user.data.flush_refills), (1, 0));
    }
}

#[test]
fn a_flush_counts_as_the_cause_even_after_another_one() {
    let model = fully_associative("none", 8);
    let trip = [load(1, 0, false), read(1), load(2, 0, false), read(2)];
    let counts = counts_after(&model, &trip, &trip);
    assert_eq!((counts.user.data.walks, counts.user.data.flush_refills), (2, 2));
    assert_eq!((counts.page_table_loads, counts.flushes, counts.entries_dropped), (2, 2, 2));
}

#[test]
fn what_was_given_up_for_room_is_no_refill() {
    let model = fully_associative("none", 1);
    let counts = counts(&model, &[read(1), read(2), load(0, 0, false), read(1), read(2)]);
    assert_eq!((counts.user.data.walks, counts.user.data.flush_refills), (4, 1));
}

#[test]
fn what_level_2_brought_back_is_no_refill_later() {
    let second = "[[tlb]]\nname = \"L2\"\nlevel = 2\nuse = [\"fetch\", \"read\", \"write\"]\n\
        page_sizes = [\"4KiB\"]\nentries = 1\nways = 1\nreplacement = \"lru\"\nsource = \"\"\nverified = false\n";
    let instruction = "[[tlb]]\nname = \"L1I\"\nlevel = 1\nuse = [\"fetch\"]\n\
        page_sizes = [\"4KiB\"]\nentries = 1\nways = 1\nreplacement = \"lru\"\nsource = \"\"\nverified = false\n";
    let text = text("none", 1, "1", "lru", &format!("{instruction}{second}")).replacen("\"fetch\", ", "", 1);
    let model = Model::from_toml(&text).unwrap();
    let fetch = |page: u64| Event::Access(Access { kind: AccessKind::Fetch, ..access(page << 12) });
    // The data side walks after the flush and fills level 2, which serves the next fetch; then page 1 is given up.
    let events = [fetch(1), load(0, 0, false), read(1), fetch(1), fetch(2), fetch(1)];
    let total = counts(&model, &events).total();
    assert_eq!((total.walks, total.flush_refills), (4, 1));
}

#[test]
fn invlpg_takes_one_page_of_this_space_or_a_global_one() {
    let model = fully_associative("pcid", 8);
    let before = [Event::PcidsEnabled(true), load(1, 1, true)];
    let invalidate = |address| Event::InvalidatePage { address };
    assert_eq!(refilled(&model, &before, &[invalidate(0x1fff)]), (1, 0, 1));
    assert_eq!(refilled(&model, &before, &[invalidate(0x3000)]), (0, 1, 1));
    let from_another = [load(2, 2, true), invalidate(0x1000), invalidate(0x3000), load(1, 1, true)];
    assert_eq!(refilled(&model, &before, &from_another), (0, 1, 1));
}

#[test]
fn invpcid_takes_what_its_kind_says() {
    let model = fully_associative("pcid", 8);
    let before = [Event::PcidsEnabled(true), load(1, 1, true)];
    let invalidate = |kind, pcid, address| [Event::InvalidatePcid { kind, pcid, address }];
    let taken = |operation: &[Event]| refilled(&model, &before, operation);
    assert_eq!(taken(&invalidate(InvalidatePcidKind::Address, 1, 0x1000)), (1, 0, 1));
    assert_eq!(taken(&invalidate(InvalidatePcidKind::Address, 2, 0x1000)), (0, 0, 0));
    assert_eq!(taken(&invalidate(InvalidatePcidKind::Address, 1, 0x3000)), (0, 0, 0), "global");
    assert_eq!(taken(&invalidate(InvalidatePcidKind::SinglePcid, 1, 0)), (2, 0, 2));
    assert_eq!(taken(&invalidate(InvalidatePcidKind::SinglePcid, 2, 0)), (0, 0, 0));
    assert_eq!(taken(&invalidate(InvalidatePcidKind::AllWithGlobal, 0, 0)), (2, 1, 3));
    assert_eq!(taken(&invalidate(InvalidatePcidKind::AllExceptGlobal, 0, 0)), (2, 0, 2));
}

#[test]
fn a_change_of_cr4_takes_everything() {
    let model = fully_associative("pcid", 8);
    assert_eq!(refilled(&model, &[], &[Event::FlushAll { global_too: true }]), (2, 1, 3), "CR4.PGE");
    assert_eq!(refilled(&model, &[], &[Event::FlushAll { global_too: false }]), (2, 0, 2));
    assert_eq!(refilled(&model, &[], &[Event::PcidsEnabled(true)]), (0, 0, 0));
    let enabled = [Event::PcidsEnabled(true)];
    assert_eq!(refilled(&model, &enabled, &[Event::PcidsEnabled(false)]), (2, 1, 3));
    let untagged = model.with_tags(Tags::None);
    assert_eq!(refilled(&untagged, &enabled, &[Event::PcidsEnabled(false)]), (0, 0, 0));
}
