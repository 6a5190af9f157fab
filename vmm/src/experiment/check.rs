//! What an experiment file must not ask for.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use abi::address::{CPU_AREA_STRIDE, CPU_COUNT_MAX, MEMORY_SIZE_MAX, PAGE_SIZE};
use abi::call::REGISTER_WORDS;
use toml::Spanned;

use super::error::ConfigError;
use super::file::{CaseEntry, ExperimentFile};
use super::list::List;
use super::overrides::Overrides;
use super::programs;
use crate::case::key::{Key, Kind, Scope};
use crate::case::parameter::{Gate, Transfer};
use crate::case::seconds::Seconds;
use crate::case::size::MemorySize;
use crate::case::value::Value;
use crate::case::workload::Refused;
use crate::case::{Parameters, keys};
use crate::machine::guest::HugePages;
use crate::system::placement::Placement;
use crate::workload::Workload;

/// What this host and this build allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whether the guest's CPU has PCIDs, or why not.
    pub pcid: Result<(), String>,
    /// Whether segments have bases in compatibility mode, without which programs for 32 bits cannot run, or why not.
    pub segments: Result<(), String>,
    /// Gates that the guest's CPU does not have in compatibility mode, and why.
    pub missing_gates: BTreeMap<Gate, String>,
    /// Whether several guests run at once, or why not.
    pub many_guests: Result<(), String>,
    /// Most vCPUs of one guest.
    pub vcpus_max: u32,
    /// Names of the programs at hand; those of builds for 32 bits end with [`abi::program::SUFFIX_32`].
    pub programs: Vec<String>,
    /// Launches of a case that says nothing about them.
    pub launches: u32,
    /// How long a case measures that says nothing about it; `None`: it makes a number of round trips.
    pub seconds: Option<Seconds>,
}

impl Limits {
    /// For reading files without a host to run them on: everything that any host may have.
    pub fn any_host() -> Limits {
        Limits {
            pcid: Ok(()),
            segments: Ok(()),
            missing_gates: BTreeMap::new(),
            many_guests: Ok(()),
            vcpus_max: CPU_COUNT_MAX,
            programs: programs::built_in(),
            launches: 1,
            seconds: None,
        }
    }

    /// Samples that all guests of a launch may leave where they measure for a time. Where ring 0 is emulated round trips are slow,
    /// and a guest's kernel that has much to map is, too.
    pub(super) fn samples_room(&self) -> u64 {
        if self.seconds.is_some() { 4 << 20 } else { 128 << 10 }
    }

    /// Whether programs for 32 bits can enter the kernel by this gate. Where they cannot run at all, that is the reason to be
    /// told.
    pub(super) fn gate(&self, gate: Gate) -> Result<(), String> {
        match self.missing_gates.get(&gate) {
            Some(reason) if self.segments.is_ok() => Err(reason.clone()),
            _ => Ok(()),
        }
    }
}

/// Memory that a guest needs whatever the case: kernel, programs, page tables, the plan and the reports.
const MEMORY_BASE_BYTES: u64 = 16 << 20;

/// Memory that each server of many needs: image, stack, page tables and the kernel's objects, with some room to spare.
const SERVER_BYTES: u64 = 64 << 10;

/// Memory that each thread of many needs: a stack of one page, the kernel's objects, with some room to spare.
const THREAD_BYTES: u64 = 8 << 10;

/// Refuses a value of `key` that is out of range; `span` is its place, if it does not come from the command line.
pub(super) fn range(
    file: &ExperimentFile,
    limits: &Limits,
    workload: &dyn Workload,
    key: &Key,
    value: Value,
    span: Option<Range<usize>>,
) -> Result<(), ConfigError> {
    let (Kind::Number(least, most), Value::Number(number)) = (key.kind, value) else { return Ok(()) };
    let scope = Scope { channels: workload.channels().len() as u64, vcpus_max: limits.vcpus_max };
    let (most, why) = most(&scope);
    if (least..=most).contains(&number) {
        return Ok(());
    }
    let message = format!("`{} = {number}` is out of range", key.name);
    let fix = format!("choose a number from {least} to {most} ({why})");
    Err(match span {
        Some(span) => file.error_at(span, message, fix),
        None => ConfigError::on_command_line(message, fix),
    })
}

