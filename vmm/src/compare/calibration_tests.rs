//! How often a comparison of times is wrong, and how small a change it finds. Seeds are fixed, so the numbers are the same everywhere.

use std::sync::LazyLock;

use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal, StudentT};

use super::*;
use crate::reduce::tests::run_record;
use crate::statistics::change::Figure;

/// Comparisons of two runs of the same guest.
const COMPARISONS: usize = 1_000;

/// Of these so many may raise an alarm: 5 %, and twice the standard deviation of a binomial distribution, 6.9.
const ALARMS_MAX: usize = 63;

const ROWS: usize = 40;

/// Deals of the comparisons here. With fewer of them a test is as exact, and finds a little less.
const FEW_DEALS: usize = 199;

/// Medians of 40 channels of `ipc` in each of 36 launches, one launch a line (`inkbed run ipc --set launches=60 --set
/// trace_round_trips=0 --set samples=41`, stopped early). They are of a host whose ring 0 is emulated and that others used meanwhile: they
/// are no times, and scatter far more than times do, by 13 to 95 % (standard deviation of logarithms).
static POOL: LazyLock<Vec<Vec<u64>>> = LazyLock::new(|| {
    let lines = include_str!("../../tests/data/launches.csv").lines();
    lines.map(|line| line.split(',').map(|median| median.parse().unwrap()).collect()).collect()
});

/// A run of [`ROWS`] cases with so many launches.
fn run(launches: usize) -> RunRecord {
    let mut run = run_record();
    let mut case = run.cases.swap_remove(1);
    case.launches = vec![case.launches[0].clone(); launches];
    let named = |row| CaseRecord { name: format!("case-{row}"), ..case.clone() };
    run.cases = (0..ROWS).map(named).collect();
    run
}

/// Sets the launches of a run: for each launch the medians of all rows.
fn set(run: &mut RunRecord, mut launch: impl FnMut() -> Vec<u64>) {
    for number in 0..run.cases[0].launches.len() {
        for (case, median) in run.cases.iter_mut().zip(launch()) {
            case.launches[number].median_ticks.values_mut().for_each(|value| *value = median);
        }
    }
}

/// How many of [`COMPARISONS`] call any row slower or faster, when both runs are of the same.
fn alarms(launches: [usize; 2], mut launch: impl FnMut() -> Vec<u64>) -> usize {
    let [mut first, mut second] = launches.map(run);
    let is_alarm = |_: &usize| {
        set(&mut first, &mut launch);
        set(&mut second, &mut launch);
        let times = Times::by_deals(&first, &second, FEW_DEALS);
        assert_eq!(times.rows.len(), ROWS);
        times.count(Verdict::NoDifferenceFound) < ROWS
    };
    (0..COMPARISONS).filter(is_alarm).count()
}

#[test]
fn runs_made_of_the_same_launches_raise_an_alarm_once_in_twenty() {
    assert!(POOL.len() == 36 && POOL.iter().all(|launch| launch.len() == ROWS));
    for launches in [[4, 4], [6, 10]] {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let alarms = alarms(launches, || POOL.choose(&mut random).unwrap().clone());
        println!("{launches:?} launches of the pool: {alarms} alarms in {COMPARISONS}");
        assert!(alarms <= ALARMS_MAX, "{launches:?}: {alarms}");
    }
}

/// A model with what the pool has not: effects of the launch on all of its cases, tails as those of Student's distribution with four
/// degrees of freedom, and a clock that counts by 26.
#[test]
fn runs_of_a_model_with_launch_effects_raise_an_alarm_once_in_twenty() {
    const CLOCK: f64 = 26.0;
    for launches in [[4, 4], [10, 10]] {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let tails = StudentT::new(4.0).unwrap();
        let alarms = alarms(launches, || {
            let of_all = 0.005 * tails.sample(&mut random);
            let row = |row: usize| {
                let own = 0.003 * tails.sample(&mut random);
                let ticks = (800.0 + 137.0 * row as f64) * f64::exp(of_all + own);
                ((ticks / CLOCK).round() * CLOCK) as u64
            };
            (0..ROWS).map(row).collect()
        });
        println!("{launches:?} launches of the model: {alarms} alarms in {COMPARISONS}");
        assert!(alarms <= ALARMS_MAX, "{launches:?}: {alarms}");
    }
}

/// Whether the rule of all rows is needed: each row by itself is wrong once in twenty, so some row of 40 nearly always is.
#[test]
fn rows_judged_one_by_one_would_raise_an_alarm_nearly_always() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let is_alarm = |_: &usize| {
        let mut rows = pairs(&mut random, 6, 0.005, 0.0).into_iter();
        rows.any(|row| change::judge(&[row], FEW_DEALS)[0].probability <= LEVEL)
    };
    let alarms = (0..50).filter(is_alarm).count();
    assert!(alarms > 35, "{alarms} of 50");
}

/// [`ROWS`] rows of two runs, where launches have a standard deviation of `spread`; the first row takes longer by `shift` in the second.
fn pairs(random: &mut ChaCha8Rng, launches: usize, spread: f64, shift: f64) -> Vec<change::Pair> {
    let effect = Normal::new(0.0, spread).unwrap();
    let mut figures = |shift: f64| {
        let figure =
            |_| Figure { value: 20_000.0 * (1.0 + shift) * f64::exp(effect.sample(random)), step: 1.0 };
        (0..launches).map(figure).collect::<Vec<_>>()
    };
    let row = |row| change::Pair::of(&figures(0.0), &figures(if row == 0 { shift } else { 0.0 })).unwrap();
    (0..ROWS).map(row).collect()
}

/// The table of `docs/comparing.md`: how many of 100 changes by 1 % in one of 40 rows are found.
#[test]
fn the_docs_say_how_often_a_change_by_one_percent_is_found() {
    const DOCS: &str = include_str!("../../../docs/comparing.md");
    let rows = [4, 6, 10, 20].map(|launches| {
        let mut random = ChaCha8Rng::seed_from_u64(4);
        let found = [0.001, 0.002, 0.005, 0.01].map(|spread| {
            let is_found = |_: &usize| {
                change::judge(&pairs(&mut random, launches, spread, 0.01), FEW_DEALS)[0].probability <= LEVEL
            };
            (0..100).filter(is_found).count()
        });
        let row =
            format!("| {launches} | {} % | {} % | {} % | {} % |", found[0], found[1], found[2], found[3]);
        println!("{row}");
        row
    });
    let lacking: Vec<&String> = rows.iter().filter(|row| !DOCS.contains(*row)).collect();
    assert!(lacking.is_empty(), "docs/comparing.md lacks {lacking:#?}");
}
