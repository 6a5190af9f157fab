//! What the reference runs count, in the program itself: a run is held against them as soon as it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::compare::count::{self, Count, Counted};
use crate::compare::{Difference, why_not};
use crate::record::run::{CaseRecord, RunRecord};

/// The file, which `cargo test -p inkbed --test reference_runs` makes from the records in `results/`.
const FILE: &str = include_str!("counts.csv");

/// One count of one case, the same in each reference run that has the case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the case.
    pub case: String,
    /// Name of the count.
    pub count: String,
    /// Per round trip.
    pub value: u64,
}

/// What became of a run that was held against the reference runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Cases that the reference runs have, too.
    pub cases: usize,
    /// Counts that are not the same. The first is that of the reference.
    pub differences: Vec<Difference>,
}

/// Counts of the reference runs, by experiment and case, then by their names.
type Reference = BTreeMap<(String, String), BTreeMap<String, u64>>;

static REFERENCE: LazyLock<Reference> = LazyLock::new(|| {
    let mut reference = Reference::new();
    // A test reads all of it, so nothing is left out.
    for row in csv::Reader::from_reader(FILE.as_bytes()).into_deserialize::<Row>().flatten() {
        reference.entry((row.experiment, row.case)).or_default().insert(row.count, row.value);
    }
    reference
});

/// Holds a run against the reference runs of its experiment. `None`: they have none of its cases.
pub fn hold(run: &RunRecord) -> Option<Held> {
    let mut held = Held { cases: 0, differences: Vec::new() };
    for case in run.cases.iter().filter(|case| why_not(case).is_none()) {
        let Some(counts) = REFERENCE.get(&(run.experiment.name.clone(), case.name.clone())) else { continue };
        held.cases += 1;
        held.differences.extend(of_case(case).filter_map(|(count, found)| {
            Difference::between(count, case, *counts.get(count.name)? as f64, found)
        }));
    }
    (held.cases > 0).then_some(held)
}

/// What these runs count: the rows of what is the same wherever a run has the case, and a whole number per round trip; and names of
/// what is a whole number in each and not the same in all.
pub fn rows(runs: &[RunRecord]) -> (Vec<Row>, BTreeSet<String>) {
    let mut values: BTreeMap<(String, String, &str), Vec<f64>> = BTreeMap::new();
    for run in runs {
        for case in run.cases.iter().filter(|case| why_not(case).is_none()) {
            for (count, value) in of_case(case) {
                let key = (run.experiment.name.clone(), case.name.clone(), count.name);
                values.entry(key).or_default().push(value);
            }
        }
    }
    values.retain(|_, values| values.iter().all(|value| value.fract() == 0.0));
    let (mut rows, mut differing) = (Vec::new(), BTreeSet::new());
    for ((experiment, case, count), values) in values {
        match values[..] {
            [first, ..] if values.iter().all(|value| *value == first) => {
                rows.push(Row { experiment, case, count: count.to_owned(), value: first as u64 });
            }
            _ => _ = differing.insert(format!("{case}: {count}")),
        }
    }
    (rows, differing)
}

/// The kernel's counts of a case; those of its trace change with each instruction of the kernel.
fn of_case(case: &CaseRecord) -> impl Iterator<Item = (&'static Count, f64)> {
    let counted = Counted { case, trace: None };
    let of_kernel = count::ALL.iter().filter(|count| !count.is_traced);
    of_kernel.filter_map(move |count| Some((count, (count.of)(&counted)?)))
}
