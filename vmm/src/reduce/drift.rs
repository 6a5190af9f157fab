//! How much a host drifts while it measures: the last launch of a case beside the first.

use std::collections::BTreeMap;

use crate::record::run::LaunchRecord;

/// For each channel, by how much the median of the last launch that has one is above that of the first, as a share of it: 0.02 is
/// two percent slower. Empty for fewer than two launches.
pub fn drift(launches: &[LaunchRecord]) -> BTreeMap<String, f64> {
    let mut drifts = BTreeMap::new();
    for name in launches.iter().flat_map(|launch| launch.median_ticks.keys()) {
        let mut medians =
            launches.iter().filter_map(|launch| launch.median_ticks.get(name)).filter(|median| **median > 0);
        if let (Some(first), Some(last)) = (medians.next(), medians.next_back()) {
            let share = *last as f64 / *first as f64 - 1.0;
            drifts.insert(name.clone(), crate::statistics::rounded(share, 4));
        }
    }
    drifts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reduce::tests::run_record;

    #[test]
    fn drift_is_that_of_the_last_launch_against_the_first() {
        let launch = |median: Option<u64>| {
            let medians = median.map(|median| ("round_trip".to_owned(), median));
            LaunchRecord {
                median_ticks: medians.into_iter().collect(),
                ..run_record().cases[0].launches[0].clone()
            }
        };
        let drift = |medians: &[Option<u64>]| {
            let launches: Vec<LaunchRecord> = medians.iter().map(|median| launch(*median)).collect();
            super::drift(&launches).get("round_trip").copied()
        };
        assert_eq!(drift(&[Some(1000), Some(5000), Some(1020)]), Some(0.02));
        assert_eq!(drift(&[Some(1000), Some(900), None]), Some(-0.1));
        assert_eq!(drift(&[Some(1000)]), None);
        assert_eq!(drift(&[Some(0), Some(7)]), None, "nothing is a share of nothing");
    }
}
