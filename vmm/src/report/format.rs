//! How numbers and programs are written for people.

use crate::case::Parameters;
use crate::case::parameter::Transfer;
pub use crate::printable::grouped;
use crate::statistics::summary::Interval;

/// The first names of many: `a, b and 3 more`.
pub fn some_of(names: &[&str]) -> String {
    const NAMED: usize = 2;
    let named = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// A count per round trip: whole where it is, else with up to three decimal places.
pub fn count(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The distance of an interval's ends from `middle`, the greater of the two: `±0.3 %`.
pub fn interval(Interval { low, high }: Interval, middle: u64) -> String {
    if middle == 0 {
        return String::new();
    }
    let distance = middle.abs_diff(low).max(high.abs_diff(middle)) as f64 * 100.0 / middle as f64;
    if distance == 0.0 {
        "±0".to_owned()
    } else if distance < 0.1 {
        "<0.1%".to_owned()
    } else {
        format!("±{distance:.1}%")
    }
}

/// Placements in the order of the message's way: `user → kernel`.
pub fn placements(case: &Parameters) -> String {
    if case.same_space {
        return "user, one space".to_owned();
    }
    let way = [Some(case.client), case.relay, case.server];
    let mut text = way.iter().flatten().map(|placement| placement.name()).collect::<Vec<_>>().join(" → ");
    if let Some(other) = case.other_client {
        text.push_str(&format!(" ← {other}"));
    }
    if case.transfer == Transfer::Direct {
        text.push_str(", direct");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_from_the_right() {
        for (value, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(value), text);
        }
    }

    #[test]
    fn whole_counts_are_whole() {
        for (value, text) in [(2.0, "2"), (0.0, "0"), (2.0033, "2.003"), (10.0, "10"), (0.5, "0.5")] {
            assert_eq!(count(value), text);
        }
    }

    #[test]
    fn an_interval_is_its_farther_end() {
        let text = |low, middle, high| interval(Interval { low, high }, middle);
        assert_eq!(text(990, 1000, 1005), "±1.0%");
        assert_eq!(text(1000, 1000, 1000), "±0");
        assert_eq!(text(99_999, 100_000, 100_000), "<0.1%");
        assert_eq!(text(0, 0, 1), "");
    }
}
