//! How long a case measures: the key `seconds`, which may have a fraction.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time that a person has written as a number of seconds; kept in whole microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds {
    microseconds: u64,
}

impl Seconds {
    /// The shortest time that a guest can be asked to measure.
    pub const MIN: Seconds = Seconds::milliseconds(1);

    /// The longest.
    pub const MAX: Seconds = Seconds::milliseconds(3_600_000);

    /// So many thousandths.
    pub const fn milliseconds(count: u64) -> Seconds {
        Seconds { microseconds: count * 1_000 }
    }

    /// Nanoseconds.
    pub const fn nanoseconds(self) -> u64 {
        self.microseconds.saturating_mul(1_000)
    }

    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.microseconds)
    }

    /// `None` for what is no time.
    fn of(number: f64) -> Option<Seconds> {
        let microseconds = (number * 1e6).round();
        let is_time = number.is_finite() && number >= 0.0;
        // What is too large for the type is the largest, and out of every range.
        is_time.then_some(Seconds { microseconds: microseconds as u64 })
    }
}

/// Why a text is no [`Seconds`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no number of seconds")]
pub struct SecondsError {
    text: String,
}

impl FromStr for Seconds {
    type Err = SecondsError;

    fn from_str(text: &str) -> Result<Seconds, SecondsError> {
        let number = text.parse().ok().and_then(Seconds::of);
        number.ok_or_else(|| SecondsError { text: text.to_owned() })
    }
}

impl fmt::Display for Seconds {
    /// The shortest form that reads back as the same time.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.microseconds as f64 / 1e6)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.microseconds as f64 / 1e6)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Seconds, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Seconds::of(number)
            .ok_or_else(|| serde::de::Error::custom(format!("{number} is no number of seconds")))
    }
}

#[cfg(test)]
mod tests {
    use abi::pace::{Pace, ticks_in};
    use proptest::prelude::*;

    use super::*;

    #[derive(Deserialize, Serialize)]
    struct File {
        seconds: Seconds,
    }

    #[test]
    fn whole_numbers_and_fractions_are_read() {
        for (text, milliseconds) in [("2", 2_000), ("0.5", 500), ("1e-3", 1), ("0", 0)] {
            assert_eq!(text.parse(), Ok(Seconds::milliseconds(milliseconds)), "{text}");
            let file: File = toml::from_str(&format!("seconds = {text}")).unwrap();
            assert_eq!(file.seconds, Seconds::milliseconds(milliseconds), "{text}");
        }
        assert_eq!(Seconds::milliseconds(200).to_string(), "0.2");
        for text in ["", "-1", "inf", "nan", "1s"] {
            assert!(text.parse::<Seconds>().is_err(), "{text}");
        }
        assert!(toml::from_str::<File>("seconds = -0.5").is_err());
        assert!("1e300".parse::<Seconds>().unwrap() > Seconds::MAX);
    }

    #[test]
    fn a_clock_of_any_frequency_counts_the_time() {
        assert_eq!(ticks_in(500_000_000, 2_000_000_000), 1_000_000_000);
        assert_eq!((ticks_in(1, 999_999_999), ticks_in(u64::MAX, 0)), (0, 0));
        assert_eq!(ticks_in(u64::MAX, u64::MAX), u64::MAX);
    }

    proptest! {
        /// At the pace that it was found by, a count fills the time and not a quarter more, unless there is no room for it or one
        /// round trip takes longer.
        #[test]
        fn a_pace_gives_a_count_that_fills_the_time(
            round_trips in 1..1u64 << 30,
            ticks in 0..1u64 << 50,
            wanted in 0..1u64 << 50,
            most in 0..1u64 << 30,
        ) {
            let count = Pace { round_trips, ticks }.round_trips_in(wanted, most);
            prop_assert!((1..=most.max(1)).contains(&count));
            let ticks_of = |count: u64| u128::from(count) * u128::from(ticks) / u128::from(round_trips);
            if count < most {
                prop_assert!(ticks_of(count) >= u128::from(wanted));
            }
            if count > 1 {
                prop_assert!(ticks_of(count - 1) <= u128::from(wanted) + u128::from(wanted / 4));
            }
        }

        /// A slower pace never gives a larger count, and no numbers are too large.
        #[test]
        fn whoever_is_slower_makes_fewer(pace in any::<[u64; 2]>(), slower in any::<u64>(), wanted in any::<u64>(), most in any::<u64>()) {
            let [round_trips, ticks] = pace;
            let count = |ticks| Pace { round_trips, ticks }.round_trips_in(wanted, most);
            prop_assert!(count(ticks.saturating_add(slower)) <= count(ticks));
        }

        /// Whoever doubles what he tries comes to an end soon.
        #[test]
        fn a_pace_is_told_in_the_end(ticks_of_one in 0..1u64 << 40, wanted in 0..1u64 << 50, most in 1..1u64 << 40) {
            let tries = (0..63).map(|turn| Pace { round_trips: 1 << turn, ticks: ticks_of_one << turn.min(20) });
            let last = tries.clone().find(|pace| pace.tells(wanted, most)).expect("an end");
            prop_assert!(last.round_trips < 2 * most.max(1) || last.ticks < wanted / 8 + 2 * ticks_of_one.max(1));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(microseconds in 0..=3_600_000_000u64) {
            let seconds = Seconds { microseconds };
            prop_assert_eq!(seconds.to_string().parse(), Ok(seconds));
            let json = serde_json::to_string(&seconds).unwrap();
            prop_assert_eq!(serde_json::from_str::<Seconds>(&json).unwrap(), seconds);
        }
    }
}
