//! Made-up evidence gets the verdict that it deserves.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::*;
use crate::case::tests::image;
use crate::lens::LensRequest;
use crate::lens::measure::Measured;
use crate::lens::trace::{Summary, TraceError};
use crate::machine::MachineError;
use crate::machine::guest::{GuestConfig, GuestRun, Outcome};
use crate::record::quota::Quotas;
use crate::reduce::guest::Guest;
use crate::reduce::tests::{guest_run, run_record};
use crate::run::fleet::FleetError;
use crate::tlb::{Model, TlbReport};

fn judge(name: &str, cases: &[CaseRecord]) -> Finding {
    let check = CHECKS.iter().find(|check| check.name == name).unwrap();
    let (facts, host) = (HostFacts::probe(), HostRecord::default());
    (check.judge)(&Evidence { cases, facts: &facts, host: &host, missing: None })
}

#[test]
fn every_case_has_a_check_and_every_check_a_name_of_its_own() {
    let experiment = experiment(&Overrides::default(), &Limits::any_host()).unwrap();
    let names: BTreeSet<&str> = CHECKS.iter().map(|check| check.name).collect();
    assert_eq!(names.len(), CHECKS.len());
    let asked: BTreeSet<&str> =
        experiment.cases.iter().filter_map(|case| case.name.split('/').next()).collect();
    // The programs of `flags` are in no release.
    assert_eq!(names.difference(&asked).copied().collect::<Vec<_>>(), ["flags"]);
    assert_eq!(asked.difference(&names).next(), None);
}

#[test]
fn a_made_up_disagreement_differs() {
    let mut cases = run_record().cases;
    assert_eq!(judge("page-table-loads", &cases).verdict, Verdict::Agrees);
    let row = &mut cases[1].agreements[0];
    *row.counts.get_mut("kernel").unwrap() += 1;
    row.agrees = false;
    let finding = judge("page-table-loads", &cases);
    assert_eq!(finding.verdict, Verdict::Differs);
    assert!(finding.found.contains(&cases[1].name) && finding.found.contains("by rule"), "{}", finding.found);
}

#[test]
fn what_no_case_asked_is_not_possible() {
    for name in ["clock", "page-table-loads", "trace", "counters", "flags", "remote-call", "pcid"] {
        assert_eq!(judge(name, &[]).verdict, Verdict::NotPossibleHere, "{name}");
    }
}

#[test]
fn a_clock_that_runs_at_another_rate_differs() {
    let mut cases = run_record().cases;
    cases[0].lenses.get_mut("tsc").unwrap().hz = Some(1_000_000_000);
    let mut of = |ticks, ns| {
        (cases[0].launches[0].measured_ticks, cases[0].launches[0].measured_ns) = (ticks, Some(ns));
        judge("clock", &cases).verdict
    };
    assert_eq!(of(100_000_000, 101_000_000), Verdict::Agrees);
    assert_eq!(of(110_000_000, 100_000_000), Verdict::Differs);
    assert_eq!(of(1_000_000, 1_000_000), Verdict::NotPossibleHere, "too short");
}

#[test]
fn a_load_that_lost_the_tlb_differs() {
    let mut cases = run_record().cases;
    cases.truncate(2);
    cases.iter_mut().for_each(|case| case.parameters.pcid = true);
    assert_eq!(judge("pcid", &cases).verdict, Verdict::Differs);
    for case in &mut cases {
        let loads = case.counters["page_table_loads"];
        case.counters.insert("page_table_loads_preserving_tlb".to_owned(), loads);
    }
    assert_eq!(judge("pcid", &cases).verdict, Verdict::Agrees);
}

/// So many guests do not start, then the user stops one.
struct StoppedAfter(Cell<u32>);

impl GuestRunner for StoppedAfter {
    fn run(&self, _config: &GuestConfig, _lenses: &LensRequest) -> Result<Measured, MachineError> {
        let Some(left) = self.0.get().checked_sub(1) else {
            return Ok(GuestRun { outcome: Outcome::Interrupted, ..guest_run(Vec::new(), 0) }.into());
        };
        self.0.set(left);
        Err(MachineError::Internal("test"))
    }

    fn trace(&self, _: &GuestConfig, _: &[Model]) -> Result<(Summary, Vec<TlbReport>), TraceError> {
        Err(TraceError::NoRoundTrip)
    }

    fn run_many(
        &self,
        _: &GuestConfig,
        _: &LensRequest,
        _: &[Pin],
        _: Option<&Quotas>,
    ) -> Result<Vec<Guest>, FleetError> {
        Err(FleetError::Interrupted)
    }
}

#[test]
fn what_was_checked_before_it_was_stopped_is_kept() {
    let run_with = |guests: u32| {
        let setup = Setup {
            guests: &StoppedAfter(Cell::new(guests)),
            image: &image(),
            facts: &HostFacts::probe(),
            host: &HostRecord::default(),
            limits: &Limits::any_host(),
            overrides: &Overrides::default().with(&crate::case::keys::LAUNCHES, 1u32),
        };
        run(&setup, &mut |_| ()).unwrap()
    };
    let none = run_with(0);
    assert!(none.is_interrupted && none.checks.is_empty());
    let some = run_with(8);
    assert!(some.is_interrupted && (1..CHECKS.len()).contains(&some.checks.len()), "{}", some.checks.len());
    assert!(!run_with(u32::MAX).is_interrupted);
}
