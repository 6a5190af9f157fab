//! The one file that a self-test leaves.

use std::time::Duration;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{ContentArrangement, Table};
use serde::{Deserialize, Serialize};

use super::Setup;
use super::check::{Check, Finding, Verdict};
use crate::printable::line;
use crate::record::run::{CaseRecord, GuestRecord, HostRecord, ToolRecord};

/// Value of [`SelftestRecord::schema`].
pub const SELFTEST_SCHEMA: &str = "inkbed-selftest";

/// Value of [`SelftestRecord::version`].
pub const SELFTEST_VERSION: u32 = 1;

/// All checks of one host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SelftestRecord {
    /// [`SELFTEST_SCHEMA`].
    pub schema: String,
    /// [`SELFTEST_VERSION`].
    pub version: u32,
    /// The program that wrote this.
    pub inkbed: ToolRecord,
    /// The guest.
    pub guest: GuestRecord,
    /// The host, with everything that `inkbed doctor` tells.
    pub host: HostRecord,
    /// When it began, RFC 3339 in UTC.
    pub started_utc: String,
    /// The user stopped it: checks are missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_interrupted: bool,
    /// The checks, in their order.
    pub checks: Vec<CheckRecord>,
}

/// One check.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckRecord {
    /// Short name.
    pub name: String,
    /// The question.
    pub question: String,
    /// The answer.
    pub verdict: Verdict,
    /// What was found, or why nothing could be.
    pub found: String,
    /// How long it took, ms.
    pub took_ms: u64,
    /// What the answer rests on, as in `results.json`.
    pub cases: Vec<CaseRecord>,
}

impl CheckRecord {
    pub(super) fn new(
        check: &Check,
        finding: Finding,
        took: Duration,
        cases: Vec<CaseRecord>,
    ) -> CheckRecord {
        CheckRecord {
            name: check.name.to_owned(),
            question: check.question.to_owned(),
            verdict: finding.verdict,
            found: finding.found,
            took_ms: took.as_millis() as u64,
            cases,
        }
    }
}

impl SelftestRecord {
    pub(super) fn new(setup: &Setup<'_>, started_utc: String) -> SelftestRecord {
        SelftestRecord {
            schema: SELFTEST_SCHEMA.to_owned(),
            version: SELFTEST_VERSION,
            inkbed: ToolRecord::this(),
            guest: GuestRecord::of(setup.image),
            host: setup.host.clone(),
            started_utc,
            is_interrupted: false,
            checks: Vec::new(),
        }
    }

    /// How many checks came out so.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }

    /// For people, in so many columns.
    pub fn table(&self, width: u16) -> String {
        let mut table = Table::new();
        table.load_style(UTF8_HORIZONTAL_ONLY);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        table.set_header(["check", "question", "verdict", "found", "s"]);
        for check in &self.checks {
            table.add_row([
                check.name.clone(),
                check.question.clone(),
                check.verdict.name().to_owned(),
                line(&check.found).into_owned(),
                format!("{:.1}", check.took_ms as f64 / 1000.0),
            ]);
        }
        let [agree, differ, impossible] =
            [Verdict::Agrees, Verdict::Differs, Verdict::NotPossibleHere].map(|verdict| self.count(verdict));
        format!("{table}\n\n{agree} agree, {differ} differ, {impossible} not possible here\n")
    }
}
