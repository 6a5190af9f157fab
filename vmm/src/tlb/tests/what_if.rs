//! The same trace with other use of tags.

use super::{fully_associative, load, read, read_global};
use crate::tlb::stream::{Event, EventSink, InvalidatePcidKind};
use crate::tlb::{Rewriter, WhatIf};

/// Ten round trips between a client and a server, each in its own space, with two pages of each and one of the kernel.
fn trace(pcids: bool) -> Vec<Event> {
    let tag = |pcid| if pcids { pcid } else { 0 };
    let trip = [
        read(1),
        read(2),
        read_global(9),
        load(2, tag(2), pcids),
        read(1),
        read(3),
        read_global(9),
        load(1, tag(1), pcids),
        Event::RoundTrip,
    ];
    let mut events = vec![Event::PcidsEnabled(pcids), load(1, tag(1), pcids), Event::RoundTrip];
    (0..10).for_each(|_| events.extend(trip));
    events
}

/// Walks and refills of a round trip in the steady state.
fn steady(what_if: WhatIf, tags: &str, events: &[Event]) -> (u64, u64) {
    let report = what_if.run(&fully_associative(tags, 16), events);
    assert_eq!(report.what_if, what_if);
    let total = report.steady.unwrap().total();
    (total.walks, total.flush_refills)
}

#[test]
fn tags_save_all_refills_and_their_absence_costs_them() {
    let tagged = trace(true);
    assert_eq!(steady(WhatIf::AsRecorded, "pcid", &tagged), (0, 0));
    assert_eq!(steady(WhatIf::NoTags, "pcid", &tagged), (4, 4));
    assert_eq!(steady(WhatIf::FlushAtEveryLoad, "pcid", &tagged), (4, 4));
    assert_eq!(steady(WhatIf::NoGlobalPages, "pcid", &tagged), (0, 0));
}

#[test]
fn a_tag_for_each_page_table_saves_the_refills_of_a_trace_without() {
    let untagged = trace(false);
    for tags in ["none", "pcid"] {
        assert_eq!(steady(WhatIf::AsRecorded, tags, &untagged), (4, 4));
        assert_eq!(steady(WhatIf::TagPerPageTable, tags, &untagged), (0, 0));
        assert_eq!(steady(WhatIf::NoGlobalPages, tags, &untagged), (6, 6));
    }
}

/// What the rewriter passes on.
fn rewritten(what_if: WhatIf, events: &[Event]) -> Vec<Event> {
    let mut rewriter = Rewriter::new(what_if, Vec::new());
    events.iter().for_each(|event| rewriter.event(event));
    rewriter.into_sink()
}

#[test]
fn an_invalidated_pcid_follows_its_page_table_to_the_new_tag() {
    let invalidate = |pcid| Event::InvalidatePcid { kind: InvalidatePcidKind::SinglePcid, pcid, address: 0 };
    let events =
        [Event::PcidsEnabled(true), load(5, 7, false), load(6, 8, false), invalidate(7), invalidate(8)];
    let expected =
        [Event::PcidsEnabled(true), load(5, 1, true), load(6, 2, true), invalidate(1), invalidate(2)];
    assert_eq!(rewritten(WhatIf::TagPerPageTable, &events), expected);
}

#[test]
fn tags_that_are_used_again_are_flushed() {
    let events: Vec<Event> = (1..=4098).chain([1, 4]).map(|root| load(root, 0, false)).collect();
    let rewritten = rewritten(WhatIf::TagPerPageTable, &events);
    assert_eq!(rewritten[4095], load(4095, 4095, true));
    assert_eq!(rewritten[4096], load(4096, 1, false));
    assert_eq!(rewritten[4099], load(1, 4, false), "page table 1 lost its tag, and takes the next");
    assert_eq!(rewritten[4100], load(4, 5, false), "which was that of page table 4");
}
