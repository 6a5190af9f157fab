//! Whether a run that was stopped can be gone on with: only as what it was, on the host that it was on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::session::now;
use super::so_far::{Before, Kept};
use super::until::Until;
use crate::case::{Case, Parameters};
use crate::record::resume::Stopped;
use crate::record::run::{HostRecord, RunRecord, RunState};
use crate::record::store::{ResultsFolder, StoreError};
use crate::requests::known::Recording;
use crate::workload::recording;

/// What is in the folder of a run.
#[derive(Debug)]
pub enum Found {
    /// A run with nothing left to do: its record.
    Finished(Box<RunRecord>),
    /// A run that goes on now.
    Stopped(Box<Resumed>),
}

/// A run that goes on.
#[derive(Debug)]
pub struct Resumed {
    /// Its record, with all launches that have ended.
    pub record: RunRecord,
    /// For [`super::session::Runner::go_on`].
    pub before: Before,
    /// The line of one more launch was cut, so that it runs again.
    pub is_cut: bool,
}

/// Why a run cannot be gone on with. Nothing of it was touched.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// It was begun as something else.
    #[error("the run was begun otherwise: {}", in_words(.0))]
    Other(Vec<Difference>),
    /// Its launches are not those of the plan.
    #[error("the run was begun otherwise: {0}")]
    NotPlanned(String),
    /// Its files cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was so when the run began, and is different now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What.
    pub what: String,
    /// As the record has it.
    pub then: String,
    /// As it is.
    pub now: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { what, then, now } = self;
        write!(f, "{what} was {then}, now {now}")
    }
}

fn in_words(differences: &[Difference]) -> String {
    differences.iter().map(Difference::to_string).collect::<Vec<_>>().join("; ")
}

/// Looks at the run in `results`, and has it go on if `now`, the record of the run that would begin otherwise, is of the same.
/// `cases`: those of the plan.
pub fn find(
    results: &ResultsFolder,
    now: &RunRecord,
    cases: &[Case],
    until: Option<&Until>,
) -> Result<Found, ResumeError> {
    let mut stopped: Stopped<Kept<'static>> = results.stopped()?;
    let mut differences = differences(&stopped.record, now);
    let planned = cases.iter().map(|case| &case.parameters);
    differences.extend(recordings(stopped.record.cases.iter().map(|case| &case.parameters), planned));
    if !differences.is_empty() {
        return Err(ResumeError::Other(differences));
    }
    if stopped.record.state == RunState::Finished {
        return Ok(Found::Finished(Box::new(stopped.record)));
    }
    let before = Before::of(&mut stopped, cases, until).map_err(ResumeError::NotPlanned)?;
    let is_cut = stopped.is_cut;
    let record = results.go_on(stopped, self::now())?;
    Ok(Found::Stopped(Box::new(Resumed { record, before, is_cut })))
}

/// Recordings that have the same name in both and are not the same: the file of an experiment does not hold them.
pub fn recordings<'a>(
    then: impl Iterator<Item = &'a Parameters>,
    now: impl Iterator<Item = &'a Parameters>,
) -> Vec<Difference> {
    let now: BTreeMap<&str, &Recording> = now.filter_map(recording).map(|one| (one.name(), one)).collect();
    let then: BTreeMap<&str, &Recording> = then.filter_map(recording).map(|one| (one.name(), one)).collect();
    let differs = |(name, then): (&str, &Recording)| {
        let now = now.get(name)?;
        difference(&format!("the recording `{name}`"), &then.recorded(), &now.recorded())
    };
    then.into_iter().filter_map(differs).collect()
}

/// What makes a run another one.
fn differences(then: &RunRecord, now: &RunRecord) -> Vec<Difference> {
    let mut found = what_is_measured(then, now, &[]);
    found.extend(what_hosts_differ_in(&then.host, &now.host));
    found
}

/// Where two hosts are not the same, as far as figures depend on it.
pub fn what_hosts_differ_in(then: &HostRecord, now: &HostRecord) -> Vec<Difference> {
    let mut found = Vec::new();
    hold_hosts(then, now, &mut |what, then, now| found.extend(difference(what, then, now)));
    found
}

fn difference(what: &str, then: &dyn fmt::Display, now: &dyn fmt::Display) -> Option<Difference> {
    let (then, now) = (then.to_string(), now.to_string());
    (then != now).then(|| Difference { what: what.to_owned(), then, now })
}

/// Where two runs do not measure the same, wherever they do it. `free`: options that may be different.
pub fn what_is_measured(then: &RunRecord, now: &RunRecord, free: &[&str]) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut hold = |what: &str, then: &dyn fmt::Display, now: &dyn fmt::Display| {
        found.extend(difference(what, then, now));
    };
    hold("experiment", &then.experiment.name, &now.experiment.name);
    hold("SHA-256 of the experiment file", &then.experiment.file_sha256, &now.experiment.file_sha256);
    let keys = then.experiment.overrides.keys().chain(now.experiment.overrides.keys());
    let keys: BTreeSet<&String> = keys.filter(|key| !free.contains(&key.as_str())).collect();
    for key in keys {
        let value =
            |run: &RunRecord| run.experiment.overrides.get(key).cloned().unwrap_or("not set".to_owned());
        hold(&format!("the option `{key}`"), &value(then), &value(now));
    }
    hold("SHA-256 of the guest", &then.guest.sha256, &now.guest.sha256);
    hold("version of inkbed", &then.inkbed.version, &now.inkbed.version);
    hold("ABI version", &then.inkbed.abi_version, &now.inkbed.abi_version);
    found
}

/// Hosts are held by what they are, not by what was measured of them, which is never the same twice.
fn hold_hosts(
    then: &HostRecord,
    now: &HostRecord,
    hold: &mut dyn FnMut(&str, &dyn fmt::Display, &dyn fmt::Display),
) {
    hold("host", &then.name, &now.name);
    hold("host's CPU, KVM and kernel", &then.summary, &now.summary);
    hold("number of host CPUs", &then.cpus, &now.cpus);
    hold("number of CPUs that guests may use", &then.usable_cpus, &now.usable_cpus);
    let is_time = |host: &HostRecord| if host.timing_problem.is_some() { "no time" } else { "time" };
    hold("what ticks are on this host", &is_time(then), &is_time(now));
    let absent = |host: &HostRecord| {
        let names: Vec<&str> = host.absent_lenses.keys().map(String::as_str).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(" and ") }
    };
    hold("ways of counting that the host does not have", &absent(then), &absent(now));
    const FACTS: [&str; 5] =
        ["/cpu", "/kvm", "/tuning", "/system/clocksource", "/system/transparent_hugepages"];
    for pointer in FACTS {
        let facts = |host: &HostRecord| host.facts.pointer(pointer).cloned().unwrap_or_default();
        hold_facts(pointer, &facts(then), &facts(now), hold);
    }
}

/// Each fact that is not the same, by its place in what `inkbed doctor --json` prints.
fn hold_facts(
    place: &str,
    then: &Value,
    now: &Value,
    hold: &mut dyn FnMut(&str, &dyn fmt::Display, &dyn fmt::Display),
) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            let keys: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
            for key in keys {
                let of = |facts: &serde_json::Map<String, Value>| facts.get(key).cloned().unwrap_or_default();
                hold_facts(&format!("{place}/{key}"), &of(then), &of(now), hold);
            }
        }
        _ => hold(&format!("{place} of the host"), then, now),
    }
}
