//! From a file to its cases: lists multiply, defaults fill in, the command line overrides, and what cannot be run is
//! refused with its place and the fix.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::check::{self, Limits};
use super::error::ConfigError;
use super::file::{CaseEntry, ExperimentFile};
use super::list::List;
use super::overrides::Overrides;
use super::product;
use super::quota;
use super::scheme;
use crate::case::groups;
use crate::case::parameter::{
    Fault, Flush, Gate, GateChoice, HandlerShape, HugePagesChoice, Migration, PcidChoice, Reached, Serving,
    Transfer,
};
use crate::case::seconds::Seconds;
use crate::case::size::MemorySize;
use crate::case::{Case, Parameters};
use crate::machine::guest::HugePages;
use crate::record::quota::Quotas;
use crate::record::run::Absent;
use crate::system::placement::Placement;
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

/// Handler threads of an L4Linux server for each CPU, by the talk's arithmetic.
const DEFAULT_HANDLERS_PER_CPU: i64 = 47;
/// Servers of a chain: the talk speaks of A, B and C.
const DEFAULT_CHAIN: i64 = 3;
const DEFAULT_VCPUS: i64 = 1;
const DEFAULT_MEMORY: MemorySize = MemorySize::mebibytes(128);
const MEBIBYTE: u64 = 1 << 20;
const DEFAULT_DEADLINE_SECONDS: i64 = 60;
const DEFAULT_WARM_UP: i64 = 20;
const DEFAULT_SAMPLES: i64 = 300;
const DEFAULT_TRACE_ROUND_TRIPS: i64 = 0;

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

