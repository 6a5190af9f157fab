//! What all launches of a case have left for the lenses, and what can be counted of it.

use serde::de::DeserializeOwned;

use crate::lens::LensReadings;
use crate::lens::pmu::Privilege;
use crate::lens::trace::Traced;
use crate::record::run::HostRecord;

/// All launches of a case together.
#[derive(Clone)]
pub struct Seen<'a> {
    /// Where it ran.
    pub host: &'a HostRecord,
    /// Round trips of all launches.
    pub round_trips: u64,
    /// Their number.
    pub launches: u64,
    /// CPUs of each guest, whose counts are added up. A trace follows the first.
    pub cpus: u32,
    /// Page-table loads of one round trip, by the rule of the resident space, where it says any number.
    pub rule_loads: Option<u64>,
    /// Page-table loads by the kernel's counter, without those of preemption.
    pub loads: u64,
    /// Thread switches by the kernel's counter, without those of preemption.
    pub switches: u64,
    /// Timer interrupts, whose instructions no trace foresees.
    pub timer_interrupts: u64,
    /// KVM has given its statistics between the marks.
    pub has_kvm_stats: bool,
    /// Instructions that KVM has emulated, where it emulates all of ring 0.
    pub emulated: Option<u64>,
    /// VM exits.
    pub exits: u64,
    /// Frequency of the time-stamp counter, Hz.
    pub tsc_hz: Option<u64>,
    /// Median of the samples, where the clock counts instructions.
    pub clock_median: Option<u64>,
    /// What lenses showed of each launch that left anything.
    pub readings: Vec<&'a LensReadings>,
    /// The same for arithmetic, with which what comes from another process is not trusted.
    pub own_readings: Vec<&'a LensReadings>,
    /// The traced guest.
    pub traced: &'a Traced,
}

impl Seen<'_> {
    /// What a lens counted in each launch, for arithmetic; `None` where one has no count.
    pub(super) fn counted<T: DeserializeOwned>(&self, lens: &str) -> Option<Vec<T>> {
        let counts = self.own_readings.iter().map(|readings| readings.read(lens).into_counted());
        counts.collect::<Option<Vec<T>>>().filter(|counts| !counts.is_empty())
    }
}

/// Something that more than one lens counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Page-table loads.
    PageTableLoads,
    /// Thread switches.
    ThreadSwitches,
    /// Instructions in ring 0 where KVM emulates all of them.
    EmulatedInstructions,
    /// Instructions from one reading of the clock to the next.
    ClockToClock,
    /// Instructions by hardware counters, at these levels.
    Instructions(Privilege),
}

impl What {
    /// All, most important first.
    pub(super) const ALL: [What; 7] = [
        What::PageTableLoads,
        What::ThreadSwitches,
        What::EmulatedInstructions,
        What::ClockToClock,
        What::Instructions(Privilege::All),
        What::Instructions(Privilege::Kernel),
        What::Instructions(Privilege::User),
    ];

    /// As records have it.
    pub fn name(self) -> &'static str {
        match self {
            What::PageTableLoads => crate::record::agreement::PAGE_TABLE_LOADS,
            What::ThreadSwitches => "thread switches",
            What::EmulatedInstructions => "emulated instructions in ring 0",
            What::ClockToClock => "instructions from clock to clock",
            What::Instructions(Privilege::All) => "instructions",
            What::Instructions(Privilege::Kernel) => "instructions in ring 0",
            What::Instructions(Privilege::User) => "instructions in ring 3",
        }
    }
}

/// What a lens says of one thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Count {
    /// It counts no such thing here.
    None,
    /// It counted.
    Counted {
        /// Between the marks of all launches.
        total: u64,
        /// Per round trip without what the marks take, where that is no quotient.
        per_round_trip: Option<f64>,
        /// How far others may be away, and why.
        slack: Option<(u64, &'static str)>,
    },
    /// It cannot be compared with the others, for this reason.
    NotComparable(&'static str),
}

impl Count {
    /// A plain count.
    pub(super) fn of(total: Option<u64>) -> Count {
        total.map_or(Count::None, |total| Count::Counted { total, per_round_trip: None, slack: None })
    }
}
