//! Sequences of accesses whose misses can be counted on paper.

use super::{access, counts, fully_associative, read, text, walks};
use crate::tlb::stream::{Access, AccessKind, Event, PageSize};
use crate::tlb::{Model, Simulator};

fn round_robin(pages: u64, rounds: u64) -> Vec<Event> {
    (0..pages * rounds).map(|access| read(access % pages)).collect()
}

#[test]
fn as_many_pages_as_entries_miss_once_each() {
    assert_eq!(walks(&fully_associative("none", 8), &round_robin(8, 10)), 8);
}

#[test]
fn one_page_more_than_entries_always_misses() {
    assert_eq!(walks(&fully_associative("none", 8), &round_robin(9, 10)), 90);
}

#[test]
fn pages_of_one_set_contend_and_others_do_not() {
    let model = Model::from_toml(&text("none", 8, "2", "lru", "")).unwrap();
    let of_one_set: Vec<Event> = (0..30).map(|access| read(4 * (access % 3))).collect();
    assert_eq!(walks(&model, &of_one_set), 30);
    let of_three_sets: Vec<Event> = (0..30).map(|access| read(access % 3)).collect();
    assert_eq!(walks(&model, &of_three_sets), 3);
}

#[test]
fn folding_the_index_spreads_pages_at_the_distance_of_the_sets() {
    let text = text("none", 8, "2", "lru", "").replace("ways = 2", "ways = 2\nindex = \"xor-fold\"");
    let model = Model::from_toml(&text).unwrap();
    let accesses: Vec<Event> = (0..30).map(|access| read(4 * (access % 3))).collect();
    assert_eq!(walks(&model, &accesses), 3);
}

#[test]
fn a_tree_gives_up_the_way_that_its_bits_point_to() {
    let model = Model::from_toml(&text("none", 4, "4", "tree-plru", "")).unwrap();
    // Pages 0-3 fill ways 0-3 and leave the tree pointing to way 0; using 0 turns it to way 2 (not to 1, the oldest).
    let accesses = [0, 1, 2, 3, 0, 4, 1, 0, 3, 2].map(read);
    assert_eq!(walks(&model, &accesses[..6]), 5);
    assert_eq!(walks(&model, &accesses[..9]), 5);
    assert_eq!(walks(&model, &accesses), 6);
}

#[test]
fn random_replacement_is_the_same_with_the_same_seed() {
    let seeded = |seed| {
        let text = text("none", 8, "8", "random", "");
        Model::from_toml(&format!("random_seed = {seed}\n{text}")).unwrap()
    };
    let accesses = round_robin(12, 100);
    assert_eq!(walks(&seeded(1), &accesses), walks(&seeded(1), &accesses));
    assert_ne!(walks(&seeded(1), &accesses), walks(&seeded(2), &accesses));
    assert!(walks(&seeded(1), &accesses) < 1200);
}

const SECOND: &str = "[[tlb]]\nname = \"L2\"\nlevel = 2\nuse = [\"fetch\", \"read\", \"write\"]\n\
    page_sizes = [\"4KiB\"]\nentries = 16\nways = \"full\"\nreplacement = \"lru\"\nsource = \"\"\nverified = false\n";

#[test]
fn level_2_serves_what_level_1_gave_up() {
    let model = Model::from_toml(&text("none", 4, "4", "lru", SECOND)).unwrap();
    let total = counts(&model, &round_robin(10, 5)).total();
    assert_eq!((total.first_level_misses, total.second_level_misses, total.walks), (50, 10, 10));
    assert_eq!(total.walk_references, 40);
}

#[test]
fn a_page_size_that_level_1_does_not_hold_is_cached_in_pieces() {
    let large =
        |offset: u64| Event::Access(Access { page_size: PageSize::Mib2, ..access(0x20_0000 + offset) });
    let model = fully_associative("none", 8);
    let total = counts(&model, &[large(0), large(8), large(0x1000), large(0x1008)]).total();
    assert_eq!((total.walks, total.walk_references), (2, 6));
    let counts = counts(&model, &[large(0), large(0x1000), Event::InvalidatePage { address: 0x3f_ffff }]);
    assert_eq!((counts.page_invalidations, counts.entries_dropped), (1, 2));
}

#[test]
fn instructions_and_data_use_their_own_arrays_and_privileges_are_told_apart() {
    let model = Model::load("pentium-p54c").unwrap();
    let fetch = Event::Access(Access { kind: AccessKind::Fetch, ..access(0x1000) });
    let kernel = Event::Access(Access { user: false, ..access(0x1000) });
    let counts = counts(&model, &[fetch, read(1), fetch, kernel, read(2)]);
    assert_eq!((counts.user.instruction.accesses, counts.user.instruction.walks), (2, 1));
    assert_eq!((counts.user.data.accesses, counts.user.data.walks), (2, 2));
    assert_eq!((counts.kernel.data.accesses, counts.kernel.data.walks), (1, 0));
    assert_eq!((counts.total().walk_references, counts.total().second_level_misses), (6, 0));
}

#[test]
fn walk_caches_spare_references() {
    let caches = "[[walk_cache]]\nname = \"PDE\"\nholds = \"pde\"\nentries = 2\nways = 2\nreplacement = \"lru\"\n\
        source = \"\"\nverified = false\n[[walk_cache]]\nname = \"PML4E\"\nholds = \"pml4e\"\nentries = 1\nways = 1\n\
        replacement = \"lru\"\nsource = \"\"\nverified = false\n";
    let model = Model::from_toml(&text("none", 1, "1", "lru", caches)).unwrap();
    let references = |events: &[Event]| counts(&model, events).total().walk_references;
    assert_eq!(references(&[read(0)]), 4);
    assert_eq!(references(&[read(0), read(1)]), 4 + 1, "the same page directory entry");
    assert_eq!(references(&[read(0), read(512)]), 4 + 3, "the same PML4 entry");
    assert_eq!(references(&[read(0), read(512), read(1024), read(1)]), 4 + 3 + 3 + 3, "given up");
    assert_eq!(references(&[read(0), Event::InvalidatePage { address: !0 }, read(1)]), 4 + 4);
}

#[test]
fn the_first_round_trip_and_the_median_of_the_others_are_reported() {
    let mut simulator = Simulator::new(&fully_associative("none", 8));
    simulator.event(&read(0));
    for pages in [3, 5, 1, 6] {
        simulator.event(&Event::RoundTrip);
        (0..pages).for_each(|page| simulator.event(&read(page)));
    }
    simulator.event(&Event::RoundTrip);
    simulator.event(&read(7));
    let report = simulator.finish();
    assert_eq!(report.round_trips.len(), 4);
    assert_eq!(report.first.unwrap().user.data.walks, 2, "page 0 was there before the first mark");
    let steady = report.steady.unwrap().user.data;
    assert_eq!((steady.accesses, steady.walks), (5, 1), "medians of 5, 1, 6 and 2, 0, 1");
    let shown = report.to_string();
    assert!(shown.contains("5 (3)") && shown.contains("sizes without a checked source: L1"), "{shown}");
    assert_eq!(
        serde_json::from_str::<super::super::TlbReport>(&serde_json::to_string(&report).unwrap()).unwrap(),
        report
    );
}

#[test]
fn a_trace_without_round_trips_reports_none() {
    let mut simulator = Simulator::new(&fully_associative("none", 8));
    simulator.event(&Event::RoundTrip);
    simulator.event(&read(0));
    let report = simulator.finish();
    assert_eq!((report.first, report.steady, report.round_trips.len()), (None, None, 0));
    assert!(report.to_string().contains(" - "));
}
