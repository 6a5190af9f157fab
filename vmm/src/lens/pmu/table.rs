//! Which selector counts what, by processor. Data only; a processor that is not in it counts cycles and instructions.
//!
//! Sources. Intel: the event files of intel/perfmon (6dadedf3aa48; SKX V1.37, CLX V1.25, ICX V1.30, SPR V1.39), which agree
//! with tools/perf/pmu-events/arch/x86/{skylakex,cascadelakex,icelakex,sapphirerapids,emeraldrapids,graniterapids}/
//! virtual-memory.json of Linux 6.12. AMD: tools/perf/pmu-events/arch/x86/amdzen{2,3,4,5}/*.json of Linux 6.12. Models:
//! mapfile.csv beside them.

use serde::Serialize;

use crate::lens::pmu::event::Event;
use crate::lens::pmu::shape::{Counters, Shape};

/// What tells a counter to count an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Selector {
    /// Event number: 8 bits, on AMD 12.
    pub event: u16,
    /// Unit mask.
    pub unit_mask: u8,
    /// Counter mask: counts cycles with at least so many events.
    pub counter_mask: u8,
}

impl Selector {
    const fn new(event: u16, unit_mask: u8) -> Selector {
        Selector { event, unit_mask, counter_mask: 0 }
    }

    /// Its bits in an event selector (Intel SDM vol. 3, figure 21-1; AMD APM vol. 2, 13.2.1).
    pub fn bits(self) -> u64 {
        let event = u64::from(self.event);
        event & 0xff
            | u64::from(self.unit_mask) << 8
            | u64::from(self.counter_mask) << 24
            | (event >> 8 & 0xf) << 32
    }
}

/// The events of some processors.
#[derive(Debug, PartialEq, Eq)]
pub struct EventTable {
    /// Name for results.
    pub name: &'static str,
    /// Each event once.
    pub events: &'static [(Event, Selector)],
    /// What a reader of the figures has to know.
    pub notes: &'static str,
}

impl EventTable {
    /// The selector of an event.
    pub fn selector(&self, event: Event) -> Option<Selector> {
        self.events.iter().find(|(other, _)| *other == event).map(|(_, selector)| *selector)
    }
}

const fn entry(event: Event, number: u16, unit_mask: u8) -> (Event, Selector) {
    (event, Selector::new(number, unit_mask))
}

const SKYLAKE_SERVER: EventTable = EventTable {
    name: "skylake-server",
    events: &[
        entry(Event::Cycles, 0x3c, 0x00),
        entry(Event::Instructions, 0xc0, 0x00),
        entry(Event::DtlbLoadWalks, 0x08, 0x0e),
        entry(Event::DtlbStoreWalks, 0x49, 0x0e),
        entry(Event::ItlbWalks, 0x85, 0x0e),
        entry(Event::DtlbSecondLevelHits, 0x08, 0x20),
        entry(Event::ItlbSecondLevelHits, 0x85, 0x20),
        entry(Event::DtlbLoadWalkCycles, 0x08, 0x10),
        entry(Event::ItlbWalkCycles, 0x85, 0x10),
        entry(Event::TlbFlushes, 0xbd, 0x20),
    ],
    notes: "walks are speculative ones, too; walk cycles exclude the extended page tables' part; flushes are attempts \
            (STLB_ANY)",
};

const ICE_LAKE_SERVER: EventTable = EventTable {
    name: "ice-lake-server",
    events: SKYLAKE_SERVER.events,
    notes: "walks are speculative ones, too; whether walk cycles include the extended page tables' part is not documented; \
            flushes are attempts (STLB_ANY)",
};

/// Emerald Rapids and Granite Rapids have the same.
const SAPPHIRE_RAPIDS: EventTable = EventTable {
    name: "sapphire-rapids",
    events: &[
        entry(Event::Cycles, 0x3c, 0x00),
        entry(Event::Instructions, 0xc0, 0x00),
        entry(Event::DtlbLoadWalks, 0x12, 0x0e),
        entry(Event::DtlbStoreWalks, 0x13, 0x0e),
        entry(Event::ItlbWalks, 0x11, 0x0e),
        entry(Event::DtlbSecondLevelHits, 0x12, 0x20),
        entry(Event::ItlbSecondLevelHits, 0x11, 0x20),
        entry(Event::DtlbLoadWalkCycles, 0x12, 0x10),
        entry(Event::ItlbWalkCycles, 0x11, 0x10),
    ],
    notes: "walks are speculative ones, too; whether walk cycles include the extended page tables' part is not documented; \
            no event counts flushes",
};

