//! Several runs in one: parts of an experiment, or the same one on several machines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::case::Parameters;
use crate::case::workload::Does;
use crate::compare::compare;
use crate::record::run::{
    CaseRecord, FindingRecord, HostRecord, MergedRecord, RunRecord, RunState, SourceRecord,
};
use crate::run::resume::{recordings, what_is_measured};

/// A run that is to be merged.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it is.
    pub folder: PathBuf,
    /// Its record.
    pub run: RunRecord,
}

/// Why runs cannot be merged.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct MergeError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

fn error(message: String, fix: &str) -> MergeError {
    MergeError { message, fix: fix.to_owned() }
}

/// A run of many, and where the raw samples of each of its cases are.
#[derive(Debug)]
pub struct Merged {
    /// Its record.
    pub run: RunRecord,
    /// Of each case the number of its source.
    pub sources: Vec<usize>,
}

/// Options that machines may have each for itself.
const FREE: [&str; 2] = ["shard", "pin"];

/// Merges runs, of which there is at least one. Each case stands once for each host that measured it: under its own name for
/// the first of them, under `name@host` for others.
pub fn merge(sources: &[Source]) -> Result<Merged, MergeError> {
    let first = &sources.first().ok_or_else(|| error("there is no run".to_owned(), "name one"))?.run;
    for source in sources {
        check(&sources[0], source)?;
    }
    let has_several = sources.iter().any(|source| source.run.host.name != first.host.name);
    let mut cases: Vec<(usize, CaseRecord)> = Vec::new();
    let mut findings = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        findings.extend(differences(&cases, first, source));
        for case in &source.run.cases {
            if let Some(case) = of_host(case, source, &cases, sources)? {
                let host = has_several.then(|| source.run.host.name.clone());
                cases.push((number, CaseRecord { host, ..case }));
            }
        }
    }
    in_order(&mut cases, sources)?;
    let (sources_of, cases): (Vec<usize>, Vec<CaseRecord>) = cases.into_iter().unzip();
    let mut run = RunRecord {
        host: host(sources),
        started_utc: sources
            .iter()
            .map(|source| &source.run.started_utc)
            .min()
            .unwrap_or(&first.started_utc)
            .clone(),
        finished_utc: sources.iter().filter_map(|source| source.run.finished_utc.clone()).max(),
        resumed: Vec::new(),
        shard: None,
        absent: Vec::new(),
        merged: Some(MergedRecord { sources: sources.iter().map(record_of).collect(), findings }),
        cases_planned: cases.len(),
        launches_planned: cases.iter().map(CaseRecord::launches_done).sum(),
        cases,
        ..first.clone()
    };
    run.experiment.overrides.remove("shard");
    for absent in sources.iter().flat_map(|source| &source.run.absent) {
        if !run.absent.contains(absent) {
            run.absent.push(absent.clone());
        }
    }
    Ok(Merged { run, sources: sources_of })
}

fn parameters(source: &Source) -> impl Iterator<Item = &Parameters> {
    source.run.cases.iter().map(|case| &case.parameters)
}

/// Only finished runs of one thing can be merged.
fn check(first: &Source, source: &Source) -> Result<(), MergeError> {
    let (there, here) = (first.folder.display(), source.folder.display());
    if source.run.state != RunState::Finished {
        let (done, planned) = (source.run.launches_done(), source.run.launches_planned);
        let message = format!("the run in {here} has {done} of {planned} launches");
        return Err(error(message, "go on with it: the command that began it, with --resume"));
    }
    if source.run.merged.is_some() {
        let message = format!("the run in {here} is merged already");
        return Err(error(message, "name the runs that it was merged of"));
    }
    let differences = what_is_measured(&first.run, &source.run, &FREE);
    let of_recordings = recordings(parameters(first), parameters(source));
    if let Some(difference) = differences.iter().chain(&of_recordings).next() {
        let (what, then, now) = (&difference.what, &difference.then, &difference.now);
        let message = format!("the runs are not of the same: {what} is {then} in {there}, {now} in {here}");
        return Err(error(
            message,
            "merge runs of one file, with the same options, guest and version of inkbed",
        ));
    }
    let ticks = |run: &RunRecord| (run.host.tsc_counts_instructions, run.host.tsc_counts_ends_of_repeats);
    if ticks(&first.run) != ticks(&source.run) {
        let message = format!(
            "ticks are not the same in {there} and {here}: time, or instructions by one emulator or another"
        );
        return Err(error(message, "merge runs of emulators and of other machines apart"));
    }
    let parts = |source: &Source| source.run.shard.as_ref().map(|shard| (shard.of, shard.cases.clone()));
    if parts(first) != parts(source) {
        let message = format!("{there} and {here} are not parts of the same cases");
        return Err(error(
            message,
            "merge runs with the same N in --shard I/N, on hosts that can run the same cases",
        ));
    }
    Ok(())
}

