//! What an experiment file must not ask for.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use abi::address::{CPU_AREA_STRIDE, CPU_COUNT_MAX, HOME_COUNT, MEMORY_SIZE_MAX, PAGE_SIZE, SLOT_COUNT};
use abi::call::{MESSAGE_WORDS_MAX, REGISTER_WORDS};
use abi::region::{SAMPLES_SIZE_MAX, THREADS_MAX, WORKING_SET_PAGES_MAX};
use toml::Spanned;

use super::error::{ConfigError, suggest};
use super::file::{CaseEntry, ExperimentFile};
use super::list::{List, span_of};
use super::overrides::Overrides;
use crate::case::Parameters;
use crate::case::parameter::{Gate, HandlerShape, Migration, Serving, Transfer};
use crate::case::seconds::Seconds;
use crate::case::size::MemorySize;
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
    /// Most vCPUs of one guest.
    pub vcpus_max: u32,
    /// Names of the programs at hand.
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
            vcpus_max: CPU_COUNT_MAX,
            programs: abi::program::ALL.map(str::to_owned).to_vec(),
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

/// Most partners of a server that migrates with its group: those that the guest's kernel remembers.
const PARTNERS_MAX: i64 = abi::plan::PARTNERS_MAX as i64;

/// Memory that each server of many needs: image, stack, page tables and the kernel's objects, with some room to spare.
const SERVER_BYTES: u64 = 64 << 10;

/// Memory that each thread of many needs: a stack of one page, the kernel's objects, with some room to spare.
const THREAD_BYTES: u64 = 8 << 10;

/// Most guests at once.
const GUESTS_MAX: i64 = 1024;

/// Longest deadline: a day.
const DEADLINE_SECONDS_MAX: i64 = 86_400;

/// The numbers that `key` may have, and what to say about the upper bound.
fn range_of(key: &str, limits: &Limits, workload: Workload) -> (RangeInclusive<i64>, &'static str) {
    let samples_max = SAMPLES_SIZE_MAX / 8 / workload.channels().len() as u64;
    match key {
        "words" => (0..=MESSAGE_WORDS_MAX as i64, "the longest message"),
        "pages" | "client_pages" | "server_pages" => {
            (0..=i64::from(WORKING_SET_PAGES_MAX), "the largest working set")
        }
        "servers" if workload == Workload::Slots => (1..=SLOT_COUNT as i64, "the slots of the kernel"),
        "servers" => (1..=HOME_COUNT as i64, "the most servers that may migrate in one system"),
        "promote_after" | "demote_after" => (1..=i64::from(u32::MAX), "more than any case needs"),
        "handlers_per_cpu" => (1..=i64::from(THREADS_MAX), "the most threads of one server"),
        "moved" => (0..=HOME_COUNT as i64, "the most servers that may migrate in one system"),
        "partners" => (0..=PARTNERS_MAX, "the partners that a server remembers"),
        "vcpus" if limits.vcpus_max == CPU_COUNT_MAX => {
            (1..=i64::from(CPU_COUNT_MAX), "the room in the guest's address map")
        }
        "vcpus" => (1..=i64::from(limits.vcpus_max), "the most that KVM allows here"),
        "guests" => (1..=GUESTS_MAX, "more than one machine is likely to hold"),
        "samples" => (1..=samples_max as i64, "the room for samples"),
        "warm_up" => (0..=1_000_000_000, "longer than any case needs"),
        "launches" => (1..=10_000, "longer than any case needs"),
        "trace_round_trips" => (0..=1_000, "`inkbed trace` takes more"),
        _ => (1..=DEADLINE_SECONDS_MAX, "a day"),
    }
}

