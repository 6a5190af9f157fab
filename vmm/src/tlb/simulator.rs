//! Drives the TLBs of a model with the events of a trace.
//!
//! What each event invalidates is what the Intel SDM (vol. 3, 4.10.4.1; 5.10.4.1 in newer editions) requires, and no
//! more; the paragraphs are cited at each. AMD's manual (vol. 2, 5.5) requires the same of these instructions.

use crate::tlb::counts::{Counts, SideCounts};
use crate::tlb::geometry::{Model, Tags};
use crate::tlb::hierarchy::{Found, Hierarchy};
use crate::tlb::report::TlbReport;
use crate::tlb::stream::{Access, AccessKind, Event, EventSink, InvalidatePcidKind};
use crate::tlb::translation::Context;
use crate::tlb::walk::Walker;

/// Bits 0-11 of CR3, where CR4.PCIDE is set.
pub(crate) const CR3_PCID: u64 = 0xfff;

/// Bits 12-51 of CR3.
pub(crate) const CR3_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Bit 63 of the value that is loaded into CR3, where CR4.PCIDE is set.
pub(crate) const CR3_KEEP: u64 = 1 << 63;

/// A processor's TLBs at work.
#[derive(Clone, Debug)]
pub struct Simulator {
    model: Model,
    tlbs: Hierarchy,
    walker: Walker,
    context: Context,
    are_pcids_enabled: bool,
    /// Events so far.
    now: u64,
    counts: Counts,
    /// `None` before the first mark.
    round_trips: Option<Vec<Counts>>,
}

impl Simulator {
    /// Empty TLBs, PCIDs disabled.
    pub fn new(model: &Model) -> Simulator {
        Simulator {
            model: model.clone(),
            tlbs: Hierarchy::new(model),
            walker: Walker::new(model),
            context: Context::default(),
            are_pcids_enabled: false,
            now: 0,
            counts: Counts::default(),
            round_trips: None,
        }
    }

    /// Takes the next event.
    pub fn event(&mut self, event: &Event) {
        self.now += 1;
        match *event {
            Event::Access(access) => self.access(&access),
            Event::LoadPageTable { value } => self.load_page_table(value),
            Event::PcidsEnabled(enabled) => self.set_pcids(enabled),
            Event::InvalidatePage { address } => self.invalidate_page(address),
            Event::InvalidatePcid { kind, pcid, address } => self.invalidate_pcid(kind, pcid, address),
            Event::FlushAll { global_too } => self.flush(global_too),
            Event::RoundTrip => self.end_round_trip(),
        }
    }

    /// What was counted since the last mark, or since the beginning.
    pub fn since_mark(&self) -> &Counts {
        &self.counts
    }

    /// What was counted. Counts after the last mark are not in it.
    pub fn finish(self) -> TlbReport {
        TlbReport::new(&self.model, self.round_trips.unwrap_or_default())
    }

    fn access(&mut self, access: &Access) {
        let found = self.tlbs.access(access, self.context, self.now);
        let references = match found {
            Found::Nowhere { .. } => self.walker.walk(access, self.context.tag, self.now),
            Found::First | Found::Second => 0,
        };
        let counts = self.side(access);
        counts.accesses += 1;
        counts.first_level_misses += u64::from(found != Found::First);
        if let Found::Nowhere { asked_second, lost_to_flush } = found {
            counts.second_level_misses += u64::from(asked_second);
            counts.walks += 1;
            counts.walk_references += references;
            counts.flush_refills += u64::from(lost_to_flush);
        }
    }

    fn side(&mut self, access: &Access) -> &mut SideCounts {
        let privilege = if access.user { &mut self.counts.user } else { &mut self.counts.kernel };
        match access.kind {
            AccessKind::Fetch => &mut privilege.instruction,
            AccessKind::Read | AccessKind::Write => &mut privilege.data,
        }
    }

    fn is_tagging(&self) -> bool {
        self.are_pcids_enabled && self.model.tags == Tags::Pcid
    }

    /// "MOV to CR3": without PCIDs, all that is not global; with, the same of the PCID that is loaded, or nothing if bit
    /// 63 is set.
    fn load_page_table(&mut self, value: u64) {
        self.counts.page_table_loads += 1;
        self.context.root = value & CR3_ADDRESS;
        self.context.tag = if self.is_tagging() { (value & CR3_PCID) as u16 } else { 0 };
        if !(self.is_tagging() && value & CR3_KEEP != 0) {
            self.flush_tag(self.context.tag);
        }
    }

    /// "MOV to CR4": a change of PCIDE from 1 to 0 invalidates everything; from 0 to 1, nothing.
    fn set_pcids(&mut self, enabled: bool) {
        if self.is_tagging() && !enabled {
            self.context.tag = 0;
            self.flush(true);
        }
        self.are_pcids_enabled = enabled;
    }

    /// "INVLPG": the page of the current PCID and global ones, and all that walk caches hold of the current PCID.
    fn invalidate_page(&mut self, address: u64) {
        let tag = self.context.tag;
        self.counts.page_invalidations += 1;
        self.counts.entries_dropped += self
            .tlbs
            .drop_matching(|entry| entry.covers(address) && (entry.global || entry.context.tag == tag));
        self.walker.forget(tag);
    }

    /// "INVPCID". Of a single address, walk caches lose all of that PCID, as with INVLPG. A model without tags has one
    /// context for all.
    fn invalidate_pcid(&mut self, kind: InvalidatePcidKind, pcid: u16, address: u64) {
        let tag = if self.is_tagging() { pcid & CR3_PCID as u16 } else { 0 };
        match kind {
            InvalidatePcidKind::Address => {
                self.counts.page_invalidations += 1;
                self.counts.entries_dropped += self.tlbs.drop_matching(|entry| {
                    entry.covers(address) && !entry.global && entry.context.tag == tag
                });
                self.walker.forget(tag);
            }
            InvalidatePcidKind::SinglePcid => self.flush_tag(tag),
            InvalidatePcidKind::AllWithGlobal => self.flush(true),
            InvalidatePcidKind::AllExceptGlobal => self.flush(false),
        }
    }

    /// Everything of one address space that is not global.
    fn flush_tag(&mut self, tag: u16) {
        self.counts.flushes += 1;
        self.counts.entries_dropped +=
            self.tlbs.drop_matching(|entry| !entry.global && entry.context.tag == tag);
        self.walker.forget(tag);
    }

    /// Everything, or everything that is not global.
    fn flush(&mut self, global_too: bool) {
        self.counts.flushes += 1;
        self.counts.entries_dropped += self.tlbs.drop_matching(|entry| global_too || !entry.global);
        self.walker.forget_all();
    }

    fn end_round_trip(&mut self) {
        let counts = std::mem::take(&mut self.counts);
        match &mut self.round_trips {
            Some(round_trips) => round_trips.push(counts),
            None => self.round_trips = Some(Vec::new()),
        }
    }
}

impl EventSink for Simulator {
    fn event(&mut self, event: &Event) {
        Simulator::event(self, event);
    }
}
