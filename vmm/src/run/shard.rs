//! A part of an experiment for one machine of several: which cases are in it depends on nothing but the cases.

use std::fmt;
use std::str::FromStr;

use crate::case::workload::Does;
use crate::case::{Case, Parameters};
use crate::record::relate::{is_pair_of, kin};

/// One of several parts that together have all cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    pub index: u32,
    /// How many there are.
    pub of: u32,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let parts =
            text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        let shard = parts.filter(|(index, of)| (1..=*of).contains(index));
        let (index, of) = shard.ok_or("write which of how many, from 1, such as 2/5")?;
        Ok(Shard { index, of })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl Shard {
    /// Its cases, in their order. A case and what it is compared with are in one shard, so that both run on one machine. Pairs of
    /// clock reads are in each shard that has a case to compare them with.
    pub fn choose(self, cases: Vec<Case>) -> Vec<Case> {
        let reads_clock = |case: &Case| case.parameters.workload.nature().does == Does::ReadsClock;
        let others = || cases.iter().filter(|case| !reads_clock(case));
        let mut groups: Vec<Parameters> = Vec::new();
        let mut chosen: Vec<&Case> = Vec::new();
        for case in others() {
            if self.has(group_of(case, &mut groups)) {
                chosen.push(case);
            }
        }
        let mut own_pairs = Vec::new();
        for case in cases.iter().filter(|case| reads_clock(case)) {
            let is_pair = |other: &Case| is_pair_of(&case.parameters, &other.parameters);
            let is_own = !others().any(is_pair) && self.has(group_of(case, &mut groups));
            if is_own || chosen.iter().any(|other| is_pair(other)) {
                own_pairs.push(case);
            }
        }
        chosen.extend(own_pairs);
        let names: Vec<String> = chosen.into_iter().map(|case| case.name.clone()).collect();
        cases.into_iter().filter(|case| names.contains(&case.name)).collect()
    }

    fn has(self, group: usize) -> bool {
        group % self.of as usize == self.index as usize - 1
    }
}

/// The number of the group that the case is in.
fn group_of(case: &Case, groups: &mut Vec<Parameters>) -> usize {
    let kin = kin(&case.parameters);
    groups.iter().position(|group| *group == kin).unwrap_or_else(|| {
        groups.push(kin);
        groups.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::experiment::built_in;
    use crate::experiment::check::Limits;
    use crate::experiment::expand::expand;
    use crate::experiment::overrides::Overrides;

    #[test]
    fn what_is_no_shard_is_refused() {
        assert_eq!("2/5".parse(), Ok(Shard { index: 2, of: 5 }));
        for text in ["", "2", "0/5", "6/5", "1/0", "a/b", "-1/2", "1/2/3"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    /// Of each experiment there is: all shards have all cases, and each has what its cases are compared with.
    #[test]
    fn shards_share_the_cases_out_and_part_none_from_its_kin() {
        for experiment in built_in::ALL {
            let file = experiment.file().unwrap();
            let cases = expand(&file, &Overrides::default(), &Limits::any_host()).unwrap().cases;
            for of in [1, 2, 3, 7, 1000] {
                let mut shards_of: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
                for index in 1..=of {
                    let chosen = Shard { index, of }.choose(cases.clone());
                    let position = |name: &str| cases.iter().position(|case| case.name == name).unwrap();
                    assert!(chosen.is_sorted_by_key(|case| position(&case.name)), "they keep their order");
                    for case in &chosen {
                        let name = &cases[position(&case.name)].name;
                        shards_of.entry(name).or_default().push(index);
                    }
                }
                for case in &cases {
                    let shards = &shards_of[&*case.name];
                    let reads_clock = case.parameters.workload.nature().does == Does::ReadsClock;
                    assert!(shards.len() == 1 || reads_clock, "{}: {shards:?}", case.name);
                    for other in &cases {
                        let is_kin = kin(&other.parameters) == kin(&case.parameters);
                        let is_pair = reads_clock && is_pair_of(&case.parameters, &other.parameters);
                        if is_kin && !reads_clock || is_pair {
                            let of_other = &shards_of[&*other.name];
                            assert!(of_other.iter().all(|shard| shards.contains(shard)), "{}", case.name);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn shards_of_the_largest_experiment_are_alike() {
        let file = built_in::named("ipc").unwrap().file().unwrap();
        let cases = expand(&file, &Overrides::default(), &Limits::any_host()).unwrap().cases;
        let sizes: Vec<usize> =
            (1..=3).map(|index| Shard { index, of: 3 }.choose(cases.clone()).len()).collect();
        let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
        assert!(*least * 2 >= *most, "{sizes:?} of {}", cases.len());
    }
}