/// Refuses an empty list, which makes no case at all.
pub(super) fn some_values(
    file: &ExperimentFile,
    key: &Key,
    values: &[Spanned<Value>],
    span: Range<usize>,
) -> Result<(), ConfigError> {
    if !values.is_empty() {
        return Ok(());
    }
    let fix = format!("give at least one value, or remove `{}`", key.name);
    Err(file.error_at(span, format!("the list `{}` is empty", key.name), fix))
}

pub(super) fn not_empty<T>(file: &ExperimentFile, key: &str, list: &List<T>) -> Result<(), ConfigError> {
    if list.values.is_empty() {
        let fix = format!("give at least one value, or remove `{key}`");
        return Err(file.error_at(list.span.clone(), format!("the list `{key}` is empty"), fix));
    }
    Ok(())
}

pub(super) fn experiment_name(file: &ExperimentFile, name: &Spanned<String>) -> Result<(), ConfigError> {
    plain_name(file, name, "name of the experiment")
}

fn plain_name(file: &ExperimentFile, name: &Spanned<String>, what: &str) -> Result<(), ConfigError> {
    let text = name.get_ref();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.is_empty() && text.len() <= 64 && text.chars().all(is_plain) {
        return Ok(());
    }
    let fix = "use 1 to 64 letters, digits, `-` and `_`: the name goes into file names";
    Err(file.error_at(name.span(), format!("`{text}` cannot be the {what}"), fix))
}

/// Refuses keys that mean nothing for the workload, and asks for those that it needs.
pub(super) fn keys_of_workload(file: &ExperimentFile, entry: &CaseEntry) -> Result<(), ConfigError> {
    let workload = *entry.workload.get_ref();
    if let Some(name) = &entry.name {
        plain_name(file, name, "name of a case")?;
    }
    for given in entry.keys.iter() {
        let key = given.key;
        if key.standing == crate::case::key::Standing::ItsWorkloads && !workload.has(key) {
            let message = format!("the workload `{workload}` has no `{}`", key.name);
            let fix = format!("remove `{}`, or choose another workload", key.name);
            return Err(file.error_at(given.span.clone(), message, fix));
        }
        if let Some(other) = key.stands_for.iter().find(|other| entry.keys.get(other).is_some()) {
            let parts = key.stands_for.iter().map(|part| format!("`{}`", part.name)).collect::<Vec<_>>();
            let (key, parts) = (key.name, parts.join(" and "));
            let message = format!("`{key}` and `{}`: the {key} are given twice", other.name);
            let fix = format!("`{key}` sets both; keep either `{key}`, or {parts}");
            return Err(file.error_at(given.span.clone(), message, fix));
        }
    }
    placements_given(file, entry)
}

fn placements_given(file: &ExperimentFile, entry: &CaseEntry) -> Result<(), ConfigError> {
    let workload = *entry.workload.get_ref();
    let shares_space = entry
        .keys
        .get(&keys::SAME_SPACE)
        .is_some_and(|given| given.values.iter().all(|value| *value.get_ref() == Value::Flag(true)));
    let is_missing = |key: &Key| workload.has(key) && entry.keys.get(key).is_none();
    let missing = match shares_space {
        false if is_missing(&keys::CLIENT) => keys::CLIENT.name,
        false if is_missing(&keys::SERVER) => keys::SERVER.name,
        _ if is_missing(&keys::RELAY) => keys::RELAY.name,
        _ => return Ok(()),
    };
    let message = format!("the workload `{workload}` needs the placement of its {missing}");
    // The client's samples do not fit into a small space.
    let small = if missing == keys::CLIENT.name { "" } else { "`\"small\"`, " };
    let fix = format!("add `{missing} = \"user\"`, `\"kernel\"`, {small}`\"large\"` or a list of them");
    Err(file.error_at(entry.workload.span(), message, fix))
}

