use proptest::prelude::*;

use super::*;

fn figures(values: &[f64], step: f64) -> Vec<Figure> {
    values.iter().map(|value| Figure { value: *value, step }).collect()
}

fn pair(first: &[f64], second: &[f64], step: f64) -> Pair {
    Pair::of(&figures(first, step), &figures(second, step)).unwrap()
}

fn is_near(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-9 * other.abs().max(1e-3)
}

const FIRST: [f64; 6] = [1000.0, 1010.0, 990.0, 1005.0, 998.0, 1002.0];
const SECOND: [f64; 4] = [1020.0, 1040.0, 1015.0, 1031.0];

/// Geometric means, and Welch's statistic of the logarithms, by SciPy: `scipy.stats.ttest_ind(log(b), log(a), equal_var=False)`.
#[test]
fn the_difference_is_that_of_another_program() {
    let pair = pair(&FIRST, &SECOND, 0.0);
    let seen = pair.seen();
    assert!((seen.clearness() - 4.136903868).abs() < 1e-6, "{}", seen.clearness());
    let [change] = judge(&[pair], DEALS)[..] else { panic!() };
    assert!(is_near(change.first, 1000.814254075) && is_near(change.second, 1026.454149340), "{change:?}");
    assert!(is_near(change.ratio, change.second / change.first), "{change:?}");
}

/// With all deals written out: of 210, the one that was seen is the clearest.
#[test]
fn the_probability_is_the_share_of_deals_that_are_as_clear() {
    let pair = pair(&FIRST, &SECOND, 0.0);
    let all = (0..1u32 << 10).filter(|deal| deal.count_ones() == 6);
    let clear = all.filter(|deal| {
        let firsts: Vec<usize> = (0..10).filter(|launch| deal >> launch & 1 == 1).collect();
        pair.difference(&firsts).clearness() >= pair.seen().clearness() - 1e-9
    });
    let share = clear.count() as f64 / 210.0;
    let [change] = judge(&[pair], 9_999)[..] else { panic!() };
    assert!((change.probability - share).abs() < 0.003, "{} and {share}", change.probability);
    assert!(change.low > 1.0 && share < 0.05, "{change:?}");
}

#[test]
fn equal_launches_are_known_to_the_step_of_their_clock() {
    let clearness = |step| pair(&[1300.0; 4], &[1326.0; 4], step).seen().clearness();
    assert!(clearness(1.0) > 100.0 && clearness(26.0) < 6.0, "{} {}", clearness(1.0), clearness(26.0));
    let same = judge(&[pair(&[0.0; 4], &[0.0; 5], 0.0)], DEALS)[0];
    assert_eq!((same.ratio, same.probability), (1.0, 1.0));
    let few = figures(&[5.0; LAUNCHES_MIN - 1], 1.0);
    assert_eq!(Pair::of(&few, &figures(&FIRST, 1.0)), None);
    assert_eq!(judge(&[], DEALS), []);
}

#[test]
fn the_step_of_a_clock_is_what_its_figures_have_in_common() {
    assert_eq!(clock_step([1300, 1326, 1378, 2652]), 26);
    assert_eq!(clock_step([1307, 1326]), 19);
    assert_eq!((clock_step([1307, 1307]), clock_step([]), clock_step([0, u64::MAX])), (1, 1, u64::MAX));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// An interval leaves out 1 exactly where the verdict finds a change; and a change back is the inverse.
    #[test]
    fn intervals_and_probabilities_say_the_same(
        rows in prop::collection::vec(
            (prop::collection::vec(900.0..1100f64, 6), prop::collection::vec(950.0..1200f64, 5)), 1..6
        ),
    ) {
        let there: Vec<Pair> = rows.iter().map(|(first, second)| pair(first, second, 1.0)).collect();
        let back: Vec<Pair> = rows.iter().map(|(first, second)| pair(second, first, 1.0)).collect();
        for (there, back) in judge(&there, 199).into_iter().zip(judge(&back, 199)) {
            prop_assert!(is_near(there.ratio * back.ratio, 1.0));
            prop_assert!(there.low <= there.ratio && there.ratio <= there.high);
            prop_assert_eq!(there.low > 1.0 || there.high < 1.0, there.probability <= LEVEL);
        }
    }
}
