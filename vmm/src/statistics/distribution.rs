//! What is kept of one launch's samples in memory and in the record: how often each figure occurred, in bounded space.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use super::summary::middle;

/// So many samples of a launch are kept one by one; with more of them, each is kept as the middle of its bin in a histogram.
pub const EXACT_SAMPLES_MAX: usize = 20_000;

/// Significant digits of histograms: a bin is at most 1/1024 as wide as what falls into it, and its middle at most 1/2048, which is
/// 0.05 %, away from that.
const SIGNIFICANT_DIGITS: u8 = 3;

/// The samples of one channel in one launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// Rising.
    figures: Vec<Figure>,
    /// Smallest sample.
    pub min: u64,
    /// Greatest.
    pub max: u64,
    /// All of them added up.
    pub sum: u128,
}

/// One figure and how often it occurred; written as three numbers, because there are many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 3]", into = "[u64; 3]")]
pub struct Figure {
    /// A sample, or the middle of the bin of several.
    pub value: u64,
    /// How many samples.
    pub count: u64,
    /// How many of them nobody disturbed.
    pub undisturbed: u64,
}

impl From<Figure> for [u64; 3] {
    fn from(figure: Figure) -> [u64; 3] {
        [figure.value, figure.count, figure.undisturbed]
    }
}

impl From<[u64; 3]> for Figure {
    fn from([value, count, undisturbed]: [u64; 3]) -> Figure {
        Figure { value, count, undisturbed }
    }
}

/// A sample and whether it was disturbed.
pub type Marked = (u64, bool);

impl Distribution {
    /// Of these samples, in any order; `None` when there is none.
    pub fn of(samples: impl Iterator<Item = Marked>) -> Option<Distribution> {
        let mut samples: Vec<Marked> = samples.collect();
        samples.sort_unstable();
        let (min, max) = (samples.first()?.0, samples.last()?.0);
        let sum = samples.iter().map(|(value, _)| u128::from(*value)).sum();
        if samples.len() > EXACT_SAMPLES_MAX {
            let bins = bins();
            for (value, _) in &mut samples {
                // At the ends there are exact values.
                *value = bins.median_equivalent(*value).clamp(min, max);
            }
        }
        let same = samples.chunk_by(|one, other| one.0 == other.0);
        let figures = same.map(|same| Figure {
            value: same[0].0,
            count: same.len() as u64,
            undisturbed: same.iter().filter(|(_, is_disturbed)| !is_disturbed).count() as u64,
        });
        Some(Distribution { figures: figures.collect(), min, max, sum })
    }

    /// Figures, rising.
    pub fn figures(&self) -> &[Figure] {
        &self.figures
    }

    /// Number of samples.
    pub fn count(&self) -> u64 {
        self.figures.iter().map(|figure| figure.count).sum()
    }

    /// The smallest figure that half of the samples do not exceed.
    pub fn median(&self) -> u64 {
        let counted = self.figures.iter().map(|figure| (figure.value, figure.count));
        middle(counted.collect()).unwrap_or(self.max)
    }

    /// As a histogram in the format V2 of HdrHistogram, compressed, in base64: what its readers in other languages take.
    pub fn histogram(&self) -> Option<String> {
        let mut bins = bins();
        for figure in &self.figures {
            bins.record_n(figure.value, figure.count).ok()?;
        }
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&bins, &mut bytes).ok()?;
        Some(BASE64_STANDARD.encode(bytes))
    }
}

/// No sample yet; grows with what is recorded.
fn bins() -> Histogram<u64> {
    let mut bins = Histogram::new(SIGNIFICANT_DIGITS).expect("three digits are within its bounds");
    bins.auto(true);
    bins
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution as _, LogNormal};

    use crate::statistics::summary::quantile;

    fn of(samples: &[u64]) -> Distribution {
        Distribution::of(samples.iter().map(|sample| (*sample, false))).unwrap()
    }

    fn read_back(distribution: &Distribution) -> Histogram<u64> {
        let bytes = BASE64_STANDARD.decode(distribution.histogram().unwrap()).unwrap();
        Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap()
    }

    /// Whether a figure is as near to a sample as the documents say: by 1/2048 of it.
    fn is_near(figure: u64, sample: u64) -> bool {
        figure.abs_diff(sample) <= sample / 2_048 + 1
    }

    /// Cycles of 100,000 round trips: about 2,000, with a long tail.
    fn many() -> Vec<u64> {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let cycles = LogNormal::new(7.6, 0.8).unwrap();
        (0..100_000).map(|_| cycles.sample(&mut random) as u64).collect()
    }

    #[test]
    fn a_histogram_reads_back_with_the_quantiles_of_its_samples() {
        for samples in [many(), many()[..EXACT_SAMPLES_MAX].to_vec(), vec![0, 1, 2], vec![1 << 62; 3]] {
            let kept = of(&samples);
            let read = read_back(&kept);
            let mut sorted = samples;
            sorted.sort_unstable();
            assert_eq!((read.len(), kept.count()), (sorted.len() as u64, sorted.len() as u64));
            for percent in [1, 25, 50, 75, 90, 99, 100] {
                let (exact, bin) =
                    (quantile(&sorted, percent), read.value_at_quantile(percent as f64 / 100.0));
                assert!(is_near(read.median_equivalent(bin), exact), "{percent} %: {bin} for {exact}");
            }
        }
    }

    #[test]
    fn few_samples_stay_what_they_were_and_many_are_near() {
        let mut samples = many();
        let kept = of(&samples);
        assert_eq!((kept.min, kept.max), (*samples.iter().min().unwrap(), *samples.iter().max().unwrap()));
        assert_eq!(kept.sum, samples.iter().map(|sample| u128::from(*sample)).sum::<u128>());
        assert!(kept.figures().len() < 10_000, "{} figures", kept.figures().len());
        samples.sort_unstable();
        assert!(is_near(kept.median(), quantile(&samples, 50)));
        samples.truncate(EXACT_SAMPLES_MAX);
        assert_eq!(of(&samples).median(), quantile(&samples, 50));
    }

    #[test]
    fn undisturbed_samples_are_counted_beside_all() {
        let kept = Distribution::of([(5, true), (5, false), (9, true)].into_iter()).unwrap();
        let counts: Vec<_> =
            kept.figures().iter().map(|figure| (figure.value, figure.count, figure.undisturbed)).collect();
        assert_eq!(counts, [(5, 2, 1), (9, 1, 0)]);
        assert_eq!(Distribution::of(std::iter::empty()), None);
    }

    #[test]
    fn what_is_kept_on_the_disk_is_read_back() {
        let samples = [(5, true), (5, false), (u64::MAX, true), (u64::MAX - 1, false)];
        let kept = Distribution::of(samples.into_iter()).unwrap();
        assert!(kept.sum > u128::from(u64::MAX));
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<Distribution>(&text).unwrap(), kept);
    }

    /// However wild the samples of one launch are, what stays of them is bounded.
    #[test]
    fn a_histogram_of_anything_is_bounded() {
        let wild: Vec<u64> = (0..60_000u64)
            .map(|index| index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (1 + index % 62))
            .collect();
        let kept = of(&wild);
        assert!(kept.figures().len() <= 64 * 1_024, "{} figures", kept.figures().len());
        assert_eq!(read_back(&kept).len(), 60_000);
    }

    proptest! {
        #[test]
        fn the_median_is_that_of_the_sorted_samples(mut samples in prop::collection::vec(0u64..50, 1..60)) {
            let kept = of(&samples);
            samples.sort_unstable();
            prop_assert_eq!(kept.median(), quantile(&samples, 50));
        }
    }
}
