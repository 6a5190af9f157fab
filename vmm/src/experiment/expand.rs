//! From a file to its cases: lists multiply, defaults fill in, the command line overrides, and what cannot be run is
//! refused with its place and the fix.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::check::{self, Limits};
use super::error::ConfigError;
use super::file::{CaseEntry, ExperimentFile};
use super::groups;
use super::overrides::Overrides;
use super::product;
use super::programs;
use super::quota;
use super::recordings;
use super::scheme;
use super::table::{Given, Table};
use crate::case::key::{Absent as IfAbsent, Key, Kind, Standing};
use crate::case::parameter::Gate;
use crate::case::size::MemorySize;
use crate::case::value::{Value, Word};
use crate::case::{Case, Parameters, keys};
use crate::record::quota::Quotas;
use crate::record::run::Absent;
use crate::workload::Workload;

/// An experiment that can be run.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Short name.
    pub name: String,
    /// The question it answers.
    pub question: String,
    /// More about it.
    pub description: Option<String>,
    /// What each of several guests at once may take of the host.
    pub quotas: Option<Quotas>,
    /// What the traces of a run may take together; `None`: as long as they take.
    pub trace_budget: Option<Duration>,
    /// The cases, in the order in which they are run.
    pub cases: Vec<Case>,
    /// Cases that this host cannot run, by name, with the reason.
    pub unavailable: Vec<Absent>,
    /// What else the file asks for and this host does not have.
    pub absent: Vec<Absent>,
}

/// Memory of a guest, if it needs no more.
const USUAL_MEMORY: MemorySize = MemorySize::mebibytes(128);
const MEBIBYTE: u64 = 1 << 20;

/// The experiment of `file` on a host with these `limits`.
pub fn expand(
    file: &ExperimentFile,
    overrides: &Overrides,
    limits: &Limits,
) -> Result<Experiment, ConfigError> {
    let content = &file.content;
    check::experiment_name(file, &content.name)?;
    if content.question.get_ref().trim().is_empty() {
        let fix = "say in one sentence what the experiment answers";
        return Err(file.error_at(content.question.span(), "the question is empty", fix));
    }
    if content.cases.is_empty() {
        return Err(ConfigError::in_file(&file.path, "there is no case", "add a [[case]] with a workload"));
    }
    product::check(file, overrides)?;
    let mut cases: Vec<Case> = Vec::new();
    let mut names = BTreeSet::new();
    let mut missed = Missed::default();
    for entry in &content.cases {
        let expansion = Expansion { file, overrides, limits, entry: entry.get_ref(), span: entry.span() };
        for case in expansion.cases(&mut missed)? {
            if !names.insert(case.name.clone()) {
                let message = format!("the case `{}` appears twice", case.name);
                return Err(file.error_at(
                    entry.span(),
                    message,
                    "remove one, or give this one a `name` of its own",
                ));
            }
            cases.push(case);
        }
    }
    if let Some(name) = recordings::of_one_name(&cases) {
        let message = format!("two recordings are named `{name}`, so their cases could not be told apart");
        return Err(ConfigError::in_file(&file.path, message, "rename one of the files"));
    }
    let pcid = limits
        .pcid
        .as_ref()
        .err()
        .filter(|_| missed.pcid)
        .map(|reason| Absent { what: "cases with pcid = on".to_owned(), reason: reason.clone() });
    let gates = missed.gates.iter().map(|(gate, reason)| Absent {
        what: format!("cases with gate = {}", gate.name()),
        reason: reason.clone(),
    });
    let absent = pcid.into_iter().chain(gates).collect();
    let unavailable = take_unavailable(&mut cases, limits);
    let quotas = quota::read(file)?;
    if quotas.is_some() && cases.iter().all(|case| case.parameters.guests.is_none()) {
        let fix = "add `guests = [1, 2, 4]` to [defaults] or to a [[case]], or remove the table";
        return Err(ConfigError::in_file(&file.path, "[guests] sets quotas, but no case has `guests`", fix));
    }
    Ok(Experiment {
        quotas,
        trace_budget: check::trace_budget(file, overrides)?,
        name: content.name.get_ref().clone(),
        question: content.question.get_ref().clone(),
        description: content.description.clone(),
        cases,
        unavailable,
        absent,
    })
}