const ZEN_2: EventTable = EventTable {
    name: "zen2",
    events: &[
        entry(Event::Cycles, 0x76, 0x00),
        entry(Event::Instructions, 0xc0, 0x00),
        entry(Event::DtlbWalks, 0x45, 0xf0),
        entry(Event::ItlbWalks, 0x85, 0x07),
        entry(Event::DtlbSecondLevelHits, 0x45, 0x0f),
        entry(Event::ItlbSecondLevelHits, 0x84, 0x00),
        entry(Event::TlbFlushes, 0x78, 0xdf),
    ],
    notes: "loads and stores together; whether nested walks are counted apart is not documented",
};

const ZEN_3: EventTable = EventTable {
    name: "zen3",
    events: &[
        entry(Event::Cycles, 0x76, 0x00),
        entry(Event::Instructions, 0xc0, 0x00),
        entry(Event::DtlbWalks, 0x45, 0xf0),
        entry(Event::ItlbWalks, 0x85, 0x0f),
        entry(Event::DtlbSecondLevelHits, 0x45, 0x0f),
        entry(Event::ItlbSecondLevelHits, 0x84, 0x00),
        entry(Event::TlbFlushes, 0x78, 0xff),
    ],
    notes: "loads and stores together; whether nested walks are counted apart is not documented",
};

const ZEN_4_AND_5: EventTable = EventTable {
    name: "zen4-zen5",
    events: &[
        entry(Event::Cycles, 0x76, 0x00),
        entry(Event::Instructions, 0xc0, 0x00),
        entry(Event::ReferenceCycles, 0x120, 0x01),
        entry(Event::DtlbWalks, 0x45, 0xf0),
        entry(Event::ItlbWalks, 0x85, 0x0f),
        entry(Event::DtlbSecondLevelHits, 0x45, 0x0f),
        entry(Event::ItlbSecondLevelHits, 0x84, 0x00),
        entry(Event::TlbFlushes, 0x78, 0xff),
    ],
    notes: "loads and stores together; whether nested walks are counted apart is not documented",
};

/// Intel SDM vol. 3, 21.2.1.2: the architectural events with numbers 0 and 1.
const ARCHITECTURAL_INTEL: EventTable = EventTable {
    name: "architectural",
    events: &[entry(Event::Cycles, 0x3c, 0x00), entry(Event::Instructions, 0xc0, 0x00)],
    notes: "this processor is not in the tables: no events of its TLB",
};

/// The same in every AMD processor with 64 bits.
const ARCHITECTURAL_AMD: EventTable = EventTable {
    name: "architectural",
    events: &[entry(Event::Cycles, 0x76, 0x00), entry(Event::Instructions, 0xc0, 0x00)],
    notes: ARCHITECTURAL_INTEL.notes,
};

/// What every processor of the vendor counts.
pub fn architectural(shape: &Shape) -> &'static EventTable {
    match shape.counters {
        Counters::Intel { .. } => &ARCHITECTURAL_INTEL,
        _ => &ARCHITECTURAL_AMD,
    }
}

/// The table of a processor.
pub fn for_shape(shape: &Shape) -> &'static EventTable {
    let is_intel = matches!(shape.counters, Counters::Intel { .. });
    match (is_intel, shape.family, shape.model) {
        // Skylake-SP (stepping 0 to 4) and Cascade Lake (5 and newer).
        (true, 6, 0x55) => &SKYLAKE_SERVER,
        (true, 6, 0x6a | 0x6c) => &ICE_LAKE_SERVER,
        (true, 6, 0x8f | 0xcf | 0xad | 0xae) => &SAPPHIRE_RAPIDS,
        (false, 0x17, 0x30..=0xff) => &ZEN_2,
        (false, 0x19, 0x00..=0x0f | 0x20..=0x2f | 0x40..=0x5f) => &ZEN_3,
        (false, 0x19 | 0x1a, _) => &ZEN_4_AND_5,
        _ => architectural(shape),
    }
}
