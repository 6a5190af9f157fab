mod built_in;
mod geometry;
mod invalidation;
mod properties;
mod reference;
mod sequences;
mod what_if;

use crate::tlb::stream::{Access, AccessKind, Event, PageSize};
use crate::tlb::{Counts, Model, Simulator};

/// A geometry with one array for everything at level 1, and `more` behind it.
fn text(tags: &str, entries: u32, ways: &str, replacement: &str, more: &str) -> String {
    format!(
        "name = \"test\"\nintroduced = 2000\ntags = \"{tags}\"\nglobal_pages = true\npaging_levels = 4\n\
         [[tlb]]\nname = \"L1\"\nlevel = 1\nuse = [\"fetch\", \"read\", \"write\"]\npage_sizes = [\"4KiB\"]\n\
         entries = {entries}\nways = {ways}\nreplacement = \"{replacement}\"\nsource = \"\"\nverified = false\n{more}"
    )
}

fn fully_associative(tags: &str, entries: u32) -> Model {
    Model::from_toml(&text(tags, entries, "\"full\"", "lru", "")).unwrap()
}

fn access(address: u64) -> Access {
    let kind = AccessKind::Read;
    Access { kind, address, size_bytes: 8, user: true, page_size: PageSize::Kib4, global: false }
}

/// A read by the user of the 4 KiB page of that number.
fn read(page: u64) -> Event {
    Event::Access(access(page << 12))
}

/// The same by the kernel, of a global page.
fn read_global(page: u64) -> Event {
    Event::Access(Access { user: false, global: true, ..access(page << 12) })
}

fn load(root: u64, pcid: u64, keep: bool) -> Event {
    Event::LoadPageTable { value: root << 12 | pcid | u64::from(keep) << 63 }
}

/// Counts of one round trip that consists of these events, after `before`.
fn counts_after(model: &Model, before: &[Event], events: &[Event]) -> Counts {
    let mut simulator = Simulator::new(model);
    for event in before.iter().chain(&[Event::RoundTrip]).chain(events).chain(&[Event::RoundTrip]) {
        simulator.event(event);
    }
    simulator.finish().first.unwrap()
}

fn counts(model: &Model, events: &[Event]) -> Counts {
    counts_after(model, &[], events)
}

fn walks(model: &Model, events: &[Event]) -> u64 {
    counts(model, events).total().walks
}
