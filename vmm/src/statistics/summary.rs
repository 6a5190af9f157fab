//! What is said about a set of samples: order statistics, and how sure the median is.
//!
//! Quantiles are samples themselves (nearest rank, definition 1 of Hyndman and Fan, "Sample Quantiles in Statistical
//! Packages", The American Statistician 50, 1996): whole ticks stay whole. Of a launch with more than
//! [`EXACT_SAMPLES_MAX`](crate::statistics::distribution::EXACT_SAMPLES_MAX) samples they are middles of bins. The interval of the median is the
//! percentile bootstrap (Efron, "Bootstrap Methods", Annals of Statistics 7, 1979).

use rand::SeedableRng;
use rand::distr::{Distribution as _, Uniform};
use rand_chacha::ChaCha8Rng;
use rand_distr::Beta;
use serde::{Deserialize, Serialize};

use super::distribution::{Distribution, Figure};
use super::few_launches;
#[cfg(doc)]
use super::few_launches::BOOTSTRAP_LAUNCHES_MIN;
use super::rounded;

/// Bootstrap resamples.
pub const RESAMPLES: usize = 4_000;

/// Seed of the bootstrap: the same samples give the same interval, everywhere.
pub const SEED: u64 = 0x696e_6b62_6564;

/// Samples of one launch, or launches where there are several, below which there is no interval: the median lies outside the
/// whole range of five samples once in 16 times, so nothing that is made of five can hold it with 95 %.
pub const INTERVAL_COUNT_MIN: usize = 6;

/// Ends of an interval of the median.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower one.
    #[serde(rename = "median_ci95_low")]
    pub low: u64,
    /// The upper one.
    #[serde(rename = "median_ci95_high")]
    pub high: u64,
}

/// Summary of a set of samples, in the samples' unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Samples that went in.
    pub count: u64,
    /// Smallest.
    pub min: u64,
    /// Half of the samples are not greater.
    pub median: u64,
    /// The interval that holds the median with 95 % confidence; absent when less than [`INTERVAL_COUNT_MIN`] went in.
    #[serde(flatten)]
    pub interval: Option<Interval>,
    /// Nine of ten are not greater.
    pub p90: u64,
    /// 99 of 100 are not greater.
    pub p99: u64,
    /// Greatest.
    pub max: u64,
    /// Arithmetic mean, rounded to a whole.
    pub mean: u64,
}

impl Summary {
    /// The median in ns, where the frequency of the clock is known.
    pub fn median_ns(&self, hz: Option<u64>) -> Option<f64> {
        hz.map(|hz| rounded(self.median as f64 * 1e9 / hz as f64, 1))
    }

    /// Half of the interval, as a share of the median.
    pub fn half_interval(&self) -> Option<f64> {
        let interval = self.interval.filter(|_| self.median > 0)?;
        Some(interval.high.saturating_sub(interval.low) as f64 / 2.0 / self.median as f64)
    }

    /// The summary of the samples of one or several launches; `None` when there is none.
    pub fn of(launches: &[Vec<u64>]) -> Option<Summary> {
        let unmarked = |samples: &Vec<u64>| Distribution::of(samples.iter().map(|sample| (*sample, false)));
        let launches: Vec<Distribution> = launches.iter().filter_map(unmarked).collect();
        Summary::over(&launches.iter().collect::<Vec<_>>())
    }

