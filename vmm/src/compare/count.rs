//! The counts that two runs of one guest have in common, on whatever machine they ran.

use crate::lens::trace::Summary;
use crate::lens::trace::counts::Counts;
use crate::record::run::CaseRecord;

/// A count that is the same on every machine.
#[derive(Debug)]
pub struct Count {
    /// What it is called on the command line and in results.
    pub name: &'static str,
    /// It counts instructions of a traced round trip, which have phases and functions.
    pub is_traced: bool,
    /// Its value per round trip, where the case has one.
    pub of: fn(&Counted) -> Option<f64>,
}

/// A case with what its trace counts, which is read from the record once.
#[derive(Debug)]
pub struct Counted<'a> {
    /// The case.
    pub case: &'a CaseRecord,
    /// Its trace, where it has one.
    pub trace: Option<Summary>,
}

impl<'a> Counted<'a> {
    /// That of a case.
    pub fn of(case: &'a CaseRecord) -> Counted<'a> {
        Counted { case, trace: Summary::of_record(case) }
    }
}

/// All of them.
pub static ALL: [Count; 10] = [
    traced("path_instructions", |counted| one_round_trip(counted, |counts| counts.path_instructions)),
    traced("instructions", |counted| one_round_trip(counted, |counts| counts.instructions)),
    traced("ring_0_instructions", |counted| one_round_trip(counted, |counts| counts.ring_0)),
    by_kernel("page_table_loads", |counted| counted.case.per_round_trip("page_table_loads")),
    by_kernel("page_table_loads_elided", |counted| counted.case.per_round_trip("page_table_loads_elided")),
    by_kernel("context_switches", |counted| counted.case.per_round_trip("context_switches")),
    by_kernel("segment_loads", |counted| counted.case.per_round_trip("segment_loads")),
    by_kernel("ipc_fast", |counted| counted.case.per_round_trip("ipc_fast")),
    by_kernel("ipc_slow", |counted| counted.case.per_round_trip("ipc_slow")),
    by_kernel("ipc_direct", |counted| counted.case.per_round_trip("ipc_direct")),
];

/// The count of this name.
pub fn named(name: &str) -> Option<&'static Count> {
    ALL.iter().find(|count| count.name == name)
}

const fn traced(name: &'static str, of: fn(&Counted) -> Option<f64>) -> Count {
    Count { name, is_traced: true, of }
}

const fn by_kernel(name: &'static str, of: fn(&Counted) -> Option<f64>) -> Count {
    Count { name, is_traced: false, of }
}

/// Of the traced round trip, where all of them were the same.
fn one_round_trip(counted: &Counted, field: fn(&Counts) -> u64) -> Option<f64> {
    let summary = counted.trace.as_ref().filter(|summary| summary.varying == 0)?;
    Some(field(&summary.counts) as f64)
}
