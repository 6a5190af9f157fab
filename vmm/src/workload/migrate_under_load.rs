//! What others notice while a server moves.

use abi::workload::{Arguments, migrate_under_load};

use super::{Workload, migration};
use crate::case::workload::{CountColumn, Crowd, Figure, Moves, Nature, Refused};
use crate::case::{Parameters, key::Key};
use crate::system::System;

/// A server and its partners move while a second thread of the client calls all the while.
pub struct MigrateUnderLoad;

static COLUMNS: [CountColumn; 5] = {
    let [remapped, invlpgs, flushes] = migration::COLUMNS;
    [
        remapped,
        invlpgs,
        flushes,
        CountColumn::early("calls served\nduring moves", Figure::AnsweredMeanwhile),
        CountColumn::early("calls\nfailed", Figure::Failed),
    ]
};

impl Workload for MigrateUnderLoad {
    fn name(&self) -> &'static str {
        "migrate_under_load"
    }

    fn sentence(&self) -> &'static str {
        "servers move in and out while another thread calls all the while"
    }

    fn round_trip(&self) -> &'static str {
        "the servers move into the kernel and out again, while a second thread of the client calls all the while"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["move_in", "gap_in", "move_out", "gap_out"]
    }

    fn about_samples(&self) -> &'static str {
        "gaps are the longest time between two answers of the second thread around a move; and counts of the calls that were \
         answered while servers moved, and of those that failed"
    }

    fn keys(&self) -> &'static [&'static Key] {
        migration::KEYS
    }

    fn way(&self) -> &'static str {
        "client"
    }

    fn check(&self, case: &Parameters) -> Result<(), Refused> {
        migration::check(case)
    }

    fn plan_flags(&self, case: &Parameters) -> u64 {
        migration::plan_flags(case)
    }

    fn crowd(&self, case: &Parameters) -> Crowd {
        migration::crowd(case)
    }

    fn nature(&self) -> Nature {
        Nature {
            moves: Moves::EveryRoundTrip,
            has_time_slices: true,
            counts_other_calls: true,
            is_compared: false,
            ..Nature::USUAL
        }
    }

    /// Who calls all the while gives the CPU back only when its time slice ends.
    fn why_not_traced(&self) -> Option<&'static str> {
        Some("its two threads take turns by the timer, which does not interrupt a traced guest")
    }

    fn system(&self, case: &Parameters) -> System {
        let mut system = migration::system(self, case);
        system.client().threads.count = 2;
        // The way depends on the timer.
        system.is_regular = false;
        system
    }

    fn arguments(&self, case: &Parameters) -> Arguments {
        let (servers, method) = migration::moving(case);
        migrate_under_load::Arguments { servers, method }.encode()
    }

    fn columns(&self) -> &'static [CountColumn] {
        &COLUMNS
    }
}
