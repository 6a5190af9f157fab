//! What can be counted, in words that mean the same on every processor.

use serde::{Deserialize, Serialize};

/// An event. What a processor's own event counts exactly is in its [`crate::lens::pmu::EventTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Core clock cycles while not halted.
    Cycles,
    /// Retired instructions.
    Instructions,
    /// Cycles at the rate of the time-stamp counter, while not halted.
    ReferenceCycles,
    /// Page walks for data (AMD: loads and stores together; a miss in both levels of the TLB).
    DtlbWalks,
    /// Page walks for loads that ended.
    DtlbLoadWalks,
    /// Page walks for stores that ended.
    DtlbStoreWalks,
    /// Page walks for instruction fetches.
    ItlbWalks,
    /// Misses of the first-level data TLB that the second level answered (Intel: loads only).
    DtlbSecondLevelHits,
    /// Misses of the first-level instruction TLB that the second level answered.
    ItlbSecondLevelHits,
    /// Cycles during which page walks for loads were under way, summed over the walks.
    DtlbLoadWalkCycles,
    /// The same for instruction fetches.
    ItlbWalkCycles,
    /// Flushes of the TLB.
    TlbFlushes,
}

/// All events, the most important first: this is the order in which they get counters.
pub(crate) const BY_IMPORTANCE: [Event; 12] = [
    Event::Cycles,
    Event::Instructions,
    Event::DtlbWalks,
    Event::DtlbLoadWalks,
    Event::ItlbWalks,
    Event::DtlbStoreWalks,
    Event::ReferenceCycles,
    Event::DtlbSecondLevelHits,
    Event::ItlbSecondLevelHits,
    Event::DtlbLoadWalkCycles,
    Event::ItlbWalkCycles,
    Event::TlbFlushes,
];

impl Event {
    /// Its number in [`abi::pmu::PmuCounter::event`].
    pub fn number(self) -> u32 {
        self as u32
    }

    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Event::Cycles => "cycles",
            Event::Instructions => "instructions",
            Event::ReferenceCycles => "reference_cycles",
            Event::DtlbWalks => "dtlb_walks",
            Event::DtlbLoadWalks => "dtlb_load_walks",
            Event::DtlbStoreWalks => "dtlb_store_walks",
            Event::ItlbWalks => "itlb_walks",
            Event::DtlbSecondLevelHits => "dtlb_second_level_hits",
            Event::ItlbSecondLevelHits => "itlb_second_level_hits",
            Event::DtlbLoadWalkCycles => "dtlb_load_walk_cycles",
            Event::ItlbWalkCycles => "itlb_walk_cycles",
            Event::TlbFlushes => "tlb_flushes",
        }
    }
}
