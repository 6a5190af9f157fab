//! Random traces on random geometries: the simulator counts what the naive model counts.

use proptest::prelude::*;
use proptest::sample::select;

use super::reference::Reference;
use super::{counts, fully_associative, text, walks};
use crate::tlb::geometry::{Array, Index, Replacement, Shape, UpperEntry, WalkCache, Ways};
use crate::tlb::stream::{Access, AccessKind, Event, InvalidatePcidKind, PageSize};
use crate::tlb::{Model, Tags, WhatIf};

const ALL_KINDS: [AccessKind; 3] = [AccessKind::Fetch, AccessKind::Read, AccessKind::Write];

fn shape() -> impl Strategy<Value = Shape> {
    (0u32..4, 1u32..5, select(vec![Index::LowBits, Index::XorFold])).prop_map(|(set_bits, ways, index)| {
        Shape { entries: ways << set_bits, ways: Ways::Count(ways), replacement: Replacement::Lru, index }
    })
}

fn array(level: u8, kinds: Vec<AccessKind>, sizes: Vec<PageSize>) -> impl Strategy<Value = Array> {
    shape().prop_map(move |shape| Array {
        name: format!("L{level} {kinds:?} {sizes:?}"),
        level,
        used_by: kinds.clone(),
        page_sizes: sizes.clone(),
        shape,
        source: String::new(),
        verified: false,
    })
}

fn model() -> impl Strategy<Value = Model> {
    use PageSize::{Gib1, Kib4, Mib2};
    let data = vec![AccessKind::Read, AccessKind::Write];
    let always = (array(1, vec![AccessKind::Fetch], vec![Kib4, Mib2]), array(1, data.clone(), vec![Kib4]));
    let sometimes = vec![
        array(1, data.clone(), vec![Mib2]).boxed(),
        array(1, vec![AccessKind::Write], vec![Kib4, Gib1]).boxed(),
        array(2, ALL_KINDS.to_vec(), vec![Kib4, Mib2]).boxed(),
        array(2, data, vec![Kib4, Gib1]).boxed(),
    ];
    let sometimes: Vec<_> = sometimes.into_iter().map(proptest::option::of).collect();
    let caches = proptest::collection::vec(proptest::option::of(shape()), 3);
    let tags = select(vec![Tags::None, Tags::Pcid]);
    (always, sometimes, caches, tags, any::<bool>(), 4u8..6).prop_map(
        |((first, second), more, caches, tags, global_pages, paging_levels)| {
            let caches = UpperEntry::ALL.into_iter().zip(caches).filter_map(|(holds, shape)| {
                let (name, source) = (format!("{holds:?}"), String::new());
                Some(WalkCache { name, holds, shape: shape?, source, verified: false })
            });
            Model {
                name: "random".to_owned(),
                introduced: 2000,
                tags,
                global_pages,
                paging_levels,
                random_seed: 0,
                tlb: [first, second].into_iter().chain(more.into_iter().flatten()).collect(),
                walk_cache: caches.collect(),
            }
        },
    )
}

/// An address of few pages; pages of different sizes lie apart, and every fourth is global.
fn page() -> impl Strategy<Value = (u64, PageSize, bool)> {
    (select(PageSize::ALL.to_vec()), 0u64..24, any::<bool>(), 0u64..4096).prop_map(
        |(size, number, far, offset)| {
            let stride = if far { 5 } else { 1 };
            let address = ((size.shift() as u64) << 40) + number * stride * size.bytes() + offset;
            (address, size, number.is_multiple_of(4))
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let kinds = select(ALL_KINDS.to_vec());
    let access = (kinds, page(), any::<bool>()).prop_map(|(kind, (address, page_size, global), user)| {
        Event::Access(Access { kind, address, size_bytes: 1, user, page_size, global })
    });
    let load = (0u64..3, 0u64..3, any::<bool>()).prop_map(|(root, pcid, keep)| super::load(root, pcid, keep));
    let invalidate = (0u64..4, 0u16..3, page()).prop_map(|(kind, pcid, (address, ..))| {
        let kind = InvalidatePcidKind::from_operand(kind).unwrap();
        Event::InvalidatePcid { kind, pcid, address }
    });
    prop_oneof![
        80 => access,
        8 => load,
        6 => page().prop_map(|(address, ..)| Event::InvalidatePage { address }),
        3 => invalidate,
        1 => any::<bool>().prop_map(Event::PcidsEnabled),
        1 => any::<bool>().prop_map(|global_too| Event::FlushAll { global_too }),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    proptest::collection::vec(event(), 0..400)
}

/// Reads of pages by number, and nothing else.
fn reads() -> impl Strategy<Value = Vec<Event>> {
    proptest::collection::vec((0u64..20).prop_map(super::read), 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_count_is_that_of_the_naive_model(model in model(), events in events()) {
        crate::tlb::check::model(&model).unwrap();
        prop_assert_eq!(counts(&model, &events), Reference::new(&model).run(&events));
    }

    #[test]
    fn a_geometry_survives_its_own_file_format(model in model()) {
        prop_assert_eq!(Model::from_toml(&toml::to_string(&model).unwrap()).unwrap(), model);
    }

    #[test]
    fn a_tree_of_two_ways_is_least_recently_used(reads in reads(), set_bits in 0u32..4) {
        let with = |policy| Model::from_toml(&text("none", 2 << set_bits, "2", policy, "")).unwrap();
        prop_assert_eq!(walks(&with("tree-plru"), &reads), walks(&with("lru"), &reads));
    }

    #[test]
    fn more_entries_never_miss_more(events in events(), entries in 1u32..24) {
        let (less, more) = (fully_associative("pcid", entries), fully_associative("pcid", entries + 1));
        prop_assert!(walks(&more, &events) <= walks(&less, &events));
    }

    #[test]
    fn any_policy_misses_each_page_at_least_once_and_each_access_at_most_once(
        reads in reads(), policy in select(vec!["lru", "tree-plru", "random"]),
    ) {
        let model = Model::from_toml(&text("none", 8, "4", policy, "")).unwrap();
        let mut pages: Vec<String> = reads.iter().map(|read| format!("{read:?}")).collect();
        pages.sort();
        pages.dedup();
        prop_assert!((pages.len()..=reads.len()).contains(&(walks(&model, &reads) as usize)));
    }

    #[test]
    fn counts_are_consistent_with_each_other(model in model(), events in events()) {
        let total = counts(&model, &events).total();
        prop_assert!(total.walks <= total.first_level_misses && total.first_level_misses <= total.accesses);
        prop_assert!(total.second_level_misses <= total.walks && total.flush_refills <= total.walks);
        prop_assert!((total.walks..=5 * total.walks).contains(&total.walk_references));
    }

    #[test]
    fn a_tag_for_each_page_table_leaves_no_load_that_drops_entries(model in model(), events in events()) {
        let events: Vec<Event> = events
            .into_iter()
            .filter(|event| matches!(event, Event::Access(_) | Event::LoadPageTable { .. }))
            .collect();
        let marked = [&[Event::RoundTrip], &events[..], &[Event::RoundTrip]].concat();
        let counts = WhatIf::TagPerPageTable.run(&model, &marked).first.unwrap();
        prop_assert_eq!((counts.entries_dropped, counts.total().flush_refills), (0, 0));
    }
}
