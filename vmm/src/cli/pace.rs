//! How long a run has taken and will take, by its launches.

use std::collections::HashMap;
use std::time::Duration;

/// The launches of a run so far. A run has as many launches left as were planned and have not ended; each takes as long as
/// those before took on average.
pub(super) struct Pace {
    planned: u64,
    ended: u32,
    took: Duration,
    by_case: HashMap<String, Duration>,
}

impl Pace {
    /// Of a run with so many launches.
    pub(super) fn new(planned: u64) -> Pace {
        Pace { planned, ended: 0, took: Duration::ZERO, by_case: HashMap::new() }
    }

    /// A launch of this case has ended.
    pub(super) fn launch_ended(&mut self, case: &str, took: Duration) {
        self.ended += 1;
        self.took += took;
        *self.by_case.entry(case.to_owned()).or_default() += took;
    }

    /// What all launches of a case took.
    pub(super) fn case_took(&self, case: &str) -> Duration {
        self.by_case.get(case).copied().unwrap_or_default()
    }

    /// What the launches that have not ended will take; `None` before the first has ended.
    pub(super) fn left(&self) -> Option<Duration> {
        let mean = self.took.checked_div(self.ended)?;
        let launches = u32::try_from(self.planned.saturating_sub(u64::from(self.ended))).unwrap_or(u32::MAX);
        Some(mean.saturating_mul(launches))
    }
}

/// A duration for a person: `1.2 s`, `40 s`, `3 min 20 s`, `2 h 5 min`.
pub(super) fn in_words(duration: Duration) -> String {
    // What rounds to ten seconds is written as ten seconds.
    if duration < Duration::from_millis(9_950) {
        return format!("{:.1} s", duration.as_secs_f64());
    }
    let seconds = (duration + Duration::from_millis(500)).as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_as_slow_as_what_was() {
        let mut pace = Pace::new(4);
        assert_eq!(pace.left(), None);
        pace.launch_ended("a", Duration::from_secs(1));
        assert_eq!(pace.left(), Some(Duration::from_secs(3)));
        pace.launch_ended("b", Duration::from_secs(3));
        pace.launch_ended("a", Duration::from_secs(2));
        assert_eq!(pace.left(), Some(Duration::from_secs(2)));
        assert_eq!(pace.case_took("a"), Duration::from_secs(3));
        pace.launch_ended("b", Duration::from_secs(2));
        assert_eq!(pace.left(), Some(Duration::ZERO));
    }

    #[test]
    fn durations_are_in_words() {
        let words = [
            (1_240, "1.2 s"),
            (9_949, "9.9 s"),
            (9_950, "10 s"),
            (40_400, "40 s"),
            (59_600, "1 min 0 s"),
            (200_000, "3 min 20 s"),
            (7_500_000, "2 h 5 min"),
        ];
        for (milliseconds, words) in words {
            assert_eq!(in_words(Duration::from_millis(milliseconds)), words);
        }
    }
}
