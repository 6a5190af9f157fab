//! The built-in geometries.

use super::{read, walks};
use crate::tlb::stream::{Access, AccessKind, Event, PageSize};
use crate::tlb::{BUILT_IN, Model, Tags, comparison};

fn built_in() -> Vec<Model> {
    BUILT_IN.map(|(name, _)| Model::load(name).unwrap_or_else(|error| panic!("{name}: {error}"))).into()
}

#[test]
fn each_is_accepted_states_its_sources_and_survives_serialisation() {
    for model in built_in() {
        assert!(model.tlb.iter().all(|array| !array.source.is_empty()), "{}", model.name);
        assert_eq!(Model::from_toml(&toml::to_string(&model).unwrap()).unwrap(), model);
    }
    assert_eq!(
        built_in().iter().map(Model::is_verified).collect::<Vec<_>>(),
        [false, false, false, true, false]
    );
}

#[test]
fn the_pentium_has_96_entries_without_tags_or_global_pages() {
    let pentium = Model::load("pentium-p54c").unwrap();
    let small: u32 = pentium
        .tlb
        .iter()
        .filter(|array| array.page_sizes == [PageSize::Kib4])
        .map(|array| array.shape.entries)
        .sum();
    assert_eq!((small, pentium.tags, pentium.global_pages), (96, Tags::None, false));
}

/// Walks of the second of two passes over so many pages, one after the other.
fn second_pass(model: &Model, pages: u64) -> u64 {
    let twice: Vec<Event> = (0..2 * pages).map(|access| read(access % pages)).collect();
    walks(model, &twice) - pages
}

#[test]
fn each_reaches_as_many_data_pages_as_stated_and_no_more() {
    let reach = [64, 1536, 2048, 2048, 3072];
    for (model, pages) in built_in().iter().zip(reach) {
        assert_eq!(second_pass(model, pages), 0, "{}", model.name);
        assert!(second_pass(model, 2 * pages) > pages, "{}", model.name);
    }
}

#[test]
fn each_translates_every_kind_of_access_and_page() {
    for model in built_in() {
        for kind in [AccessKind::Fetch, AccessKind::Read, AccessKind::Write] {
            for page_size in PageSize::ALL {
                let access =
                    Access { kind, address: !0xfff, size_bytes: 1, user: false, page_size, global: true };
                assert_eq!(
                    walks(&model, &[Event::Access(access); 2]),
                    1,
                    "{} {kind:?} {page_size:?}",
                    model.name
                );
            }
        }
    }
}

#[test]
fn a_comparison_has_a_row_for_each_report_and_marks_unverified_ones() {
    let reports: Vec<_> = built_in().iter().map(|model| crate::tlb::Simulator::new(model).finish()).collect();
    let table = comparison(reports.iter().map(|report| ("user", report))).to_string();
    assert!(table.contains("Zen 4 *") && table.contains("Zen 3 ") && !table.contains("Zen 3 *"), "{table}");
}