/// The case as it stands in the merged run; `None` for a pair of clock reads that another part of the same host has, too.
fn of_host(
    case: &CaseRecord,
    source: &Source,
    merged: &[(usize, CaseRecord)],
    sources: &[Source],
) -> Result<Option<CaseRecord>, MergeError> {
    let host = &source.run.host.name;
    let on_host = format!("{}@{host}", case.name);
    let same = merged.iter().filter(|(_, other)| other.name == case.name || other.name == on_host);
    let hosts: BTreeMap<&str, usize> =
        same.map(|(number, _)| (sources[*number].run.host.name.as_str(), *number)).collect();
    match hosts.get(host.as_str()) {
        None if hosts.is_empty() => Ok(Some(case.clone())),
        None => Ok(Some(CaseRecord { name: on_host, ..case.clone() })),
        Some(_) if case.parameters.workload.nature().does == Does::ReadsClock => Ok(None),
        Some(other) => {
            let (there, here) = (sources[*other].folder.display(), source.folder.display());
            let message = format!("{there} and {here} both have {} on the host {host}", case.name);
            Err(error(message, "leave one of them out, or give the hosts different names"))
        }
    }
}

/// Counts that a source and those before it do not agree on.
fn differences(merged: &[(usize, CaseRecord)], first: &RunRecord, source: &Source) -> Vec<FindingRecord> {
    let so_far = RunRecord { cases: merged.iter().map(|(_, case)| case.clone()).collect(), ..first.clone() };
    let host_of = |name: &str| {
        let case = so_far.cases.iter().find(|case| case.name == name);
        case.and_then(|case| case.host.clone()).unwrap_or_else(|| first.host.name.clone())
    };
    let found = compare(&so_far, &source.run).differences.into_iter().map(|difference| FindingRecord {
        first_host: host_of(&difference.case),
        second_host: source.run.host.name.clone(),
        case: difference.case,
        count: difference.count.to_owned(),
        first: difference.first,
        second: difference.second,
    });
    found.collect()
}

/// Brings parts into the order of the whole, of which no case may be missing.
fn in_order(cases: &mut [(usize, CaseRecord)], sources: &[Source]) -> Result<(), MergeError> {
    let Some(shard) = &sources[0].run.shard else { return Ok(()) };
    let there: BTreeSet<&str> = cases.iter().map(|(_, case)| case.name.as_str()).collect();
    let missing: Vec<&String> = shard.cases.iter().filter(|name| !there.contains(name.as_str())).collect();
    if let Some(one) = missing.first() {
        let has = |index: u32| {
            sources.iter().any(|source| source.run.shard.as_ref().is_some_and(|own| own.index == index))
        };
        let parts: Vec<String> = (1..=shard.of)
            .filter(|index| !has(*index))
            .map(|index| format!("{index}/{}", shard.of))
            .collect();
        let message = format!(
            "{} cases are missing, such as {one}: there is no shard {}",
            missing.len(),
            parts.join(", ")
        );
        return Err(error(message, "run the missing shards, and name their folders"));
    }
    let place: BTreeMap<&str, usize> = shard.cases.iter().map(String::as_str).zip(0..).collect();
    let plain = |name: &str| place.get(name).or_else(|| place.get(name.rsplit_once('@')?.0)).copied();
    cases.sort_by_key(|(number, case)| (plain(&case.name), *number));
    Ok(())
}

/// What the hosts have in common. Facts of each are in its source.
fn host(sources: &[Source]) -> HostRecord {
    let hosts: Vec<&HostRecord> = sources.iter().map(|source| &source.run.host).collect();
    let joined = |field: fn(&HostRecord) -> &String| {
        let mut texts: Vec<&str> = Vec::new();
        for text in hosts.iter().map(|host| field(host).as_str()) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        texts.join("; ")
    };
    if hosts.iter().all(|host| host.name == hosts[0].name) {
        return hosts[0].clone();
    }
    let problems: BTreeSet<&String> = hosts.iter().filter_map(|host| host.timing_problem.as_ref()).collect();
    let problems: Vec<&str> = problems.into_iter().map(String::as_str).collect();
    let doubts: BTreeSet<&String> = hosts.iter().flat_map(|host| &host.timing_doubts).collect();
    HostRecord {
        name: joined(|host| &host.name),
        summary: joined(|host| &host.summary),
        timing_problem: (!problems.is_empty()).then(|| problems.join("; ")),
        timing_doubts: doubts.into_iter().cloned().collect(),
        user_timing_is_native: hosts.iter().all(|host| host.user_timing_is_native),
        tsc_counts_instructions: hosts[0].tsc_counts_instructions,
        tsc_counts_ends_of_repeats: hosts[0].tsc_counts_ends_of_repeats,
        absent_lenses: hosts.iter().flat_map(|host| host.absent_lenses.clone()).collect(),
        ..HostRecord::default()
    }
}

fn record_of(source: &Source) -> SourceRecord {
    let run = &source.run;
    SourceRecord {
        host: run.host.clone(),
        started_utc: run.started_utc.clone(),
        finished_utc: run.finished_utc.clone(),
        resumed: run.resumed.clone(),
        shard: run.shard.as_ref().map(|shard| format!("{}/{}", shard.index, shard.of)),
        cases: run.cases.len(),
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
