//! How many round trips fill a time, from the pace of those before the first mark.

/// Round trips that a guest has made, and how long they took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How many.
    pub round_trips: u64,
    /// Ticks of the time-stamp counter.
    pub ticks: u64,
}

impl Pace {
    /// Round trips that last for `ticks` at this pace and an eighth more, because the measured ones may be faster: at least one,
    /// at most `most`.
    #[must_use]
    pub const fn round_trips_in(self, ticks: u64, most: u64) -> u64 {
        let own_ticks = if self.ticks == 0 { 1 } else { self.ticks };
        let wanted_ticks = ticks as u128 + (ticks / 8) as u128;
        let count = wanted_ticks.saturating_mul(self.round_trips as u128).div_ceil(own_ticks as u128);
        if count < 1 || most < 1 {
            1
        } else if count > most as u128 {
            most
        } else {
            count as u64
        }
    }

    /// Whether it is of round trips that have lasted long enough to tell the pace of a part of `ticks`: a sixteenth of it, or all
    /// that there is room for.
    #[must_use]
    pub const fn tells(self, ticks: u64, most: u64) -> bool {
        self.ticks >= ticks / 16 || self.round_trips >= most
    }
}

/// Ticks in `nanoseconds` of a counter of this frequency.
#[must_use]
pub const fn ticks_in(nanoseconds: u64, hz: u64) -> u64 {
    let ticks = nanoseconds as u128 * hz as u128 / 1_000_000_000;
    if ticks > u64::MAX as u128 { u64::MAX } else { ticks as u64 }
}
