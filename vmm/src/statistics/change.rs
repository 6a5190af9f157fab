//! How much slower or faster one run is than another, by the launches of both, in many rows at once.
//!
//! The unit is the launch, as in an interval of one run ([`super::few_launches`]). What differs between launches makes all of a launch
//! faster or slower by a factor, so the means of logarithms are compared, each difference by its standard error (Welch, Biometrika 34,
//! 1947). How far that goes by chance, the launches themselves tell: they are dealt out anew to the two runs, all rows alike, and the
//! greatest row of each deal counts (Westfall and Young, "Resampling-Based Multiple Testing", 1993). So nothing is assumed of how launches
//! scatter, nor of how rows hang together; only that, where nothing has changed, any launch could have been of either run.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

use super::summary::SEED;

/// Of three launches in each run there are 20 deals. Two of them are as clear as can be, which are 10 %: too many for any verdict.
pub const LAUNCHES_MIN: usize = 4;

/// How often launches are dealt out.
pub const DEALS: usize = 999;

/// What any row of all may be called slower or faster by chance.
pub const LEVEL: f64 = 0.05;

/// A figure of one launch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The figure, in whatever unit.
    pub value: f64,
    /// It was rounded to multiples of so much.
    pub step: f64,
}

/// The launches of two runs in one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Logarithms of the first run's launches, then of the second's, less their mean.
    logarithms: Vec<f64>,
    /// Squares of them, added up.
    squares: f64,
    /// That mean.
    mean: f64,
    /// How many are the first run's.
    firsts: usize,
    /// The variance by the rounding of the clock.
    rounding: f64,
}

/// A row by itself: the difference of the means of logarithms, and its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Difference {
    difference: f64,
    error: f64,
}

/// What is known of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Geometric mean of the first run's launches.
    pub first: f64,
    /// Of the second's.
    pub second: f64,
    /// The second by the first.
    pub ratio: f64,
    /// The true ratio is between this and [`Self::high`]: for all rows at once, with 95 %.
    pub low: f64,
    /// See there.
    pub high: f64,
    /// How probable it is that any row of all shows as clear a change as this one, where there is none.
    pub probability: f64,
}

impl Pair {
    /// `None` for fewer than [`LAUNCHES_MIN`] of either.
    pub fn of(first: &[Figure], second: &[Figure]) -> Option<Pair> {
        if first.len().min(second.len()) < LAUNCHES_MIN {
            return None;
        }
        let figures = || first.iter().chain(second);
        // A figure of zero has no logarithm.
        let logarithms = || figures().map(|figure| figure.value.max(1.0).ln());
        let mean = logarithms().sum::<f64>() / (first.len() + second.len()) as f64;
        // Launches that a coarse clock shows as equal are not equal: each may lie anywhere within its step.
        let steps = figures().map(|figure| figure.step / figure.value.max(1.0));
        let rounding = steps.fold(f64::EPSILON, f64::max).powi(2) / 12.0;
        let logarithms: Vec<f64> = logarithms().map(|one| one - mean).collect();
        let squares = logarithms.iter().map(|one| one * one).sum();
        Some(Pair { logarithms, squares, mean, firsts: first.len(), rounding })
    }

    /// If these launches were the first run's, and all others the second's.
    fn difference(&self, firsts: &[usize]) -> Difference {
        let (mut sum, mut squares) = (0.0, 0.0);
        for launch in firsts {
            let one = self.logarithms[*launch];
            sum += one;
            squares += one * one;
        }
        let (first, second) = (firsts.len() as f64, (self.logarithms.len() - firsts.len()) as f64);
        // All of them together are zero.
        let (mean, other_mean) = (sum / first, -sum / second);
        let error = |count: f64, squares: f64, mean: f64| {
            ((squares - count * mean * mean) / (count - 1.0)).max(self.rounding) / count
        };
        let squared = error(first, squares, mean) + error(second, self.squares - squares, other_mean);
        Difference { difference: other_mean - mean, error: squared.sqrt() }
    }

    /// As it was.
    fn seen(&self) -> Difference {
        self.difference(&(0..self.firsts).collect::<Vec<_>>())
    }
}

impl Difference {
    /// How clear it is.
    fn clearness(&self) -> f64 {
        self.difference.abs() / self.error
    }
}

/// Judges all rows together, by so many deals. The same launches get the same verdict, everywhere.
pub fn judge(pairs: &[Pair], deals: usize) -> Vec<Change> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut greatest: Vec<f64> = (0..deals).map(|_| greatest_of_a_deal(pairs, &mut random)).collect();
    greatest.sort_by(|one, other| other.total_cmp(one));
    // What was seen is one of the deals, too.
    let may_exceed = ((deals + 1) as f64 * LEVEL) as usize;
    let limit =
        may_exceed.checked_sub(1).and_then(|last| greatest.get(last)).copied().unwrap_or(f64::INFINITY);
    let change = |pair: &Pair| {
        let seen = pair.seen();
        let as_clear = greatest.partition_point(|one| *one >= seen.clearness());
        let half = limit * seen.error;
        // The means of both are as far from that of all as there are launches of the other.
        let share = pair.firsts as f64 / pair.logarithms.len() as f64;
        Change {
            first: (pair.mean - seen.difference * (1.0 - share)).exp(),
            second: (pair.mean + seen.difference * share).exp(),
            ratio: seen.difference.exp(),
            low: (seen.difference - half).exp(),
            high: (seen.difference + half).exp(),
            probability: (as_clear + 1) as f64 / (deals + 1) as f64,
        }
    };
    pairs.iter().map(change).collect()
}

/// Deals the launches out, in rows with as many of them alike: a launch has all of its rows.
fn greatest_of_a_deal(pairs: &[Pair], random: &mut ChaCha8Rng) -> f64 {
    let mut dealt: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    let clearness = pairs.iter().map(|pair| {
        let shape = (pair.logarithms.len(), pair.firsts);
        let firsts = dealt.entry(shape).or_insert_with(|| index::sample(random, shape.0, shape.1).into_vec());
        pair.difference(firsts).clearness()
    });
    clearness.fold(0.0, f64::max)
}

/// The step of the clock that these figures were taken by: all of them lie multiples of it apart.
pub fn clock_step(figures: impl IntoIterator<Item = u64>) -> u64 {
    let mut figures = figures.into_iter();
    let Some(first) = figures.next() else { return 1 };
    figures.fold(0, |step, figure| greatest_common_divisor(step, figure.abs_diff(first))).max(1)
}

fn greatest_common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
