//! Which percentiles a distribution may show: those that enough samples lie beyond.

/// A percentile says something about what is rare only if it was seen so many times.
pub const BEYOND_MIN: u64 = 10;

/// Percentiles that reports show, as parts of ten thousand.
const SHOWN: [u64; 5] = [5_000, 9_000, 9_900, 9_990, 9_999];

/// Those that have [`BEYOND_MIN`] samples beyond them, with their names.
pub fn shown(count: u64) -> impl Iterator<Item = (f64, String)> {
    SHOWN.iter().filter(move |part| is_known(**part, count)).map(|part| {
        let percent = *part as f64 / 100.0;
        (*part as f64 / 10_000.0, format!("{percent} %"))
    })
}

/// The highest of them that is above the median; none below a hundred samples.
pub fn highest(count: u64) -> Option<(f64, String)> {
    shown(count).filter(|(share, _)| *share > 0.5).last()
}

fn is_known(part: u64, count: u64) -> bool {
    // Samples beyond: those that are greater than the nearest rank.
    let rank = (u128::from(count) * u128::from(part)).div_ceil(10_000);
    u128::from(count) - rank >= u128::from(BEYOND_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_percentile_needs_ten_samples_beyond_it() {
        let name = |count| highest(count).map(|(_, name)| name);
        assert_eq!(name(99), None);
        assert_eq!(name(100).as_deref(), Some("90 %"));
        assert_eq!(name(999).as_deref(), Some("90 %"));
        assert_eq!(name(1_000).as_deref(), Some("99 %"));
        assert_eq!(name(10_000).as_deref(), Some("99.9 %"));
        assert_eq!(name(100_000).as_deref(), Some("99.99 %"));
        assert_eq!(shown(19).count(), 0);
        assert_eq!(shown(20).count(), 1);
    }

    proptest! {
        #[test]
        fn beyond_each_there_are_ten_samples(count in 0u64..10_000_000) {
            for (share, name) in shown(count) {
                let beyond = count as f64 * (1.0 - share);
                prop_assert!(beyond >= 9.999, "{} of {}: {}", name, count, beyond);
            }
        }
    }
}