/// The error of a combination, at the first of the keys to blame that the file gives.
pub(super) fn refused(
    file: &ExperimentFile,
    entry: &CaseEntry,
    span: Range<usize>,
    refused: Refused,
) -> ConfigError {
    let blamed = refused.keys.iter().find_map(|key| entry.keys.span(key));
    file.error_at(blamed.unwrap_or(span), refused.message, refused.fix)
}

/// Refuses what only the combination makes impossible.
pub(super) fn combination(
    file: &ExperimentFile,
    entry: &CaseEntry,
    span: Range<usize>,
    case: &Parameters,
) -> Result<(), ConfigError> {
    let is_in_kernel = |placement: Option<Placement>| placement.is_some_and(Placement::is_in_kernel);
    let in_kernel = is_in_kernel(Some(case.client)) || is_in_kernel(case.server);
    if case.same_space && in_kernel {
        let span = entry.keys.span(&keys::SAME_SPACE).unwrap_or(span);
        let fix = "set client and server to \"user\", or put the kernel placements into a [[case]] without `same_space`";
        return Err(file.error_at(span, "only user placements can share a user space", fix));
    }
    let is_short = case.number(&keys::WORDS).is_none_or(|words| words <= REGISTER_WORDS);
    if case.transfer == Transfer::Direct && !(is_in_kernel(case.server) && is_short) {
        let span = entry.keys.span(&keys::TRANSFER).unwrap_or(span);
        let message = "a direct transfer needs a server in the kernel and a message of at most 4 words";
        let fix = "put `transfer = \"direct\"` into a [[case]] of its own with `server = \"kernel\"` and short `words`";
        return Err(file.error_at(span, message, fix));
    }
    if let Err(refusal) = case.workload.check(case) {
        return Err(refused(file, entry, span, refusal));
    }
    let memory_span = entry.keys.span(&keys::MEMORY).or(file.content.defaults.span(&keys::MEMORY));
    let needed = memory_needed(case);
    if case.memory_bytes < needed {
        let message =
            format!("{} of memory are too little for this case", MemorySize { bytes: case.memory_bytes });
        let fix = format!("set `memory` to {} or more", MemorySize::mebibytes(needed.div_ceil(1 << 20)));
        return Err(file.error_at(memory_span.unwrap_or(span), message, fix));
    }
    if case.huge_pages == HugePages::Reserved && !case.memory_bytes.is_multiple_of(2 << 20) {
        let message =
            format!("{} of memory are no whole huge pages", MemorySize { bytes: case.memory_bytes });
        return Err(file.error_at(memory_span.unwrap_or(span), message, "choose a multiple of 2M"));
    }
    if case.memory_bytes > MEMORY_SIZE_MAX {
        let message = format!("{} of memory are too much", MemorySize { bytes: case.memory_bytes });
        let fix = format!("the guest's address map has room for {}", MemorySize { bytes: MEMORY_SIZE_MAX });
        return Err(file.error_at(memory_span.unwrap_or(span), message, fix));
    }
    Ok(())
}

/// Refuses to repeat what a guest survives only once, and to trace it.
pub(super) fn not_repeated(file: &ExperimentFile, entry: &CaseEntry) -> Result<(), ConfigError> {
    let workload = entry.workload.get_ref();
    for key in [&keys::SAMPLES, &keys::SECONDS, &keys::WARM_UP] {
        if let Some(span) = entry.keys.span(key) {
            let message = format!("the workload `{workload}` is measured once in each guest");
            let fix = format!("remove `{}`, and set `launches` to measure it more often", key.name);
            return Err(file.error_at(span, message, fix));
        }
    }
    for key in [&keys::TRACE_ROUND_TRIPS, &keys::TLB_MODELS] {
        let asks = |given: &&super::table::Given| {
            !given.texts.is_empty() || given.values.iter().any(|value| *value.get_ref() != Value::Number(0))
        };
        if let Some(given) = entry.keys.get(key).filter(asks) {
            let message = format!("`{workload}` is measured once and not traced");
            return Err(file.error_at(given.span.clone(), message, format!("remove `{}`", key.name)));
        }
    }
    Ok(())
}

