//! The interval of a median over few launches.
//!
//! A bootstrap of few launches is too narrow: what it draws from varies less than what they were drawn from, and its ends are
//! launches themselves. So below [`BOOTSTRAP_LAUNCHES_MIN`] launches the interval is Student's ("The Probable Error of a
//! Mean", Biometrika 6, 1908) over the logarithms of the launches' medians: what differs between launches (placement of pages,
//! neighbours, clock) makes all of a launch faster or slower by a factor. Tests show
//! by simulated launches that 94 to 97 % of these intervals hold the true median, and that fewer of the bootstrap's do.

/// From so many launches on the bootstrap covers as well, and assumes less.
pub const BOOTSTRAP_LAUNCHES_MIN: usize = 20;

/// The 97.5 % points of Student's distribution with 1, 2, … 18 degrees of freedom (Fisher and Yates, "Statistical Tables for
/// Biological, Agricultural and Medical Research", table III).
const STUDENT: [f64; BOOTSTRAP_LAUNCHES_MIN - 2] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101,
];

/// The 95 % interval by the medians of 2 to 19 launches; `None` for any other number of them.
pub fn interval(medians: &[u64]) -> Option<(u64, u64)> {
    let student = STUDENT.get(medians.len().checked_sub(2)?)?;
    let count = medians.len() as f64;
    // A median of zero ticks has no logarithm.
    let logarithms: Vec<f64> = medians.iter().map(|median| (*median as f64).max(1.0).ln()).collect();
    let mean = logarithms.iter().sum::<f64>() / count;
    let squares = logarithms.iter().map(|logarithm| (logarithm - mean).powi(2)).sum::<f64>();
    let half = student * (squares / (count - 1.0) / count).sqrt();
    // Equal launches are equal, whatever a logarithm and its inverse round to. A conversion to u64 stops at its ends.
    let (least, greatest) = (medians.iter().min()?, medians.iter().max()?);
    if least == greatest {
        return Some((*least, *greatest));
    }
    Some(((mean - half).exp().floor() as u64, (mean + half).exp().ceil() as u64))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution as _, LogNormal};

    use super::*;
    use crate::statistics::distribution::Distribution;
    use crate::statistics::summary::{Interval, Merged, Summary, bootstrap_of_launches};

    /// Median of all launches that there could be, ticks.
    const TRUE_MEDIAN: f64 = 10_000.0;
    const SAMPLES: usize = 41;

    /// How many of 1,000 intervals of such a kind hold the true median, when the speed of launches differs by a few percent.
    fn coverage(
        launches: usize,
        runs: u32,
        seed: u64,
        interval: impl Fn(&[&Distribution]) -> Option<Interval>,
    ) -> u32 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let effect = LogNormal::new(0.0, 0.05).unwrap();
        let noise = LogNormal::new(0.0, 0.02).unwrap();
        let covered = (0..runs).filter(|_| {
            let launches: Vec<Distribution> = (0..launches)
                .filter_map(|_| {
                    let speed = TRUE_MEDIAN * effect.sample(&mut random);
                    let samples = (0..SAMPLES).map(|_| (speed * noise.sample(&mut random)).round() as u64);
                    Distribution::of(samples.map(|sample| (sample, false)).collect::<Vec<_>>().into_iter())
                })
                .collect();
            let interval = interval(&launches.iter().collect::<Vec<_>>());
            interval.is_some_and(|Interval { low, high }| (low..=high).contains(&(TRUE_MEDIAN as u64)))
        });
        (covered.count() as u32 * 1_000).div_ceil(runs)
    }

    #[test]
    fn below_twenty_launches_94_to_97_of_100_intervals_hold_the_median() {
        for (launches, seed) in [(6, 1), (8, 2), (12, 3), (19, 4)] {
            let coverage = coverage(launches, 4_000, seed, |launches| {
                Summary::over(launches).and_then(|summary| summary.interval)
            });
            println!("{launches} launches: {coverage} of 1,000");
            assert!((940..=970).contains(&coverage), "{launches} launches: {coverage} of 1,000");
        }
    }

    /// Why the bootstrap is not used for so few.
    #[test]
    fn of_few_launches_a_bootstrap_holds_it_less_often() {
        let coverage =
            coverage(6, 400, 1, |launches| Some(bootstrap_of_launches(&Merged::of(launches), launches)));
        println!("6 launches: {coverage} of 1,000");
        assert!(coverage < 930, "6 launches: {coverage} of 1,000");
    }

    #[test]
    fn one_launch_and_many_are_not_its_affair_and_equal_ones_have_no_width() {
        assert_eq!(interval(&[7]), None);
        assert_eq!(interval(&[7; 20]), None);
        assert_eq!(interval(&[7; 19]), Some((7, 7)));
        assert_eq!(interval(&[u64::MAX; 2]), Some((u64::MAX, u64::MAX)));
        assert_eq!(interval(&[0, u64::MAX]).map(|(low, _)| low), Some(0));
    }
}