/// The value of `key`: from the command line, from the file, or the fallback.
pub(super) fn number(
    file: &ExperimentFile,
    limits: &Limits,
    workload: Workload,
    key: &str,
    override_value: Option<i64>,
    value: Option<&Spanned<i64>>,
    fallback: i64,
) -> Result<u64, ConfigError> {
    let number = override_value.or(value.map(|value| *value.get_ref())).unwrap_or(fallback);
    let (range, upper) = range_of(key, limits, workload);
    if range.contains(&number) {
        return Ok(number as u64);
    }
    let message = format!("`{key} = {number}` is out of range");
    let fix = format!("choose a number from {} to {} ({upper})", range.start(), range.end());
    match value {
        Some(value) if override_value.is_none() => Err(file.error_at(value.span(), message, fix)),
        _ => Err(ConfigError::on_command_line(message, fix)),
    }
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
    let given: [(&str, bool, Option<Range<usize>>); 22] = [
        ("server", workload.has_server(), span_of(&entry.server)),
        ("relay", workload == Workload::Relay, span_of(&entry.relay)),
        ("other_client", workload == Workload::Alternate, span_of(&entry.other_client)),
        ("same_space", workload.may_share_space(), span_of(&entry.same_space)),
        ("transfer", workload.has_transfer(), span_of(&entry.transfer)),
        ("words", workload.has_words(), span_of(&entry.words)),
        ("pages", workload.has_pages(), span_of(&entry.pages)),
        ("client_pages", workload.has_pages(), span_of(&entry.client_pages)),
        ("server_pages", workload.has_pages() || workload.migrates(), span_of(&entry.server_pages)),
        ("servers", workload.has_many_servers(), span_of(&entry.servers)),
        ("moved", workload == Workload::Chain, span_of(&entry.moved)),
        ("partners", workload.migrates(), span_of(&entry.partners)),
        ("migration", workload.migrates(), span_of(&entry.migration)),
        ("flush", workload.migrates(), span_of(&entry.flush)),
        ("serving", workload == Workload::Scaling, span_of(&entry.serving)),
        ("shape", workload.has_handlers(), span_of(&entry.shape)),
        ("handlers_per_cpu", workload.has_handlers(), span_of(&entry.handlers_per_cpu)),
        ("fault", workload.has_fault(), span_of(&entry.fault)),
        ("target", workload == Workload::Reach, span_of(&entry.target)),
        ("demote_after", workload == Workload::Faults, span_of(&entry.demote_after)),
        ("promote_after", workload == Workload::Chain, span_of(&entry.promote_after)),
        // Of all programs one reads what it is told to.
        (
            "server_program",
            workload.has_server() && workload != Workload::Reach,
            entry.server_program.as_ref().map(Spanned::span),
        ),
    ];
    for (key, meaningful, span) in given {
        if let (false, Some(span)) = (meaningful, span) {
            let message = format!("the workload `{workload}` has no `{key}`");
            return Err(file.error_at(span, message, format!("remove `{key}`, or choose another workload")));
        }
    }
    if let (Some(pages), true) = (&entry.pages, entry.client_pages.is_some() || entry.server_pages.is_some())
    {
        let fix = "`pages` sets both; keep either `pages`, or `client_pages` and `server_pages`";
        return Err(file.error_at(pages.span.clone(), "the pages are given twice", fix));
    }
    placements_given(file, entry)
}

fn placements_given(file: &ExperimentFile, entry: &CaseEntry) -> Result<(), ConfigError> {
    let workload = *entry.workload.get_ref();
    let shares_space =
        entry.same_space.as_ref().is_some_and(|list| list.values.iter().all(|value| *value.get_ref()));
    let missing = if entry.client.is_none() && !shares_space {
        "client"
    } else if workload.has_server() && entry.server.is_none() && !shares_space {
        "server"
    } else if workload == Workload::Relay && entry.relay.is_none() {
        "relay"
    } else {
        return Ok(());
    };
    let message = format!("the workload `{workload}` needs the placement of its {missing}");
    // The client's samples do not fit into a small space.
    let small = if missing == "client" { "" } else { "`\"small\"`, " };
    let fix = format!("add `{missing} = \"user\"`, `\"kernel\"`, {small}`\"large\"` or a list of them");
    Err(file.error_at(entry.workload.span(), message, fix))
}

