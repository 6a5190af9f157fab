//! The figures. Each has a file; this list is all that knows them all.

mod boot;
mod chain_steps;
mod density;
mod distribution;
mod faults;
mod flame;
mod flush_threshold;
mod ipc_path;
mod ipc_time;
mod ipc_words;
mod migrate;
mod monolith;
mod phases;
mod programs;
mod scaling;
mod schemes;
mod slots;
mod working_set;

use super::figure::{Definition, Figure};
use crate::record::run::RunRecord;

/// All of them. The first one that a run has answers the run's question.
pub const ALL: &[Definition] = &[
    schemes::FIGURE,
    flush_threshold::FIGURE,
    programs::FIGURE,
    boot::FIGURE,
    monolith::FAULT,
    monolith::SIZE,
    density::MEMORY,
    density::TOGETHER,
    faults::FIGURE,
    slots::FIGURE,
    scaling::MESSAGES,
    scaling::THROUGHPUT,
    migrate::GAP,
    migrate::PARTNERS,
    working_set::FIGURE,
    chain_steps::FIGURE,
    ipc_path::FIGURE,
    ipc_time::FIGURE,
    ipc_words::FIGURE,
    phases::FIGURE,
    flame::FIGURE,
    distribution::FIGURE,
];

/// The figures that a run has.
pub fn of(run: &RunRecord) -> Vec<(&'static Definition, Figure)> {
    ALL.iter().filter_map(|definition| Some((definition, (definition.draw)(run)?))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_figure_has_a_name_of_its_own_and_asks_a_question() {
        let names: BTreeSet<&str> = ALL.iter().map(|figure| figure.name).collect();
        assert_eq!(names.len(), ALL.len());
        for figure in ALL {
            assert!(figure.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", figure.name);
            assert!(figure.question.ends_with('?'), "{}", figure.question);
        }
    }
}