/// What was left out because the guest's CPU does not have it.
#[derive(Default)]
struct Missed {
    pcid: bool,
    gates: BTreeMap<Gate, String>,
}

/// Takes out the cases with programs that are built for 32 bits, where segments are not honoured, and those of several guests, where
/// these do not run at once.
fn take_unavailable(cases: &mut Vec<Case>, limits: &Limits) -> Vec<Absent> {
    let reason = |case: &Case| {
        let needs_segments = case.parameters.has_32_bit().then_some(&limits.segments);
        let needs_guests = case.parameters.guests.is_some().then_some(&limits.many_guests);
        needs_segments.into_iter().chain(needs_guests).find_map(|limit| limit.as_ref().err().cloned())
    };
    let taken: Vec<Absent> = cases
        .iter()
        .filter_map(|case| Some(Absent { reason: reason(case)?, what: case.name.clone() }))
        .collect();
    cases.retain(|case| reason(case).is_none());
    taken
}

/// A value, and where the file has it; from the command line it has no place.
type Placed = (Value, Option<Range<usize>>);
/// A place that may say something of a key.
type Place<'a> = &'a dyn Fn(&Key) -> Option<Placed>;

/// The expansion of one `[[case]]`.
struct Expansion<'a> {
    file: &'a ExperimentFile,
    overrides: &'a Overrides,
    limits: &'a Limits,
    entry: &'a CaseEntry,
    span: Range<usize>,
}

/// `cases` times `values`.
fn multiply<C: Clone, T: Clone>(cases: Vec<C>, values: &[T], set: impl Fn(&mut C, T)) -> Vec<C> {
    let mut product = Vec::with_capacity(cases.len() * values.len());
    for case in cases {
        for value in values {
            let mut copy = case.clone();
            set(&mut copy, value.clone());
            product.push(copy);
        }
    }
    product
}