    /// The summary of what is kept of one or several launches; `None` when there is none.
    ///
    /// With several launches the interval is over launches (below [`BOOTSTRAP_LAUNCHES_MIN`] as [`few_launches`] has it, from
    /// there on whole launches are resampled), because samples of one
    /// guest resemble each other more than those of two (Hoefler and Belli, "Scientific Benchmarking of Parallel
    /// Computing Systems", SC '15).
    pub fn over(launches: &[&Distribution]) -> Option<Summary> {
        let all = Merged::of(launches);
        let min = launches.iter().map(|launch| launch.min).min()?;
        let max = launches.iter().map(|launch| launch.max).max()?;
        let count = all.count();
        let independent = if launches.len() > 1 { launches.len() as u64 } else { count };
        let interval = (independent >= INTERVAL_COUNT_MIN as u64).then(|| match launches.len() {
            1 => interval_over_samples(&all),
            _ => interval_over_launches(&all, launches),
        });
        let sum = launches.iter().fold(0u128, |sum, launch| sum.saturating_add(launch.sum));
        Some(Summary {
            count,
            min,
            median: all.quantile(50),
            interval,
            p90: all.quantile(90),
            p99: all.quantile(99),
            max,
            mean: ((sum + u128::from(count) / 2) / u128::from(count)) as u64,
        })
    }
}

/// The figures of several launches in one row, rising.
pub(crate) struct Merged {
    entries: Vec<Entry>,
}

/// A figure of one launch.
struct Entry {
    value: u64,
    launch: usize,
    count: u64,
    /// Samples up to here, this figure's included.
    until: u64,
}

impl Merged {
    pub(crate) fn of(launches: &[&Distribution]) -> Merged {
        let of_launch = |(launch, distribution): (usize, &&'_ Distribution)| {
            let entry =
                move |figure: &Figure| Entry { value: figure.value, launch, count: figure.count, until: 0 };
            distribution.figures().iter().map(entry).collect::<Vec<_>>()
        };
        let mut entries: Vec<Entry> = launches.iter().enumerate().flat_map(of_launch).collect();
        entries.sort_by_key(|entry| entry.value);
        let mut passed = 0;
        for entry in &mut entries {
            passed += entry.count;
            entry.until = passed;
        }
        Merged { entries }
    }

    fn count(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.until)
    }

    /// The sample with this number, counted from 1.
    fn sample(&self, number: u64) -> u64 {
        let place = self.entries.partition_point(|entry| entry.until < number);
        self.entries[place.min(self.entries.len() - 1)].value
    }

    fn quantile(&self, percent: u64) -> u64 {
        self.sample(rank(self.count(), percent))
    }
}

/// The smallest sample that at least `percent` of 100 samples do not exceed. `sorted` must not be empty.
pub fn quantile(sorted: &[u64], percent: u64) -> u64 {
    sorted[rank(sorted.len() as u64, percent) as usize - 1]
}

/// The median of figures that occurred so often each.
pub(crate) fn middle(mut counted: Vec<(u64, u64)>) -> Option<u64> {
    counted.sort_unstable();
    let all: u64 = counted.iter().map(|(_, count)| count).sum();
    let mut passed = 0;
    let reached = counted.iter().filter(|_| all > 0).find(|(_, count)| {
        passed += count;
        passed >= all.div_ceil(2)
    });
    reached.map(|(value, _)| *value)
}

/// Number of that sample, counted from 1.
fn rank(count: u64, percent: u64) -> u64 {
    // The division is done in u128 because counts times 100 may not fit.
    ((u128::from(count) * u128::from(percent)).div_ceil(100) as u64).clamp(1, count)
}

/// Percentile interval of the median of one set of samples.
///
/// Drawing `n` samples with replacement and taking the k-th smallest is drawing `n` places in the sorted samples and
/// taking the k-th lowest place, and the k-th lowest of `n` uniform numbers has the distribution Beta(k, n + 1 - k).
/// So each resample costs one draw, however many samples there are.
fn interval_over_samples(samples: &Merged) -> Interval {
    let count = samples.count();
    let rank = rank(count, 50);
    let Ok(place) = Beta::new(rank as f64, (count + 1 - rank) as f64) else {
        return Interval { low: samples.sample(1), high: samples.sample(count) }; // Both parameters are at least 1: cannot happen.
    };
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let medians: Vec<u64> = place
        .sample_iter(&mut random)
        .take(RESAMPLES)
        .map(|place: f64| samples.sample(((place * count as f64) as u64).min(count - 1) + 1))
        .collect();
    percentile_interval(medians)
}

