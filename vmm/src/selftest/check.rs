//! The registry of checks, and what each of them is given and says.

use serde::{Deserialize, Serialize};

use super::{clock, counts, several_cpus};
use crate::host::HostFacts;
use crate::lens::agree::InWords;
use crate::record::run::{CaseRecord, HostRecord};

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The processor does what inkbed relies on.
    Agrees,
    /// It does something else, or a guest ended badly.
    Differs,
    /// Nothing on this host can tell.
    NotPossibleHere,
}

impl Verdict {
    /// In the words of a table.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Agrees => "agrees",
            Verdict::Differs => "differs",
            Verdict::NotPossibleHere => "not possible here",
        }
    }
}

/// A verdict with what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The verdict.
    pub verdict: Verdict,
    /// What was found, or why nothing could be.
    pub found: String,
}

impl Finding {
    pub(super) fn agrees(found: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Agrees, found: found.into() }
    }

    pub(super) fn differs(found: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Differs, found: found.into() }
    }

    pub(super) fn not_possible(reason: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::NotPossibleHere, found: reason.into() }
    }
}

/// What a check judges.
pub struct Evidence<'a> {
    /// Its cases.
    pub cases: &'a [CaseRecord],
    /// What the host says of itself.
    pub facts: &'a HostFacts,
    /// The same as results have it.
    pub host: &'a HostRecord,
    /// Why this host could not run all of its cases.
    pub missing: Option<&'a str>,
}

impl Evidence<'_> {
    /// A finding that comes before all others: no case could be run, or one failed.
    pub(super) fn failure(&self) -> Option<Finding> {
        if self.cases.is_empty() {
            return Some(Finding::not_possible(self.missing.unwrap_or("this host has no case for it")));
        }
        let failed = self.cases.iter().find(|case| !case.succeeded())?;
        let why = match failed.disagreements().next() {
            Some(row) if failed.outcome.is_success() => InWords(row).to_string(),
            _ => failed.outcome.to_string(),
        };
        Some(Finding::differs(format!("{}: {why}", failed.name)))
    }

    /// A counter, over all cases.
    pub(super) fn total(&self, counter: &str) -> u64 {
        let counters = self.cases.iter().filter_map(|case| case.counters.get(counter));
        counters.map(|count| count.total).fold(0, u64::saturating_add)
    }

    /// Round trips, over all cases.
    pub(super) fn round_trips(&self) -> u64 {
        self.cases.iter().map(|case| case.round_trips).fold(0, u64::saturating_add)
    }

    /// Whether guests in all cases had this feature.
    pub(super) fn has_feature(&self, name: &str) -> bool {
        self.cases.iter().all(|case| case.features.iter().any(|feature| feature == name))
    }
}

/// One question to the processor.
pub struct Check {
    /// Short, and the first part of the names of its cases.
    pub name: &'static str,
    /// The question.
    pub question: &'static str,
    /// Who answers it.
    pub judge: fn(&Evidence<'_>) -> Finding,
}

/// All of them, in the order in which they are made.
pub const CHECKS: &[Check] = &[
    Check {
        name: "clock",
        question: "Do ticks of the guest's clock last as long as KVM says?",
        judge: clock::rate,
    },
    Check {
        name: "clock-between-cpus",
        question: "Do the clocks of two vCPUs show one time?",
        judge: clock::between_cpus,
    },
    Check {
        name: "page-table-loads",
        question: "Is a page table loaded when the rule says, and never else?",
        judge: counts::loads,
    },
    Check {
        name: "trace",
        question: "Does a single-stepped round trip hold what the kernel counts?",
        judge: counts::trace,
    },
    Check {
        name: "counters",
        question: "Do hardware counters count the instructions of the trace?",
        judge: counts::hardware,
    },
    Check {
        name: "segments",
        question: "Do segments have bases and limits in compatibility mode?",
        judge: counts::segments,
    },
    Check {
        name: "flags",
        question: "Is no flag of ring 3 left in the kernel, by whatever entry?",
        judge: counts::flags,
    },
    Check { name: "faults", question: "Does a fault end the server and nobody else?", judge: counts::faults },
    Check {
        name: "shootdowns",
        question: "Do other CPUs forget the pages of a server that moves?",
        judge: several_cpus::shootdowns,
    },
    Check {
        name: "flush-threshold",
        question: "Does the kernel find its flush threshold by the clock?",
        judge: clock::flush_threshold,
    },
    Check {
        name: "remote-call",
        question: "Does a call to another CPU come there by an interrupt, and its answer back?",
        judge: several_cpus::remote_call,
    },
    Check { name: "steal-time", question: "Do guests find their steal time?", judge: clock::steal_time },
    Check { name: "pcid", question: "Do page-table loads keep the TLB with PCIDs?", judge: counts::pcid },
];
