//! The lens `tsc`: ticks of the time-stamp counter, which the guest's client reads around each round trip.

use crate::host::HostFacts;
use crate::lens::availability::HARDWARE_REMEDY;
use crate::lens::{Ability, Count, Lens, Seen, What, took_part};
use crate::record::run::LensRecord;

/// Its name.
pub const NAME: &str = "tsc";

/// The time-stamp counter.
pub struct Tsc;

impl Lens for Tsc {
    fn name(&self) -> &'static str {
        NAME
    }

    fn ability(&self, host: &HostFacts) -> Ability {
        let reasons = host.timing.reasons().join("; ");
        match (host.timing.is_time(), reasons.is_empty()) {
            (true, true) => Ability::available(NAME, "ticks are time: ring 0 runs natively"),
            (true, false) => {
                Ability::available(NAME, format!("ticks are time: ring 0 runs natively; in doubt: {reasons}"))
            }
            (false, _) => Ability::limited(NAME, format!("ticks are not times: {reasons}"), HARDWARE_REMEDY),
        }
    }

    fn record(&self, seen: &Seen<'_>) -> LensRecord {
        took_part(seen.tsc_hz)
    }

    fn count(&self, what: What, seen: &Seen<'_>) -> Count {
        match what {
            What::ClockToClock => Count::of(seen.clock_median),
            _ => Count::None,
        }
    }

    fn what_to_check(&self) -> &'static str {
        "whether the clock of this host still advances by one an instruction, and interrupts between two readings"
    }
}
