//! The same trace, had the kernel or the processor used tags otherwise.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::tlb::geometry::{Model, Tags};
use crate::tlb::report::TlbReport;
use crate::tlb::simulator::{CR3_ADDRESS, CR3_KEEP, CR3_PCID, Simulator};
use crate::tlb::stream::{Event, EventSink};

/// What is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhatIf {
    /// Nothing.
    #[default]
    AsRecorded,
    /// The processor has no tags: each page-table load flushes all that is not global.
    NoTags,
    /// The kernel clears bit 63 of each value that it loads into CR3: each load flushes the PCID that it loads.
    FlushAtEveryLoad,
    /// The processor has tags and each page table gets its own, with bit 63 set: no load flushes. Beyond 4,095 page
    /// tables, tags are used again, with a flush.
    TagPerPageTable,
    /// The kernel makes no page global.
    NoGlobalPages,
}

impl WhatIf {
    /// All of them, as recorded first.
    pub const ALL: [WhatIf; 5] = [
        WhatIf::AsRecorded,
        WhatIf::NoTags,
        WhatIf::FlushAtEveryLoad,
        WhatIf::TagPerPageTable,
        WhatIf::NoGlobalPages,
    ];

    /// In the words of a table.
    pub const fn label(self) -> &'static str {
        match self {
            WhatIf::AsRecorded => "as recorded",
            WhatIf::NoTags => "no tags",
            WhatIf::FlushAtEveryLoad => "flush at every load",
            WhatIf::TagPerPageTable => "a tag per page table",
            WhatIf::NoGlobalPages => "no global pages",
        }
    }

    /// Runs a trace over a model with this change.
    pub fn run<'a>(self, model: &Model, events: impl IntoIterator<Item = &'a Event>) -> TlbReport {
        let model = match self {
            WhatIf::NoTags => model.clone().with_tags(Tags::None),
            WhatIf::TagPerPageTable => model.clone().with_tags(Tags::Pcid),
            WhatIf::AsRecorded | WhatIf::FlushAtEveryLoad | WhatIf::NoGlobalPages => model.clone(),
        };
        let mut rewriter = Rewriter::new(self, Simulator::new(&model));
        for event in events {
            rewriter.event(event);
        }
        TlbReport { what_if: self, ..rewriter.into_sink().finish() }
    }
}

/// Passes on events with a change.
#[derive(Debug)]
pub struct Rewriter<S> {
    what_if: WhatIf,
    sink: S,
    /// Tags given so far, by address of the page table.
    tags: HashMap<u64, u16>,
    /// How many were given.
    given: u64,
    /// The page table that a PCID of the trace was last loaded with.
    roots: HashMap<u16, u64>,
}

impl<S: EventSink> Rewriter<S> {
    /// In front of `sink`.
    pub fn new(what_if: WhatIf, mut sink: S) -> Rewriter<S> {
        if what_if == WhatIf::TagPerPageTable {
            sink.event(&Event::PcidsEnabled(true));
        }
        Rewriter { what_if, sink, tags: HashMap::new(), given: 0, roots: HashMap::new() }
    }

    /// What the events went to.
    pub fn into_sink(self) -> S {
        self.sink
    }

    /// The tag of a page table, and whether it was another one's before.
    fn tag(&mut self, root: u64) -> (u16, bool) {
        if let Some(tag) = self.tags.get(&root) {
            return (*tag, false);
        }
        // Tag 0 stays with what ran before the first load.
        let tag = (self.given % CR3_PCID + 1) as u16;
        let is_used_again = self.given >= CR3_PCID;
        self.given += 1;
        if is_used_again {
            self.tags.retain(|_, other| *other != tag);
        }
        self.tags.insert(root, tag);
        (tag, is_used_again)
    }

    fn retag(&mut self, event: &Event) -> Option<Event> {
        match *event {
            Event::PcidsEnabled(_) => None,
            Event::LoadPageTable { value } => {
                let root = value & CR3_ADDRESS;
                self.roots.insert((value & CR3_PCID) as u16, root);
                let (tag, is_used_again) = self.tag(root);
                let keep = if is_used_again { 0 } else { CR3_KEEP };
                Some(Event::LoadPageTable { value: root | u64::from(tag) | keep })
            }
            Event::InvalidatePcid { kind, pcid, address } => {
                let root = self.roots.get(&pcid).copied();
                let pcid = root.map_or(0, |root| self.tag(root).0);
                Some(Event::InvalidatePcid { kind, pcid, address })
            }
            other => Some(other),
        }
    }
}

impl<S: EventSink> EventSink for Rewriter<S> {
    fn event(&mut self, event: &Event) {
        let rewritten = match (self.what_if, *event) {
            (WhatIf::FlushAtEveryLoad, Event::LoadPageTable { value }) => {
                Some(Event::LoadPageTable { value: value & !CR3_KEEP })
            }
            (WhatIf::TagPerPageTable, _) => self.retag(event),
            (WhatIf::NoGlobalPages, Event::Access(mut access)) => {
                access.global = false;
                Some(Event::Access(access))
            }
            (_, event) => Some(event),
        };
        if let Some(event) = rewritten {
            self.sink.event(&event);
        }
    }
}