/// Takes out the cases with programs that are built for 32 bits, where segments are not honoured.
fn take_unavailable(cases: &mut Vec<Case>, limits: &Limits) -> Vec<Absent> {
    let Err(reason) = &limits.segments else { return Vec::new() };
    let (unavailable, available) = cases.drain(..).partition(|case| case.parameters.has_32_bit());
    *cases = available;
    let absent = |case: Case| Absent { what: case.name, reason: reason.clone() };
    Vec::into_iter(unavailable).map(absent).collect()
}

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
    fn cases(&self, missed: &mut Missed) -> Result<Vec<Case>, ConfigError> {
        check::keys_of_workload(self.file, self.entry)?;
        let workload = *self.entry.workload.get_ref();
        let mut drafts = vec![self.base(workload)?];
        drafts = self.multiply_placements(drafts)?;
        drafts = self.multiply_sizes(drafts)?;
        drafts = self.multiply_migrations(drafts)?;
        drafts = self.multiply_crowds(drafts)?;
        drafts = self.multiply_schemes(drafts, missed)?;
        let vcpus =
            self.numbers("vcpus", self.overrides.vcpus, &self.entry.vcpus, DEFAULT_VCPUS, |file| {
                file.content.defaults.vcpus.as_ref()
            })?;
        drafts = multiply(drafts, &vcpus, |case, vcpus| case.vcpus = vcpus as u32);
        let memory = self.memory_sizes()?;
        drafts = multiply(drafts, &memory, |case, memory| {
            let room = case.seconds.map_or(0, |_| self.limits.samples_room() * 8);
            let enough =
                || (check::memory_needed(case) + room).next_multiple_of(MEBIBYTE).max(DEFAULT_MEMORY.bytes);
            case.memory_bytes = memory.map_or_else(enough, |memory| memory.bytes);
        });
        drafts = multiply(drafts, &self.huge_pages()?, |case, pages| case.huge_pages = pages);
        drafts = multiply(drafts, &self.guests()?, |case, guests| case.guests = guests);
        drafts = multiply(drafts, &self.pcid(&mut missed.pcid)?, |case, pcid| case.pcid = pcid);

        let name = self.entry.name.as_ref().map_or(workload.name(), |name| name.get_ref().as_str());
        let mut cases = Vec::with_capacity(drafts.len());
        for mut parameters in drafts {
            if parameters.seconds.is_some() {
                parameters.samples = check::most_round_trips(&parameters, self.limits);
            }
            check::combination(self.file, self.entry, self.span.clone(), &parameters)?;
            groups::check(self.file, self.entry, &parameters)?;
            scheme::check(self.file, self.entry, self.span.clone(), &parameters)?;
            let mut full_name = format!("{name}/{}/{}", parameters.placements(), parameters.setting());
            if let Some(program) = &self.entry.server_program {
                full_name.push_str(&format!("/program={}", program.get_ref()));
            }
            if memory.len() > 1 {
                full_name.push_str(&format!("/memory={}", MemorySize { bytes: parameters.memory_bytes }));
            }
            cases.push(Case { name: full_name, parameters });
        }
        Ok(cases)
    }

    /// A case with everything set that cannot be a list.
    fn base(&self, workload: Workload) -> Result<Parameters, ConfigError> {
        let (entry, defaults, overrides) = (self.entry, &self.file.content.defaults, self.overrides);
        let one =
            |key, override_value, own: &Option<Spanned<i64>>, default: &Option<Spanned<i64>>, fallback| {
                let value = own.as_ref().or(default.as_ref());
                check::number(self.file, self.limits, workload, key, override_value, value, fallback)
            };
        if workload.is_measured_once() {
            check::not_repeated(self.file, entry)?;
        }
        let warm_up = one("warm_up", overrides.warm_up, &entry.warm_up, &defaults.warm_up, DEFAULT_WARM_UP)?;
        let launches = self.limits.launches.into();
        let launches = one("launches", overrides.launches, &entry.launches, &defaults.launches, launches)?;
        let deadline_seconds = one(
            "deadline_seconds",
            overrides.deadline_seconds,
            &entry.deadline_seconds,
            &defaults.deadline_seconds,
            DEFAULT_DEADLINE_SECONDS,
        )?;
        let (samples, seconds) = self.amount(workload, warm_up, deadline_seconds)?;
        let trace_round_trips = one(
            "trace_round_trips",
            overrides.trace_round_trips,
            &entry.trace_round_trips,
            &defaults.trace_round_trips,
            DEFAULT_TRACE_ROUND_TRIPS,
        )?;
        // Where round trips cannot be repeated there is no complete one to trace.
        let trace_round_trips = if workload.is_measured_once() { 0 } else { trace_round_trips };
        Ok(Parameters {
            workload,
            client: Placement::User,
            server: None,
            relay: None,
            other_client: None,
            same_space: false,
            groups: groups::read(self.file, entry)?,
            transfer: Transfer::Switch,
            words: None,
            client_pages: None,
            server_pages: None,
            servers: None,
            moved: None,
            partners: None,
            migration: None,
            flush: Flush::Threshold,
            fault: None,
            demote_after: None,
            promote_after: None,
            serving: None,
            shape: None,
            handlers_per_cpu: None,
            target: None,
            slot_bytes: None,
            gate: None,
            server_program: check::server_program(self.file, self.limits, entry)?,
            pcid: false,
            vcpus: 1,
            memory_bytes: 0,
            huge_pages: HugePages::No,
            guests: None,
            deadline_seconds,
            warm_up: if workload.is_measured_once() { 0 } else { warm_up },
            samples,
            seconds,
            launches: launches as u32,
            trace_round_trips,
            tlb_models: scheme::tlb_models(self.file, entry, trace_round_trips)?,
        })
    }

    /// What each guest measures: a number of round trips, or for a time; then the number is found when memory is known. The
    /// nearest place that says something counts, and `samples` where it says both.
    fn amount(
        &self,
        workload: Workload,
        warm_up: u64,
        deadline_seconds: u64,
    ) -> Result<(u64, Option<Seconds>), ConfigError> {
        if workload.is_measured_once() {
            return Ok((1, None));
        }
        let (defaults, overrides) = (&self.file.content.defaults, self.overrides);
        let number = |override_value, value| {
            check::number(self.file, self.limits, workload, "samples", override_value, value, DEFAULT_SAMPLES)
        };
        if overrides.samples.is_some() {
            return Ok((number(overrides.samples, None)?, None));
        }
        let time = |seconds, span| check::seconds(self.file, seconds, span, warm_up, deadline_seconds);
        if let Some(seconds) = overrides.seconds {
            return Ok((0, Some(time(seconds, None)?)));
        }
        let places = [(&self.entry.samples, &self.entry.seconds), (&defaults.samples, &defaults.seconds)];
        for (samples, seconds) in places {
            match (samples, seconds) {
                (Some(samples), _) => return Ok((number(None, Some(samples))?, None)),
                (None, Some(seconds)) => {
                    return Ok((0, Some(time(*seconds.get_ref(), Some(seconds.span()))?)));
                }
                (None, None) => {}
            }
        }
        match self.limits.seconds.filter(|_| warm_up > 0) {
            Some(seconds) => Ok((0, Some(seconds))),
            None => Ok((number(None, None)?, None)),
        }
    }

    fn multiply_placements(&self, drafts: Vec<Parameters>) -> Result<Vec<Parameters>, ConfigError> {
        let entry = self.entry;
        let mut drafts =
            multiply(drafts, &self.values("same_space", &entry.same_space, false)?, |case, shared| {
                case.same_space = shared;
            });
        drafts = multiply(drafts, &self.values("client", &entry.client, Placement::User)?, |case, client| {
            case.client = client;
        });
        if entry.relay.is_some() {
            let relay = self.values("relay", &entry.relay, Placement::User)?;
            drafts = multiply(drafts, &relay, |case, relay| case.relay = Some(relay));
        }
        if entry.workload.get_ref().has_server() {
            let server = self.values("server", &entry.server, Placement::User)?;
            drafts = multiply(drafts, &server, |case, server| case.server = Some(server));
        }
        if entry.transfer.is_some() {
            let transfer = self.values("transfer", &entry.transfer, Transfer::Switch)?;
            drafts = multiply(drafts, &transfer, |case, transfer| case.transfer = transfer);
        }
        if *entry.workload.get_ref() == Workload::Alternate && entry.other_client.is_none() {
            // Built as the client is.
            for case in &mut drafts {
                let of_32_bits = case.client.is_32_bit();
                case.other_client = Some(if of_32_bits { Placement::Large } else { Placement::User });
            }
        }
        if entry.other_client.is_some() {
            let other = self.values("other_client", &entry.other_client, Placement::User)?;
            drafts = multiply(drafts, &other, |case, other| case.other_client = Some(other));
        }
        Ok(drafts)
    }

    /// Slots for programs in small spaces, and gates for all that are built for 32 bits.
    fn multiply_schemes(
        &self,
        drafts: Vec<Parameters>,
        missed: &mut Missed,
    ) -> Result<Vec<Parameters>, ConfigError> {
        scheme::keys_of_placements(self.file, self.entry, &drafts)?;
        let chosen = match &self.entry.slot_size {
            Some(_) => self.values("slot_size", &self.entry.slot_size, MemorySize::mebibytes(0))?,
            None => Vec::new(),
        };
        let gates = self.gates(missed)?;
        let mut product = Vec::new();
        for draft in drafts {
            let slots: Vec<Option<u64>> = match (draft.has_small(), chosen.as_slice()) {
                (false, _) => vec![None],
                (true, []) => vec![scheme::smallest_slot(&draft)],
                (true, chosen) => chosen.iter().map(|slot| Some(slot.bytes)).collect(),
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
        let Some(list) = &self.entry.gate else { return Ok(vec![Gate::Int]) };
        check::not_empty(self.file, "gate", list)?;
        let mut gates = BTreeSet::new();
        for choice in &list.values {
            let wanted = match choice.get_ref() {
                GateChoice::Int => Gate::Int,
                GateChoice::Sysenter => Gate::Sysenter,
                GateChoice::Syscall => Gate::Syscall,
                GateChoice::All => {
                    for gate in Gate::ALL {
                        match self.limits.gate(gate) {
                            Ok(()) => drop(gates.insert(gate)),
                            Err(reason) => drop(missed.gates.insert(gate, reason)),
                        }
                    }
                    continue;
                }
            };
            if let Err(reason) = self.limits.gate(wanted) {
                return Err(scheme::no_gate(self.file, choice.span(), wanted, &reason));
            }
            gates.insert(wanted);
        }
        Ok(gates.into_iter().collect())
    }

    fn multiply_sizes(&self, mut drafts: Vec<Parameters>) -> Result<Vec<Parameters>, ConfigError> {
        let entry = self.entry;
        let workload = *entry.workload.get_ref();
        if workload.has_words() {
            let words = self.numbers("words", None, &entry.words, 0, |_| None)?;
            drafts = multiply(drafts, &words, |case, words| {
                case.words = Some(words);
                // `null` answers with an empty message, so it can only stand at the end of an empty one.
                let usual = if words == 0 { abi::program::NULL } else { abi::program::ECHO };
                case.server_program.get_or_insert(usual.to_owned());
            });
        }
        if workload.has_pages() && entry.pages.is_some() {
            let pages = self.numbers("pages", None, &entry.pages, 0, |_| None)?;
            return Ok(multiply(drafts, &pages, |case, pages| {
                (case.client_pages, case.server_pages) = (Some(pages as u32), Some(pages as u32));
            }));
        }
        if workload.has_pages() {
            let client_pages = self.numbers("client_pages", None, &entry.client_pages, 0, |_| None)?;
            let server_pages = self.numbers("server_pages", None, &entry.server_pages, 0, |_| None)?;
            drafts = multiply(drafts, &client_pages, |case, pages| case.client_pages = Some(pages as u32));
            drafts = multiply(drafts, &server_pages, |case, pages| case.server_pages = Some(pages as u32));
        }
        Ok(drafts)
    }

    fn multiply_migrations(&self, mut drafts: Vec<Parameters>) -> Result<Vec<Parameters>, ConfigError> {
        let entry = self.entry;
        match entry.workload.get_ref() {
            Workload::Chain => {
                let servers = self.numbers("servers", None, &entry.servers, DEFAULT_CHAIN, |_| None)?;
                let moved = self.numbers("moved", None, &entry.moved, 0, |_| None)?;
                drafts = multiply(drafts, &servers, |case, servers| case.servers = Some(servers as u32));
                drafts = multiply(drafts, &moved, |case, moved| case.moved = Some(moved as u32));
                if entry.promote_after.is_some() {
                    let after = self.numbers("promote_after", None, &entry.promote_after, 0, |_| None)?;
                    drafts = multiply(drafts, &after, |case, after| {
                        case.promote_after = Some(after as u32);
                        case.moved = case.moved.filter(|_| entry.moved.is_some());
                    });
                }
            }
            Workload::Faults => {
                let fault = self.values("fault", &entry.fault, Fault::PageFault)?;
                drafts = multiply(drafts, &fault, |case, fault| case.fault = Some(fault));
                if entry.demote_after.is_some() {
                    let after = self.numbers("demote_after", None, &entry.demote_after, 0, |_| None)?;
                    drafts = multiply(drafts, &after, |case, after| case.demote_after = Some(after as u32));
                }
            }
            Workload::Reach => {
                let target = self.values("target", &entry.target, Reached::Neighbour)?;
                drafts = multiply(drafts, &target, |case, target| case.target = Some(target));
            }
            Workload::Slots => {
                let servers = self.numbers("servers", None, &entry.servers, 1, |_| None)?;
                drafts = multiply(drafts, &servers, |case, servers| case.servers = Some(servers as u32));
            }
            Workload::Migrate | Workload::MigrateUnderLoad => {
                let pages = self.numbers("server_pages", None, &entry.server_pages, 0, |_| None)?;
                let partners = self.numbers("partners", None, &entry.partners, 0, |_| None)?;
                let migration = self.values("migration", &entry.migration, Migration::OneByOne)?;
                let flush = self.values("flush", &entry.flush, Flush::Threshold)?;
                drafts = multiply(drafts, &pages, |case, pages| case.server_pages = Some(pages as u32));
                drafts = multiply(drafts, &partners, |case, partners| case.partners = Some(partners as u32));
                drafts = multiply(drafts, &migration, |case, migration| case.migration = Some(migration));
                drafts = multiply(drafts, &flush, |case, flush| case.flush = flush);
            }
            _ => {}
        }
        Ok(drafts)
    }

    /// Clients on all CPUs, and who serves them.
    fn multiply_crowds(&self, mut drafts: Vec<Parameters>) -> Result<Vec<Parameters>, ConfigError> {
        let entry = self.entry;
        let workload = *entry.workload.get_ref();
        if workload == Workload::Scaling {
            let serving = self.values("serving", &entry.serving, Serving::Pairs)?;
            return Ok(multiply(drafts, &serving, |case, serving| case.serving = Some(serving)));
        }
        if workload.has_handlers() {
            let shape = self.values("shape", &entry.shape, HandlerShape::Monolith)?;
            let key = "handlers_per_cpu";
            let handlers = self.numbers(
                key,
                self.overrides.handlers_per_cpu,
                &entry.handlers_per_cpu,
                DEFAULT_HANDLERS_PER_CPU,
                |_| None,
            )?;
            drafts = multiply(drafts, &shape, |case, shape| case.shape = Some(shape));
            drafts = multiply(drafts, &handlers, |case, count| case.handlers_per_cpu = Some(count as u32));
        }
        if workload == Workload::HandlerFault {
            let fault = self.values("fault", &entry.fault, Fault::PageFault)?;
            drafts = multiply(drafts, &fault, |case, fault| case.fault = Some(fault));
        }
        Ok(drafts)
    }

    fn values<T: Copy>(&self, key: &str, list: &Option<List<T>>, fallback: T) -> Result<Vec<T>, ConfigError> {
        match list {
            None => Ok(vec![fallback]),
            Some(list) => {
                check::not_empty(self.file, key, list)?;
                Ok(list.values.iter().map(|value| *value.get_ref()).collect())
            }
        }
    }

    fn numbers(
        &self,
        key: &'static str,
        override_value: Option<i64>,
        own: &Option<List<i64>>,
        fallback: i64,
        default: impl Fn(&ExperimentFile) -> Option<&List<i64>>,
    ) -> Result<Vec<u64>, ConfigError> {
        let workload = *self.entry.workload.get_ref();
        let check =
            |value| check::number(self.file, self.limits, workload, key, override_value, value, fallback);
        let Some(list) = own.as_ref().or(default(self.file)).filter(|_| override_value.is_none()) else {
            return Ok(vec![check(None)?]);
        };
        check::not_empty(self.file, key, list)?;
        list.values.iter().map(|value| check(Some(value))).collect()
    }

    /// `None`: as much as the case needs, at least the default.
    fn memory_sizes(&self) -> Result<Vec<Option<MemorySize>>, ConfigError> {
        let list = self.entry.memory.as_ref().or(self.file.content.defaults.memory.as_ref());
        match (self.overrides.memory, list) {
            (Some(memory), _) => Ok(vec![Some(memory)]),
            (None, None) => Ok(vec![None]),
            (None, Some(list)) => {
                check::not_empty(self.file, "memory", list)?;
                Ok(list.values.iter().map(|value| Some(*value.get_ref())).collect())
            }
        }
    }

    fn huge_pages(&self) -> Result<Vec<HugePages>, ConfigError> {
        let list = self.entry.huge_pages.as_ref().or(self.file.content.defaults.huge_pages.as_ref());
        let choices = match (self.overrides.huge_pages, list) {
            (Some(choice), _) => vec![choice],
            (None, list) => self.values("huge_pages", &list.cloned(), HugePagesChoice(HugePages::No))?,
        };
        Ok(choices.into_iter().map(|choice| choice.0).collect())
    }

    /// Numbers of guests at once; only `None` where nobody asks for processes of their own.
    fn guests(&self) -> Result<Vec<Option<u32>>, ConfigError> {
        let list = self.entry.guests.as_ref().or(self.file.content.defaults.guests.as_ref());
        let numbers = match (&self.overrides.guests, list) {
            (Some(numbers), _) => {
                let number = |number: &i64| self.numbers("guests", Some(*number), &None, 1, |_| None);
                numbers.iter().map(number).collect::<Result<Vec<_>, _>>()?.concat()
            }
            (None, Some(_)) => self.numbers("guests", None, &self.entry.guests, 1, |file| {
                file.content.defaults.guests.as_ref()
            })?,
            (None, None) => return Ok(vec![None]),
        };
        Ok(numbers.into_iter().map(|number| Some(number as u32)).collect())
    }

    fn pcid(&self, missed: &mut bool) -> Result<Vec<bool>, ConfigError> {
        let list = self.entry.pcid.as_ref().or(self.file.content.defaults.pcid.as_ref());
        let choices: BTreeMap<bool, Option<Range<usize>>> = match (self.overrides.pcid, list) {
            (Some(choice), _) => self.pcid_values(choice, missed).map(|on| (on, None)).collect(),
            (None, Some(list)) => {
                check::not_empty(self.file, "pcid", list)?;
                let with_span = |choice: &Spanned<PcidChoice>| (*choice.get_ref(), choice.span());
                let choices = list.values.iter().map(with_span);
                choices
                    .flat_map(|(choice, span)| {
                        self.pcid_values(choice, missed)
                            .map(|on| (on, Some(span.clone())))
                            .collect::<Vec<_>>()
                    })
                    .collect()
            }
            (None, None) => self.pcid_values(PcidChoice::Auto, missed).map(|on| (on, None)).collect(),
        };
        if let (Some(span), Err(reason)) = (choices.get(&true), &self.limits.pcid) {
            return Err(check::no_pcid(self.file, span.clone(), reason));
        }
        Ok(choices.into_keys().collect())
    }

    fn pcid_values(&self, choice: PcidChoice, missed: &mut bool) -> impl Iterator<Item = bool> + use<> {
        let (off, on) = match choice {
            PcidChoice::Off => (true, false),
            PcidChoice::On => (false, true),
            PcidChoice::Auto => {
                *missed |= self.limits.pcid.is_err();
                (true, self.limits.pcid.is_ok())
            }
        };
        [(false, off), (true, on)].into_iter().filter(|(_, wanted)| *wanted).map(|(value, _)| value)
    }
}

#[cfg(test)]
#[path = "expand_tests.rs"]
mod tests;
