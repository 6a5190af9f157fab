//! Checks of exact counts on one CPU.

use super::check::{Evidence, Finding};
use crate::lens::agree::InWords;
use crate::lens::{perf, pmu, trace};
use crate::record::agreement::{AgreementRecord, PAGE_TABLE_LOADS};
use crate::record::run::CaseRecord;

pub(super) fn loads(evidence: &Evidence<'_>) -> Finding {
    evidence.failure().unwrap_or_else(|| {
        let (loads, round_trips) = (evidence.total("page_table_loads"), evidence.round_trips());
        Finding::agrees(format!(
            "{loads} loads in {round_trips} round trips of {} cases, as the rule says",
            evidence.cases.len()
        ))
    })
}

/// Rows of a case in which this lens takes part.
fn rows<'a>(case: &'a CaseRecord, lens: &'a str) -> impl Iterator<Item = &'a AgreementRecord> {
    case.agreements.iter().filter(move |row| row.counts.contains_key(lens))
}

/// Why a lens counted nothing.
fn absence(evidence: &Evidence<'_>, lens: &str) -> String {
    let reasons = evidence.cases.iter().filter_map(|case| case.lenses.get(lens)?.reason.clone());
    reasons.into_iter().next().unwrap_or_else(|| "nothing could be compared with it".to_owned())
}

pub(super) fn trace(evidence: &Evidence<'_>) -> Finding {
    if let Some(failure) = evidence.failure() {
        return failure;
    }
    let compared =
        evidence.cases.iter().filter(|case| rows(case, trace::NAME).any(|row| row.what == PAGE_TABLE_LOADS));
    match compared.count() {
        0 => Finding::not_possible(absence(evidence, trace::NAME)),
        count => {
            let rows: usize = evidence.cases.iter().map(|case| rows(case, trace::NAME).count()).sum();
            Finding::agrees(format!("{rows} comparisons in {count} of {} cases", evidence.cases.len()))
        }
    }
}

/// The guest's own counters against the trace; where it has none, those of the host are named.
pub(super) fn hardware(evidence: &Evidence<'_>) -> Finding {
    if let Some(failure) = evidence.failure() {
        return failure;
    }
    let compared: Vec<String> = evidence
        .cases
        .iter()
        .flat_map(|case| rows(case, pmu::NAME))
        .map(|row| InWords(row).to_string())
        .collect();
    if compared.is_empty() {
        let reason =
            format!("pmu: {}; perf: {}", absence(evidence, pmu::NAME), absence(evidence, perf::NAME));
        return Finding::not_possible(reason);
    }
    Finding::agrees(compared.join("; "))
}

/// A processor has both; an emulator may not.
pub(super) fn segments(evidence: &Evidence<'_>) -> Finding {
    let facts = match (evidence.facts.segments.known(), evidence.facts.segments.reason()) {
        (Some(facts), _) => facts,
        (None, reason) => return Finding::not_possible(reason.unwrap_or_default()),
    };
    let word = |is_there| if is_there { "yes" } else { "no" };
    let found = format!(
        "bases: {}; limits: {}; SYSENTER: {}; SYSCALL: {}",
        word(facts.bases),
        word(facts.limits),
        word(facts.sysenter),
        word(facts.syscall)
    );
    match (facts.bases && facts.limits, evidence.facts.timing.is_time()) {
        (true, _) => evidence.failure().unwrap_or(Finding::agrees(found)),
        (false, true) => Finding::differs(format!("{found}, though ring 0 is native here")),
        (false, false) => {
            Finding::not_possible(format!("{found}; {}", evidence.facts.timing.reasons().join("; ")))
        }
    }
}

pub(super) fn flags(_: &Evidence<'_>) -> Finding {
    Finding::not_possible(
        "its programs are those of the test suite: in the project's source, cargo test -p inkbed --test guest flags",
    )
}

pub(super) fn faults(evidence: &Evidence<'_>) -> Finding {
    if let Some(failure) = evidence.failure() {
        return failure;
    }
    let (faults, wanted) = (evidence.total("faults"), evidence.round_trips());
    let found =
        format!("{faults} faults in {wanted} round trips; each server was started again and answered");
    if faults == wanted { Finding::agrees(found) } else { Finding::differs(found) }
}

pub(super) fn pcid(evidence: &Evidence<'_>) -> Finding {
    let with: Vec<CaseRecord> = evidence.cases.iter().filter(|case| case.parameters.pcid).cloned().collect();
    let missing = evidence.missing.or(Some("KVM offers its guests no PCIDs here"));
    let evidence = Evidence { cases: &with, facts: evidence.facts, host: evidence.host, missing };
    if let Some(failure) = evidence.failure() {
        return failure;
    }
    let (loads, kept) =
        (evidence.total("page_table_loads"), evidence.total("page_table_loads_preserving_tlb"));
    let found = format!("{kept} of {loads} loads kept the TLB");
    if kept == loads && loads > 0 { Finding::agrees(found) } else { Finding::differs(found) }
}
