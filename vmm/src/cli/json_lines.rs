//! `inkbed run --json-lines`: what happens in a run, for a program that waits for it.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::output;
use super::progress::Progress;
use crate::case::{Case, launches};
use crate::printable::json;
use crate::record::agreement::AgreementRecord;
use crate::record::outcome::OutcomeRecord;
use crate::record::run::{Absent, CaseRecord, CountRecord, RunRecord, RunState};
use crate::run::session::Observer;

/// What the first line of a run names its form by.
const SCHEMA: &str = "inkbed-events";
/// It goes up when a field has another meaning or is gone.
const VERSION: u32 = 1;

/// One line. `docs/results-files.md` describes each field.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    RunBegun {
        schema: &'static str,
        version: u32,
        experiment: &'a str,
        question: &'a str,
        host: &'a str,
        guest_sha256: &'a str,
        folder: &'a str,
        cases: Vec<PlannedCase<'a>>,
        launches_planned: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        launches_done: Option<u64>,
        absent: &'a [Absent],
    },
    LaunchBegun {
        case: &'a str,
        launch: u32,
        launches: u32,
    },
    CaseEnded {
        case: &'a str,
        succeeded: bool,
        outcome: &'a OutcomeRecord,
        round_trips: u64,
        counters: &'a BTreeMap<String, CountRecord>,
        disagreements: Vec<&'a AgreementRecord>,
    },
    RunEnded {
        experiment: &'a str,
        state: RunState,
        cases_planned: usize,
        cases_complete: usize,
        failed: Vec<&'a str>,
        folder: &'a str,
    },
}

#[derive(Debug, Serialize)]
struct PlannedCase<'a> {
    name: &'a str,
    launches: u32,
}

/// The lines of one run on standard output.
#[derive(Debug, Default)]
pub(super) struct JsonLines {
    /// Launches that each case has begun.
    begun: HashMap<String, u32>,
    /// Why the reader has no more lines. The run goes on all the same.
    failed: Option<anyhow::Error>,
}

impl JsonLines {
    /// A run of these cases begins; its record has what was done before.
    pub(super) fn run_begins(&mut self, record: &RunRecord, cases: &[Case], folder: &str) {
        let done = |case: &CaseRecord| (case.name.clone(), case.launches_done() as u32);
        self.begun = record.cases.iter().map(done).collect();
        self.print(&Event::RunBegun {
            schema: SCHEMA,
            version: VERSION,
            experiment: &record.experiment.name,
            question: &record.experiment.question,
            host: &record.host.name,
            guest_sha256: &record.guest.sha256,
            folder,
            launches_planned: launches(cases),
            launches_done: Some(record.launches_done()).filter(|launches| *launches > 0),
            cases: cases
                .iter()
                .map(|case| PlannedCase { name: &case.name, launches: case.parameters.launches })
                .collect(),
            absent: &record.absent,
        });
    }

    /// A run has ended, and all its files are there. An error if a line could not be printed.
    pub(super) fn run_ended(mut self, record: &RunRecord, folder: &str) -> anyhow::Result<()> {
        self.print(&Event::RunEnded {
            experiment: &record.experiment.name,
            state: record.state,
            cases_planned: record.cases_planned,
            cases_complete: record.cases_complete(),
            failed: record.failures().map(|case| case.name.as_str()).collect(),
            folder,
        });
        self.failed.map_or(Ok(()), Err)
    }

    fn print(&mut self, event: &Event<'_>) {
        if self.failed.is_some() {
            return;
        }
        let printed = serde_json::to_string(event)
            .map_err(anyhow::Error::from)
            .and_then(|text| output::print(&(json(&text) + "\n")));
        self.failed = printed.err();
    }
}

impl Observer for JsonLines {
    fn launch_begins(&mut self, case: &Case) {
        let begun = self.begun.entry(case.name.clone()).or_default();
        *begun += 1;
        let launch = *begun;
        self.print(&Event::LaunchBegun { case: &case.name, launch, launches: case.parameters.launches });
    }

    fn case_ended(&mut self, case: &CaseRecord) {
        self.print(&Event::CaseEnded {
            case: &case.name,
            succeeded: case.succeeded(),
            outcome: &case.outcome,
            round_trips: case.round_trips,
            counters: &case.counters,
            disagreements: case.disagreements().collect(),
        });
    }
}

/// Who watches a run of the command line: a person, and a program where one asked.
pub(super) struct Watchers<'a> {
    pub(super) progress: &'a mut Progress,
    pub(super) lines: Option<&'a mut JsonLines>,
}

impl Observer for Watchers<'_> {
    fn launch_begins(&mut self, case: &Case) {
        self.progress.launch_begins(case);
        if let Some(lines) = &mut self.lines {
            lines.launch_begins(case);
        }
    }

    fn case_ended(&mut self, case: &CaseRecord) {
        self.progress.case_ended(case);
        if let Some(lines) = &mut self.lines {
            lines.case_ended(case);
        }
    }
}