/// Interval of the median of all samples that holds for other launches, too.
fn interval_over_launches(all: &Merged, launches: &[&Distribution]) -> Interval {
    let medians: Vec<u64> = launches.iter().map(|launch| launch.median()).collect();
    let Some((low, high)) = few_launches::interval(&medians) else {
        return bootstrap_of_launches(all, launches);
    };
    // The median of all samples is no mean of medians; an interval that does not hold it would be absurd.
    let median = all.quantile(50);
    Interval { low: low.min(median), high: high.max(median) }
}

/// Percentile interval of the median of all samples when whole launches are drawn with replacement.
pub(crate) fn bootstrap_of_launches(all: &Merged, launches: &[&Distribution]) -> Interval {
    let medians = || launches.iter().map(|launch| launch.median());
    let (low, high) = (medians().min().unwrap_or(0), medians().max().unwrap_or(u64::MAX));
    let Ok(any_launch) = Uniform::new(0, launches.len()) else {
        return Interval { low, high }; // There is at least one launch: cannot happen.
    };
    // Whatever is drawn, its median lies between those of the launches: only what is between them is looked through.
    let between = |bound: u64| all.entries.partition_point(|entry| entry.value < bound);
    let (below, rest) = all.entries.split_at(between(low));
    let mut counts_below = vec![0u64; launches.len()];
    below.iter().for_each(|entry| counts_below[entry.launch] += entry.count);
    let sizes: Vec<u64> = launches.iter().map(|launch| launch.count()).collect();
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut times = vec![0u64; launches.len()];
    let medians = (0..RESAMPLES).map(|_| {
        times.fill(0);
        (0..launches.len()).for_each(|_| times[any_launch.sample(&mut random)] += 1);
        let drawn =
            |counts: &[u64]| times.iter().zip(counts).map(|(times, count)| times * count).sum::<u64>();
        let (rank, mut passed) = (rank(drawn(&sizes), 50), drawn(&counts_below));
        let reached = rest.iter().find(|entry| {
            passed += times[entry.launch] * entry.count;
            passed >= rank
        });
        reached.map_or(high, |entry| entry.value)
    });
    percentile_interval(medians.collect())
}