/// Refuses times that a guest cannot measure for.
pub(super) fn seconds(
    file: &ExperimentFile,
    seconds: Seconds,
    span: Option<Range<usize>>,
    warm_up: u64,
    deadline_seconds: u64,
) -> Result<Seconds, ConfigError> {
    let (message, fix) = if !(Seconds::MIN..=Seconds::MAX).contains(&seconds) {
        let fix = format!("choose a time from {} to {} seconds", Seconds::MIN, Seconds::MAX);
        (format!("`seconds = {seconds}` is out of range"), fix)
    } else if warm_up == 0 {
        let fix = "give `samples` instead, or a `warm_up` of 1 or more";
        let message = "`seconds` needs round trips before the first mark, to learn how many fill the time";
        (message.to_owned(), fix.to_owned())
    } else if seconds.duration() * 2 > Duration::from_secs(deadline_seconds) {
        let message =
            format!("`seconds = {seconds}` comes too near to `deadline_seconds = {deadline_seconds}`");
        (message, "raise `deadline_seconds` to twice `seconds` or more".to_owned())
    } else {
        return Ok(seconds);
    };
    Err(match span {
        Some(span) => file.error_at(span, message, fix),
        None => ConfigError::on_command_line(message, fix),
    })
}

/// Most round trips of each thread in a case that measures for a time: those that there is room for, in its memory and, of all
/// guests together, in the one that runs the experiment.
pub(super) fn most_round_trips(case: &Parameters, limits: &Limits) -> u64 {
    let needed = memory_needed(&Parameters { samples: 0, ..case.clone() });
    let in_memory = case.memory_bytes.saturating_sub(needed) / 8;
    let in_all = limits.samples_room() / u64::from(case.guests.unwrap_or(1));
    let of_each = u64::from(case.measuring_threads()) * case.workload.channels().len() as u64;
    (in_memory.min(in_all) / of_each).max(1)
}

/// Memory that a case needs, bytes, with some room to spare.
pub(super) fn memory_needed(case: &Parameters) -> u64 {
    let pages = u64::from(case.client_pages()) + u64::from(case.server_pages());
    let crowd = case.workload.crowd(case);
    MEMORY_BASE_BYTES
        + crowd.servers * SERVER_BYTES
        + crowd.threads * THREAD_BYTES
        + u64::from(case.vcpus) * CPU_AREA_STRIDE
        + pages * PAGE_SIZE
        + case.sample_count() * 8
}

pub(super) fn no_pcid(file: &ExperimentFile, span: Option<Range<usize>>, reason: &str) -> ConfigError {
    let message = format!("pcid = \"on\" is not possible here: {reason}");
    let fix = "use pcid = \"auto\" (on where the CPU has PCIDs), or run on a host that offers them to guests";
    match span {
        Some(span) => file.error_at(span, message, fix),
        None => ConfigError::on_command_line(message, fix),
    }
}
/// What the traces of a run may take together. Who asks for traces on the command line has the time.
pub fn trace_budget(file: &ExperimentFile, overrides: &Overrides) -> Result<Option<Duration>, ConfigError> {
    const SECONDS: RangeInclusive<i64> = 1..=86_400;
    let Some(seconds) = &file.content.trace_budget_seconds else { return Ok(None) };
    if !SECONDS.contains(seconds.get_ref()) {
        let message = format!("`trace_budget_seconds` is {}", seconds.get_ref());
        let fix = "use 1 to 86400, or set `trace_round_trips` to 0 to trace nothing";
        return Err(file.error_at(seconds.span(), message, fix));
    }
    Ok(match overrides.get(&keys::TRACE_ROUND_TRIPS) {
        Some(_) => None,
        None => Some(Duration::from_secs(seconds.get_ref().unsigned_abs())),
    })
}