/// The program of the server where it does not depend on the message.
pub(super) fn server_program(
    file: &ExperimentFile,
    limits: &Limits,
    entry: &CaseEntry,
) -> Result<Option<String>, ConfigError> {
    if let Some(program) = &entry.server_program {
        let name = program.get_ref();
        if limits.programs.contains(name) {
            return Ok(Some(name.clone()));
        }
        let fix = suggest(name, limits.programs.iter().map(String::as_str));
        return Err(file.error_at(program.span(), format!("there is no program `{name}`"), fix));
    }
    let usual = match entry.workload.get_ref() {
        Workload::Directions => Some(abi::program::CLOCK),
        Workload::Alternate => Some(abi::program::NULL),
        Workload::Touch => Some(abi::program::TOUCH),
        Workload::Empty
        | Workload::NullSystemCall
        | Workload::Call
        | Workload::Relay
        | Workload::Chain
        | Workload::Migrate
        | Workload::MigrateUnderLoad => None,
        Workload::Slots | Workload::Scaling | Workload::HandlerCall | Workload::HandlerWakeUp => {
            Some(abi::program::NULL)
        }
        Workload::Faults | Workload::HandlerFault | Workload::Reach => Some(abi::program::CRASH),
    };
    Ok(usual.map(str::to_owned))
}