/// The middle 95 % of the resampled medians.
fn percentile_interval(mut medians: Vec<u64>) -> Interval {
    medians.sort_unstable();
    let cut = medians.len() / 40; // 2.5 %
    Interval { low: medians[cut], high: medians[medians.len() - 1 - cut] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_samples_have_known_quantiles() {
        let summary = Summary::of(&[(1..=100).collect()]).unwrap();
        assert_eq!(
            (summary.min, summary.median, summary.p90, summary.p99, summary.max),
            (1, 50, 90, 99, 100)
        );
        assert_eq!((summary.count, summary.mean), (100, 51));
        // The exact binomial interval of the median of 100 values is [40, 61] (95.2 %).
        let interval = summary.interval.unwrap();
        assert!((38..=42).contains(&interval.low), "{summary:?}");
        assert!((58..=62).contains(&interval.high), "{summary:?}");
    }

    #[test]
    fn no_sample_has_no_summary_and_one_is_everything() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[vec![], vec![]]), None);
        let one = Summary::of(&[vec![7]]).unwrap();
        assert_eq!((one.min, one.median, one.max), (7, 7, 7));
    }

    #[test]
    fn fewer_than_six_samples_or_launches_have_no_interval() {
        let launches = |count, samples: u64| vec![(0..samples).collect::<Vec<u64>>(); count];
        for (count, samples, has_one) in
            [(1, 1, false), (1, 5, false), (1, 6, true), (5, 100, false), (6, 1, true)]
        {
            let summary = Summary::of(&launches(count, samples)).unwrap();
            assert_eq!(summary.interval.is_some(), has_one, "{count} launches of {samples}");
        }
        let silent = [launches(1, 100), vec![Vec::new(); 3]].concat();
        assert!(Summary::of(&silent).unwrap().interval.is_some(), "one launch, and some that left nothing");
        let json = serde_json::to_string(&Summary::of(&[vec![7]])).unwrap();
        assert!(!json.contains("ci95"), "{json}");
        assert_eq!(serde_json::from_str::<Option<Summary>>(&json).unwrap(), Summary::of(&[vec![7]]));
        let summary = Summary::of(&launches(1, 50));
        let json = serde_json::to_string(&summary).unwrap();
        assert!(json.contains("median_ci95_low") && json.contains("median_ci95_high"), "{json}");
        assert_eq!(serde_json::from_str::<Option<Summary>>(&json).unwrap(), summary);
    }

    /// The shortcut through the Beta distribution must agree with resampling written out.
    #[test]
    fn the_interval_is_that_of_plain_resampling() {
        let sorted: Vec<u64> = (0..61).map(|index| 1_000 + index * index).collect();
        let kept = Distribution::of(sorted.iter().map(|sample| (*sample, false))).unwrap();
        let Interval { low, high } = interval_over_samples(&Merged::of(&[&kept]));
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let any = Uniform::new(0, sorted.len()).unwrap();
        let medians = (0..20_000).map(|_| {
            let mut drawn: Vec<u64> = (0..sorted.len()).map(|_| sorted[any.sample(&mut random)]).collect();
            drawn.sort_unstable();
            quantile(&drawn, 50)
        });
        let plain = percentile_interval(medians.collect());
        let place = |value: u64| sorted.iter().position(|sample| *sample == value).unwrap() as i64;
        assert!((place(low) - place(plain.low)).abs() <= 1, "{low} {plain:?}");
        assert!((place(high) - place(plain.high)).abs() <= 1, "{high} {plain:?}");
    }

    #[test]
    fn launches_that_differ_widen_the_interval() {
        let launch = |base: u64| (base..base + 50).collect::<Vec<u64>>();
        let width = |bases: [u64; 6]| {
            let interval = Summary::of(&bases.map(launch)).unwrap().interval.unwrap();
            interval.high - interval.low
        };
        assert!(width([1000; 6]) < 5);
        assert!(width([1000, 2000, 3000, 4000, 5000, 6000]) > 900);
    }

    #[test]
    fn huge_samples_do_not_overflow() {
        let summary = Summary::of(&[vec![u64::MAX; 5]]).unwrap();
        assert_eq!(summary.mean, u64::MAX);
    }

    proptest! {
        #[test]
        fn the_summary_is_ordered_and_made_of_samples(
            launches in prop::collection::vec(prop::collection::vec(0u64..1_000_000, 0..80), 1..9)
        ) {
            let all: Vec<u64> = launches.iter().flatten().copied().collect();
            let Some(summary) = Summary::of(&launches) else {
                prop_assert!(all.is_empty());
                return Ok(());
            };
            let ordered = [summary.min, summary.median, summary.p90, summary.p99, summary.max];
            prop_assert!(ordered.is_sorted());
            prop_assert!(ordered.iter().all(|value| all.contains(value)));
            let holds_median = |interval: Interval| interval.low <= summary.median && summary.median <= interval.high;
            prop_assert!(summary.interval.is_none_or(holds_median));
            prop_assert!(summary.min <= summary.mean && summary.mean <= summary.max);
            prop_assert_eq!(summary.count, all.len() as u64);
            prop_assert_eq!(Summary::of(&launches), Some(summary));
            let not_greater = all.iter().filter(|value| **value <= summary.median).count();
            prop_assert!(not_greater * 2 >= all.len());
        }

        #[test]
        fn the_order_of_samples_does_not_matter(mut samples in prop::collection::vec(0u64..1000, 1..60)) {
            let before = Summary::of(&[samples.clone()]);
            samples.reverse();
            prop_assert_eq!(Summary::of(&[samples]), before);
        }
    }
}