impl Expansion<'_> {
    fn workload(&self) -> &'static dyn Workload {
        *self.entry.workload.get_ref()
    }

    fn cases(&self, missed: &mut Missed) -> Result<Vec<Case>, ConfigError> {
        check::keys_of_workload(self.file, self.entry)?;
        let workload = self.workload();
        let mut drafts = vec![self.base()?];
        for key in workload.keys() {
            drafts = self.multiplied(drafts, key)?;
        }
        for case in &mut drafts {
            let usual = || workload.server_program(case).map(str::to_owned);
            case.server_program = case.server_program.clone().or_else(usual);
        }
        drafts = self.multiply_schemes(drafts, missed)?;
        drafts = self.multiplied(drafts, &keys::VCPUS)?;
        let memory = self.values(&keys::MEMORY)?;
        for case in &mut drafts {
            let room = case.seconds.map_or(0, |_| self.limits.samples_room() * 8);
            let needed = check::memory_needed(case) + room;
            case.memory_bytes = needed.next_multiple_of(MEBIBYTE).max(USUAL_MEMORY.bytes);
        }
        drafts = self.multiplied(drafts, &keys::MEMORY)?;
        drafts = self.multiplied(drafts, &keys::HUGE_PAGES)?;
        drafts = self.multiplied(drafts, &keys::GUESTS)?;
        drafts = multiply(drafts, &self.pcid(&mut missed.pcid)?, |case, pcid| case.pcid = pcid);

        let name = self.entry.name.as_ref().map_or(workload.name(), |name| name.get_ref().as_str());
        let mut cases = Vec::with_capacity(drafts.len());
        for mut parameters in drafts {
            if parameters.seconds.is_some() {
                parameters.samples = check::most_round_trips(&parameters, self.limits);
            }
            check::combination(self.file, self.entry, self.span.clone(), &parameters)?;
            programs::check(self.file, self.limits, self.entry, &parameters)?;
            groups::check(self.file, self.entry, &parameters)?;
            scheme::check(self.file, self.entry, self.span.clone(), &parameters)?;
            let mut full_name = format!("{name}/{}/{}", parameters.placements(), parameters.setting());
            full_name.push_str(&programs::in_name(self.entry));
            if memory.as_ref().is_some_and(|memory| memory.len() > 1) {
                full_name.push_str(&format!("/memory={}", MemorySize { bytes: parameters.memory_bytes }));
            }
            cases.push(Case { name: full_name, parameters });
        }
        Ok(cases)
    }

    /// A case with everything set that cannot be a list.
    fn base(&self) -> Result<Parameters, ConfigError> {
        let workload = self.workload();
        let is_measured_once = workload.nature().is_measured_once;
        if is_measured_once {
            check::not_repeated(self.file, self.entry)?;
        }
        let mut case = Parameters::plain(workload);
        case.launches = self.limits.launches;
        let single = |key: &&&'static Key| matches!(key.kind, Kind::Number(..)) && !key.multiplies;
        for key in keys::OF_ALL.iter().filter(single) {
            let given = self.values(key)?.and_then(|values| values.first().copied());
            if let Some(value) = given.or(key.default_value()) {
                key.set(&mut case, value);
            }
        }
        if is_measured_once {
            // Where round trips cannot be repeated there is no complete one to trace.
            (case.warm_up, case.trace_round_trips) = (0, 0);
        }
        self.set_amount(&mut case)?;
        case.groups = groups::read(self.file, self.entry)?;
        programs::read(self.file, self.limits, self.entry, &mut case)?;
        case.tlb_models = scheme::tlb_models(self.file, self.entry, case.trace_round_trips)?;
        Ok(case)
    }

    /// What each guest measures: a number of round trips, or for a time; then the number is found when memory is known. The
    /// nearest place that says something counts, and `samples` where it says both.
    fn set_amount(&self, case: &mut Parameters) -> Result<(), ConfigError> {
        if case.workload.nature().is_measured_once {
            case.samples = 1;
            return Ok(());
        }
        let (defaults, own) = (&self.file.content.defaults, &self.entry.keys);
        let place = |table: &Table, key: &Key| {
            let value = table.get(key)?.values.first()?;
            Some((*value.get_ref(), Some(value.span())))
        };
        let set = |key: &Key| self.overrides.get(key).and_then(|values| Some((*values.first()?, None)));
        let places: [Place<'_>; 3] = [&set, &|key| place(own, key), &|key| place(defaults, key)];
        for given in places {
            if let Some((value, span)) = given(&keys::SAMPLES) {
                check::range(self.file, self.limits, case.workload, &keys::SAMPLES, value, span)?;
                keys::SAMPLES.set(case, value);
                return Ok(());
            }
            if let Some((Value::Seconds(seconds), span)) = given(&keys::SECONDS) {
                let seconds = check::seconds(self.file, seconds, span, case.warm_up, case.deadline_seconds)?;
                (case.samples, case.seconds) = (0, Some(seconds));
                return Ok(());
            }
        }
        if let Some(seconds) = self.limits.seconds.filter(|_| case.warm_up > 0) {
            (case.samples, case.seconds) = (0, Some(seconds));
        }
        Ok(())
    }

    /// The drafts times the values of a key; where nobody gives it, with what then holds.
    fn multiplied(&self, drafts: Vec<Parameters>, key: &'static Key) -> Result<Vec<Parameters>, ConfigError> {
        let is_set_with_others = self.workload().keys().iter().any(|other| {
            other.stands_for.iter().any(|part| part.name == key.name) && self.given(other).is_some()
        });
        if matches!(key.kind, Kind::Text | Kind::Numbers(_) | Kind::Table) || is_set_with_others {
            return Ok(drafts);
        }
        if let Some(values) = self.values(key)? {
            return Ok(multiply(drafts, &values, |case, value| key.set(case, value)));
        }
        let if_absent = |mut case: Parameters| {
            let value = match key.absent {
                IfAbsent::Of(value) => value(&case),
                _ => key.default_value(),
            };
            if let Some(value) = value {
                key.set(&mut case, value);
            }
            case
        };
        Ok(drafts.into_iter().map(if_absent).collect())
    }

    /// A key as the file gives it, in the case or in the defaults.
    fn given(&self, key: &Key) -> Option<&Given> {
        let defaults =
            || self.file.content.defaults.get(key).filter(|_| key.standing == Standing::Everywhere);
        self.entry.keys.get(key).or_else(defaults)
    }

    /// The values of a key, if it is given anywhere, all of them in range.
    fn values(&self, key: &'static Key) -> Result<Option<Vec<Value>>, ConfigError> {
        let check = |value, span| {
            check::range(self.file, self.limits, self.workload(), key, value, span).map(|()| value)
        };
        if let Some(values) = self.overrides.get(key) {
            return values.iter().map(|value| check(*value, None)).collect::<Result<_, _>>().map(Some);
        }
        let Some(given) = self.given(key) else { return Ok(None) };
        check::some_values(self.file, key, &given.values, given.span.clone())?;
        let in_range = |value: &Spanned<Value>| check(*value.get_ref(), Some(value.span()));
        given.values.iter().map(in_range).collect::<Result<_, _>>().map(Some)
    }

    /// Slots for programs in small spaces, and gates for all that are built for 32 bits.
    fn multiply_schemes(
        &self,
        drafts: Vec<Parameters>,
        missed: &mut Missed,
    ) -> Result<Vec<Parameters>, ConfigError> {
        scheme::keys_of_placements(self.file, self.entry, &drafts)?;
        let chosen = self.values(&keys::SLOT_SIZE)?.unwrap_or_default();
        let gates = self.gates(missed)?;
        let mut product = Vec::new();
        for draft in drafts {
            let slots: Vec<Option<u64>> = match (draft.has_small(), chosen.as_slice()) {
                (false, _) => vec![None],
                (true, []) => vec![draft.smallest_slot()],
                (true, chosen) => chosen.iter().map(|slot| bytes(*slot)).collect(),
            };
            let gates: Vec<Option<Gate>> = match draft.has_32_bit() {
                true => gates.iter().copied().map(Some).collect(),
                false => vec![None],
            };
            let cases = multiply(vec![draft], &slots, |case, slot| case.slot_bytes = slot);
            product.extend(multiply(cases, &gates, |case, gate| case.gate = gate));
        }
        Ok(product)
    }

    /// The gates to be measured, each once.
    fn gates(&self, missed: &mut Missed) -> Result<Vec<Gate>, ConfigError> {
        let Some(given) = self.entry.keys.get(&keys::GATE) else { return Ok(vec![Gate::Int]) };
        check::some_values(self.file, &keys::GATE, &given.values, given.span.clone())?;
        let mut gates = BTreeSet::new();
        for choice in &given.values {
            // The first word is for all.
            let wanted = match *choice.get_ref() {
                Value::Choice(index @ 1..) => Gate::of(Value::Choice(index - 1)),
                _ => None,
            };
            let Some(wanted) = wanted else {
                for gate in Gate::ALL.iter().copied() {
                    match self.limits.gate(gate) {
                        Ok(()) => drop(gates.insert(gate)),
                        Err(reason) => drop(missed.gates.insert(gate, reason)),
                    }
                }
                continue;
            };
            if let Err(reason) = self.limits.gate(wanted) {
                return Err(scheme::no_gate(self.file, choice.span(), wanted, &reason));
            }
            gates.insert(wanted);
        }
        Ok(gates.into_iter().collect())
    }

    /// Whether TLB entries carry identifiers: each wish once, off before on.
    fn pcid(&self, missed: &mut bool) -> Result<Vec<bool>, ConfigError> {
        let key = &keys::PCID;
        self.values(key)?;
        let wishes: Vec<(Value, Option<Range<usize>>)> = match (self.overrides.get(key), self.given(key)) {
            (Some(values), _) => values.iter().map(|value| (*value, None)).collect(),
            (None, Some(given)) => {
                given.values.iter().map(|value| (*value.get_ref(), Some(value.span()))).collect()
            }
            (None, None) => vec![(Value::Choice(0), None)],
        };
        let mut choices: BTreeMap<bool, Option<Range<usize>>> = BTreeMap::new();
        for (wish, span) in wishes {
            let (off, on) = match wish {
                Value::Choice(1) => (true, false),
                Value::Choice(2) => (false, true),
                _ => {
                    *missed |= self.limits.pcid.is_err();
                    (true, self.limits.pcid.is_ok())
                }
            };
            for value in [(false, off), (true, on)].into_iter().filter(|(_, wanted)| *wanted) {
                choices.insert(value.0, span.clone());
            }
        }
        if let (Some(span), Err(reason)) = (choices.get(&true), &self.limits.pcid) {
            return Err(check::no_pcid(self.file, span.clone(), reason));
        }
        Ok(choices.into_keys().collect())
    }
}

fn bytes(value: Value) -> Option<u64> {
    match value {
        Value::Size(size) => Some(size.bytes),
        _ => None,
    }
}

#[cfg(test)]
#[path = "expand_tests.rs"]
mod tests;
