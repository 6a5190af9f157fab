//! Which selector counts what, by processor: `data/events.toml`, made by `data/make-events` from the event files of Linux. A
//! processor that is not in it counts cycles and instructions.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::lens::pmu::event::Event;
use crate::lens::pmu::shape::{Counters, Shape};

/// What tells a counter to count an event: number, unit mask and counter mask as in an event selector (Intel SDM vol. 3, figure
/// 21-1; AMD APM vol. 2, 13.2.1), which is also Linux's raw `config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Selector(pub u64);

/// An event of a processor.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessorEvent {
    /// What counts it.
    pub selector: Selector,
    /// Its name in Linux's event files; several, with a plus between them, are unit masks counted together.
    pub linux: String,
}

/// The events of some processors, or of one kind of their cores.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventTable {
    /// Name for results: that of Linux's folder.
    pub name: String,
    /// The kind of core, where a processor has several: the name of its PMU in Linux.
    pub core: Option<String>,
    /// Linux's folder and its version.
    pub source: String,
    vendor: Vendor,
    family: u32,
    /// First and last of each range.
    models: Vec<[u32; 2]>,
    /// First and last; absent: all.
    steppings: Option<[u32; 2]>,
    /// What a reader of the figures has to know.
    pub notes: String,
    /// Each event once.
    pub events: BTreeMap<Event, ProcessorEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Vendor {
    Intel,
    Amd,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    /// Which Linux they are from.
    #[allow(dead_code, reason = "for readers of the file")]
    source: String,
    processor: Vec<EventTable>,
}

static TABLES: LazyLock<Vec<EventTable>> = LazyLock::new(|| {
    let tables: Tables = toml::from_str(include_str!("data/events.toml")).expect("a test reads the file");
    tables.processor
});

/// Intel SDM vol. 3, 21.2.1.2: the architectural events with numbers 0 and 1.
static ARCHITECTURAL_INTEL: LazyLock<EventTable> = LazyLock::new(|| architectural_table(Vendor::Intel, 0x3c));

/// The same in every AMD processor with 64 bits.
static ARCHITECTURAL_AMD: LazyLock<EventTable> = LazyLock::new(|| architectural_table(Vendor::Amd, 0x76));

fn architectural_table(vendor: Vendor, cycles: u64) -> EventTable {
    let event =
        |event, selector| (event, ProcessorEvent { selector: Selector(selector), linux: String::new() });
    EventTable {
        name: "architectural".to_owned(),
        core: None,
        source: "the vendor's manual".to_owned(),
        vendor,
        family: 0,
        models: Vec::new(),
        steppings: None,
        notes: "this processor is not in the tables: no events of its TLB".to_owned(),
        events: [event(Event::Cycles, cycles), event(Event::Instructions, 0xc0)].into(),
    }
}

impl EventTable {
    /// The selector of an event.
    pub fn selector(&self, event: Event) -> Option<Selector> {
        self.events.get(&event).map(|event| event.selector)
    }

    fn is_for(&self, vendor: Vendor, family: u32, model: u32, stepping: u32) -> bool {
        let holds = |[first, last]: &[u32; 2], value: u32| (*first..=*last).contains(&value);
        self.vendor == vendor
            && self.family == family
            && self.models.iter().any(|range| holds(range, model))
            && self.steppings.as_ref().is_none_or(|range| holds(range, stepping))
    }
}

/// All tables.
pub fn tables() -> &'static [EventTable] {
    &TABLES
}

/// What every processor of the vendor counts.
pub fn architectural(shape: &Shape) -> &'static EventTable {
    match shape.counters {
        Counters::Intel { .. } => &ARCHITECTURAL_INTEL,
        _ => &ARCHITECTURAL_AMD,
    }
}

/// The table of a guest's processor. Where cores differ, a guest has no counters.
pub fn for_shape(shape: &Shape) -> &'static EventTable {
    let vendor = architectural(shape).vendor;
    let is_it = |table: &&EventTable| {
        table.core.is_none() && table.is_for(vendor, shape.family, shape.model, shape.stepping)
    };
    tables().iter().find(is_it).unwrap_or(architectural(shape))
}

/// The table of one kind of core of an Intel processor, by the name of its PMU in Linux.
pub fn for_core(core: &str, family: u32, model: u32) -> Option<&'static EventTable> {
    let is_it = |table: &&EventTable| {
        table.core.as_deref() == Some(core) && table.is_for(Vendor::Intel, family, model, 0)
    };
    tables().iter().find(is_it)
}