/// Refuses what only the combination makes impossible.
pub(super) fn combination(
    file: &ExperimentFile,
    entry: &CaseEntry,
    span: Range<usize>,
    case: &Parameters,
) -> Result<(), ConfigError> {
    let in_kernel = case.client == Placement::Kernel || case.server == Some(Placement::Kernel);
    if case.same_space && in_kernel {
        let span = span_of(&entry.same_space).unwrap_or(span);
        let fix = "set client and server to \"user\", or put the kernel placements into a [[case]] without `same_space`";
        return Err(file.error_at(span, "only user placements can share a user space", fix));
    }
    let is_short = case.words.is_none_or(|words| words <= REGISTER_WORDS);
    if case.transfer == Transfer::Direct && !(case.server == Some(Placement::Kernel) && is_short) {
        let span = span_of(&entry.transfer).unwrap_or(span);
        let message = "a direct transfer needs a server in the kernel and a message of at most 4 words";
        let fix = "put `transfer = \"direct\"` into a [[case]] of its own with `server = \"kernel\"` and short `words`";
        return Err(file.error_at(span, message, fix));
    }
    // A fresh server first runs when the scheduler says: with several of them, page-table loads are nobody's rule.
    if !case.migration.is_none_or(Migration::is_in_place)
        && case.partners.is_some_and(|partners| partners > 0)
    {
        let span = span_of(&entry.migration).unwrap_or(span);
        let message = "`relocate` and `restart` are measured with a server alone";
        let fix = "put them into a [[case]] of their own without `partners`";
        return Err(file.error_at(span, message, fix));
    }
    if case.moved > case.servers {
        let span = span_of(&entry.moved).unwrap_or(span);
        let message = "more servers are to move than the chain has";
        return Err(file.error_at(span, message, "raise `servers`, or lower `moved`"));
    }
    policy(file, entry, &span, case)?;
    crowd(file, entry, &span, case)?;
    let memory_span =
        entry.memory.as_ref().or(file.content.defaults.memory.as_ref()).map(|list| list.span.clone());
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

/// Refuses what the kernel would decide too late, or not at all.
fn policy(
    file: &ExperimentFile,
    entry: &CaseEntry,
    span: &Range<usize>,
    case: &Parameters,
) -> Result<(), ConfigError> {
    let place = |list: &Option<List<i64>>| span_of(list).unwrap_or(span.clone());
    if case.demote_after.is_some() && case.server != Some(Placement::Kernel) {
        let fix = "put `demote_after` into a [[case]] of its own with `server = \"kernel\"`";
        let message = "only faults in the kernel cost a server its trust";
        return Err(file.error_at(place(&entry.demote_after), message, fix));
    }
    if case.promote_after.is_some() && case.moved.is_some() {
        let message = "servers that move into the kernel by themselves are not moved";
        return Err(file.error_at(place(&entry.promote_after), message, "remove `moved`"));
    }
    if let Some(messages) = case.promote_after
        && u64::from(messages) > case.warm_up
    {
        let message = format!("the servers have had {} messages when the measured part begins", case.warm_up);
        let fix = format!("raise `warm_up` to {messages} or more, or lower `promote_after`");
        return Err(file.error_at(place(&entry.promote_after), message, fix));
    }
    Ok(())
}

/// Refuses numbers of CPUs and handlers that there is no room for.
fn crowd(
    file: &ExperimentFile,
    entry: &CaseEntry,
    span: &Range<usize>,
    case: &Parameters,
) -> Result<(), ConfigError> {
    if case.serving == Some(Serving::Across) && case.vcpus == 1 {
        let span = span_of(&entry.serving).unwrap_or(span.clone());
        let message = "a call across CPUs needs two of them";
        let fix = "put `serving = \"across\"` into a [[case]] of its own with `vcpus` of 2 or more";
        return Err(file.error_at(span, message, fix));
    }
    let in_kernel = case.server == Some(Placement::Kernel);
    let (room, what) = match (case.shape, in_kernel) {
        (Some(HandlerShape::Monolith), _) => (u64::from(THREADS_MAX), "is the most threads of one server"),
        (Some(HandlerShape::Natural), true) => (SLOT_COUNT as u64, "is the number of slots of the kernel"),
        _ => return Ok(()),
    };
    if case.handlers() > room {
        let list = entry.handlers_per_cpu.as_ref();
        let span = list.map_or(span.clone(), |list| list.span.clone());
        let (per_cpu, vcpus) = (case.handlers_per_cpu.unwrap_or(0), case.vcpus);
        let message =
            format!("{per_cpu} handlers on each of {vcpus} CPUs are {}; {room} {what}", case.handlers());
        let fix = "lower `handlers_per_cpu`, or `vcpus`";
        return Err(file.error_at(span, message, fix));
    }
    Ok(())
}

/// Refuses to repeat what a guest survives only once, and to trace it.
pub(super) fn not_repeated(file: &ExperimentFile, entry: &CaseEntry) -> Result<(), ConfigError> {
    let number = |value: &Option<Spanned<i64>>| value.as_ref().map(Spanned::span);
    let given = [
        ("samples", number(&entry.samples)),
        ("seconds", entry.seconds.as_ref().map(Spanned::span)),
        ("warm_up", number(&entry.warm_up)),
    ];
    for (key, span) in given {
        if let Some(span) = span {
            let message =
                format!("the workload `{}` is measured once in each guest", entry.workload.get_ref());
            let fix = format!("remove `{key}`, and set `launches` to measure it more often");
            return Err(file.error_at(span, message, fix));
        }
    }
    let round_trips = entry.trace_round_trips.as_ref().filter(|value| *value.get_ref() != 0);
    let models = entry.tlb_models.as_ref().filter(|list| !list.values.is_empty());
    let traced = round_trips.map(|value| ("trace_round_trips", value.span()));
    if let Some((key, span)) = traced.or(models.map(|list| ("tlb_models", list.span.clone()))) {
        let message = format!("`{}` is measured once and not traced", entry.workload.get_ref());
        return Err(file.error_at(span, message, format!("remove `{key}`")));
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
    let pages = u64::from(case.client_pages.unwrap_or(0)) + u64::from(case.server_pages.unwrap_or(0));
    let servers = match (case.shape, case.serving) {
        (Some(HandlerShape::Natural), _) => case.handlers(),
        (_, Some(Serving::Pairs)) => case.vcpus.into(),
        _ => u64::from(case.servers.unwrap_or(0)) + u64::from(case.partners.unwrap_or(0)),
    };
    let threads = match case.shape {
        Some(HandlerShape::Monolith) => case.handlers(),
        _ => 0,
    };
    MEMORY_BASE_BYTES
        + servers * SERVER_BYTES
        + threads * THREAD_BYTES
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
    Ok(match overrides.trace_round_trips {
        Some(_) => None,
        None => Some(Duration::from_secs(seconds.get_ref().unsigned_abs())),
    })
}
