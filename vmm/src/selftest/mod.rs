//! What only silicon can answer, asked by experiments that exist already: the library behind `inkbed selftest`.
//!
//! Each [`Check`] owns the cases of `experiment.toml` that bear its name, and judges what they and the host say.

mod check;
mod clock;
mod counts;
mod record;
mod several_cpus;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Instant;

use crate::case::Case;
use crate::experiment::check::Limits;
use crate::experiment::error::ConfigError;
use crate::experiment::expand::{Experiment, expand};
use crate::experiment::file::ExperimentFile;
use crate::experiment::overrides::Overrides;
use crate::guest_image::GuestImage;
use crate::host::HostFacts;
use crate::machine::guest::Pin;
use crate::record::run::{CaseRecord, ExperimentRecord, GuestRecord, HostRecord, RunRecord, RunState};
use crate::record::store::ResultsFolder;
use crate::run::plan::Silent;
use crate::run::session::{GuestRunner, Runner};

pub use check::{CHECKS, Check, Evidence, Finding, Verdict};
pub use record::{CheckRecord, SELFTEST_SCHEMA, SELFTEST_VERSION, SelftestRecord};

/// What the checks are made with.
pub struct Setup<'a> {
    /// What runs guests.
    pub guests: &'a dyn GuestRunner,
    /// Kernel and programs.
    pub image: &'a GuestImage,
    /// What the host says of itself.
    pub facts: &'a HostFacts,
    /// The same as results have it.
    pub host: &'a HostRecord,
    /// What it has.
    pub limits: &'a Limits,
    /// Values in the place of those of the experiment.
    pub overrides: &'a Overrides,
}

/// Makes all checks, or those before the user stopped it. `progress` hears the name of each before it begins.
pub fn run(setup: &Setup<'_>, progress: &mut dyn FnMut(&str)) -> anyhow::Result<SelftestRecord> {
    let experiment = experiment(setup.overrides, setup.limits)?;
    let mut record = SelftestRecord::new(setup, crate::run::session::now());
    for check in CHECKS {
        progress(check.name);
        let begin = Instant::now();
        let Some(cases) = measure(setup, check, &experiment)? else {
            record.is_interrupted = true;
            break;
        };
        let evidence = Evidence {
            cases: &cases,
            facts: setup.facts,
            host: setup.host,
            missing: missing(check, &experiment),
        };
        let finding = (check.judge)(&evidence);
        record.checks.push(CheckRecord::new(check, finding, begin.elapsed(), cases));
    }
    Ok(record)
}

fn experiment(overrides: &Overrides, limits: &Limits) -> Result<Experiment, ConfigError> {
    let text = include_str!("experiment.toml").to_owned();
    expand(&ExperimentFile::parse(Path::new("selftest.toml"), text)?, overrides, limits)
}

/// Whether a case with this name is of the check.
fn is_of(check: &Check, name: &str) -> bool {
    name.split('/').next() == Some(check.name)
}

/// Why the host has no case for the check, or not all of them.
fn missing<'a>(check: &Check, experiment: &'a Experiment) -> Option<&'a str> {
    experiment.unavailable.iter().find(|case| is_of(check, &case.what)).map(|case| case.reason.as_str())
}

/// Runs the cases of a check; `None` when the user stopped them.
fn measure(
    setup: &Setup<'_>,
    check: &Check,
    experiment: &Experiment,
) -> anyhow::Result<Option<Vec<CaseRecord>>> {
    let cases: Vec<Case> = experiment.cases.iter().filter(|case| is_of(check, &case.name)).cloned().collect();
    if cases.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let folder = tempfile::tempdir()?;
    let results = ResultsFolder::create(folder.path(), false, &[])?;
    let mut run = run_record(setup, experiment, cases.len());
    let runner = Runner {
        guests: setup.guests,
        image: setup.image,
        pin: &Pin::Auto,
        quotas: None,
        results: &results,
        trace_budget: None,
        until: None,
    };
    // Progress is told check by check.
    runner.run(&cases, &mut run, &mut Silent)?;
    Ok((run.state != RunState::Interrupted).then_some(run.cases))
}

fn run_record(setup: &Setup<'_>, experiment: &Experiment, cases_planned: usize) -> RunRecord {
    let experiment = ExperimentRecord {
        name: experiment.name.clone(),
        question: experiment.question.clone(),
        description: None,
        file: "selftest.toml".to_owned(),
        file_sha256: String::new(),
        quotas: None,
        overrides: setup.overrides.describe(),
    };
    let started_utc = crate::run::session::now();
    RunRecord::begun(
        experiment,
        started_utc,
        setup.host.clone(),
        GuestRecord::of(setup.image),
        Vec::new(),
        cases_planned,
    )
}
