//! What an experiment file may ask of programs that are built for 32 bits: small spaces and large ones.

use std::ops::Range;

use abi::address::{PAGE_SIZE, SMALL_SIZE, SMALL_SLOT_SIZES};
use abi::region::{SAMPLES_OFFSET_32, size_32};
use toml::Spanned;

use super::error::{ConfigError, suggest};
use super::file::{CaseEntry, ExperimentFile};
use super::table::Given;
use crate::case::key::{Key, Kind};
use crate::case::parameter::{Gate, Transfer};
use crate::case::size::MemorySize;
use crate::case::value::{Value, Word};
use crate::case::workload::Moves;
use crate::case::{Parameters, keys};
use crate::system::Participant;
use crate::system::placement::Placement;
use crate::tlb::{BUILT_IN, Model};

/// Refuses placements that the workload does not have, and keys that mean nothing for the placements.
pub(super) fn keys_of_placements(
    file: &ExperimentFile,
    entry: &CaseEntry,
    cases: &[Parameters],
) -> Result<(), ConfigError> {
    let workload = *entry.workload.get_ref();
    if !workload.nature().exists_in_32_bits
        && let Some((span, placement)) = placements(entry).find(|(_, placement)| placement.is_32_bit())
    {
        let message = format!("the workload `{workload}` has no placement `{placement}`");
        let fix = "programs for 32 bits are measured with one client; use `user` and `kernel` here";
        return Err(file.error_at(span, message, fix));
    }
    if let (Some(slots), false) = (entry.keys.get(&keys::SLOT_SIZE), cases.iter().any(Parameters::has_small))
    {
        let message = "only programs in small spaces have slots to choose";
        let fix = "place a program with `server = \"small\"`, or remove `slot_size`";
        return Err(file.error_at(slots.span.clone(), message, fix));
    }
    for slot in entry.keys.get(&keys::SLOT_SIZE).iter().flat_map(|given| &given.values) {
        if let Value::Size(size) = slot.get_ref()
            && !SMALL_SLOT_SIZES.contains(&size.bytes)
        {
            let sizes = SMALL_SLOT_SIZES.map(|bytes| MemorySize { bytes }.to_string()).join(", ");
            let message = format!("there are no slots of {size}");
            return Err(file.error_at(slot.span(), message, format!("choose one of {sizes}")));
        }
    }
    if let (Some(gates), false) = (entry.keys.get(&keys::GATE), cases.iter().any(Parameters::has_32_bit)) {
        let message = "only programs for 32 bits have a gate to choose";
        let fix = "place a program with `\"small\"` or `\"large\"`, or remove `gate`";
        return Err(file.error_at(gates.span.clone(), message, fix));
    }
    Ok(())
}

/// All placements that the entry names, each with its place.
fn placements(entry: &CaseEntry) -> impl Iterator<Item = (Range<usize>, Placement)> {
    [&keys::CLIENT, &keys::SERVER, &keys::RELAY, &keys::OTHER_CLIENT]
        .into_iter()
        .filter_map(|key| entry.keys.get(key))
        .flat_map(|given| &given.values)
        .filter_map(|value| Some((value.span(), Placement::of(*value.get_ref())?)))
}

/// Refuses combinations that the kernel would refuse, and says why.
pub(super) fn check(
    file: &ExperimentFile,
    entry: &CaseEntry,
    span: Range<usize>,
    case: &Parameters,
) -> Result<(), ConfigError> {
    if !case.has_32_bit() {
        return Ok(());
    }
    let client = entry.keys.span(&keys::CLIENT).unwrap_or(span.clone());
    let refused = |message: &str, fix: &str| Err(file.error_at(client.clone(), message, fix));
    if case.same_space {
        return refused(
            "programs for 32 bits share no space",
            "put `same_space` into a [[case]] of its own with `user` placements",
        );
    }
    if case.client == Placement::Small {
        return refused(
            "the client drives the case, and its samples do not fit into a slot",
            "use `client = \"large\"`: 32 bits as well, in a space of its own",
        );
    }
    if case.has_small() && case.way().any(|placement| placement == Placement::User) {
        return refused(
            "a 64-bit program in user space could read and write every small space: 64-bit mode checks no limit of a \
             segment, and the pages of small spaces are mapped in all spaces",
            "use `client = \"large\"` (32 bits), or put the `user` placements into a [[case]] of their own",
        );
    }
    if case.transfer == Transfer::Direct {
        return refused(
            "a direct transfer runs the server's 64-bit code on the caller's thread, which is a 32-bit one",
            "put `transfer = \"direct\"` into a [[case]] of its own with `client = \"user\"` or `\"kernel\"`",
        );
    }
    sizes(file, entry, &span, case)
}

/// Working sets must fit into slots and regions.
fn sizes(
    file: &ExperimentFile,
    entry: &CaseEntry,
    span: &Range<usize>,
    case: &Parameters,
) -> Result<(), ConfigError> {
    let pages_span =
        |own: &Key| entry.keys.span(own).or(entry.keys.span(&keys::PAGES)).unwrap_or(span.clone());
    let client_span = pages_span(&keys::CLIENT_PAGES);
    let server_span = pages_span(&keys::SERVER_PAGES);
    let needed = size_32(1, case.server_pages());
    let largest = SMALL_SLOT_SIZES[SMALL_SLOT_SIZES.len() - 1];
    if case.has_small() && case.slot_bytes.unwrap_or(largest) < needed {
        let slot = MemorySize { bytes: case.slot_bytes.unwrap_or(largest) };
        let message = format!("a server of {} KiB does not fit into a slot of {slot}", needed >> 10);
        let fix = match case.smallest_slot() {
            Some(bytes) => format!("set `slot_size` to {} or more, or lower the pages", MemorySize { bytes }),
            None => format!("{slot} are the most: lower the pages, or use `large` or `kernel`"),
        };
        return Err(file.error_at(server_span, message, fix));
    }
    // Servers that move are built as the client is.
    let server = case.server.unwrap_or(case.client);
    let sides = [(case.client, case.client_pages(), client_span), (server, case.server_pages(), server_span)];
    for (_, pages, span) in sides.into_iter().filter(|(placement, ..)| placement.is_32_bit()) {
        if size_32(1, pages) > SAMPLES_OFFSET_32 {
            let message = format!("{pages} pages do not fit into the region of a 32-bit program");
            let most = (SAMPLES_OFFSET_32 - size_32(1, 0)) / PAGE_SIZE;
            return Err(file.error_at(span, message, format!("lower the pages to at most {most}")));
        }
    }
    slots(file, entry, span, case)
}

/// Programs that are in small spaces at the same time.
fn small_programs(case: &Parameters) -> u64 {
    let participants = case.system().participants;
    let is_small = |participant: &&Participant| match participant.moves_to {
        // All servers move in while they are measured.
        Some(_) if case.workload.nature().moves == Moves::EveryRoundTrip => true,
        Some(placement) => placement == Placement::Small,
        None => participant.placement == Placement::Small,
    };
    participants.iter().filter(is_small).count() as u64
}

/// Programs in small spaces must all have slots.
fn slots(
    file: &ExperimentFile,
    entry: &CaseEntry,
    span: &Range<usize>,
    case: &Parameters,
) -> Result<(), ConfigError> {
    let Some(slot) = case.slot_bytes else { return Ok(()) };
    let (needed, room) = (small_programs(case), SMALL_SIZE / slot);
    if needed <= room {
        return Ok(());
    }
    // Numbers are numbers of servers, or of what they need room for.
    let is_number =
        |given: &&Given| matches!(given.key.kind, Kind::Number(..)) && case.workload.has(given.key);
    let number = entry.keys.iter().find(is_number).map(|given| given.span.clone());
    let span = entry.keys.span(&keys::SLOT_SIZE).or(number).unwrap_or(span.clone());
    let slot = MemorySize { bytes: slot };
    let message = format!("there is room for {room} slots of {slot}, and this case needs {needed}");
    Err(file.error_at(span, message, "use a smaller `slot_size`, or fewer servers"))
}

/// Fewest traced round trips that a model of a TLB can be judged by.
const ROUND_TRIPS_MIN: u64 = 2;

/// The models of TLBs, all of which must be there.
pub(super) fn tlb_models(
    file: &ExperimentFile,
    entry: &CaseEntry,
    trace_round_trips: u64,
) -> Result<Vec<String>, ConfigError> {
    let own = entry.keys.get(&keys::TLB_MODELS);
    let Some(list) = own.or(file.content.defaults.get(&keys::TLB_MODELS)) else { return Ok(Vec::new()) };
    for model in &list.texts {
        if let Err(error) = Model::load(model.get_ref()) {
            let known = BUILT_IN.map(|(name, _)| name);
            let message = format!("TLB model `{}`: {error}", model.get_ref());
            return Err(file.error_at(model.span(), message, suggest(model.get_ref(), known)));
        }
    }
    // Who inherits them from the defaults may still not be traced.
    if trace_round_trips == 0 {
        return match own.filter(|list| !list.texts.is_empty()) {
            Some(list) => Err(not_traced(file, list, "none are traced")),
            None => Ok(Vec::new()),
        };
    }
    if trace_round_trips < ROUND_TRIPS_MIN && !list.texts.is_empty() {
        return Err(not_traced(file, list, "the first one only fills the TLB"));
    }
    Ok(list.texts.iter().map(|model: &Spanned<String>| model.get_ref().clone()).collect())
}

fn not_traced(file: &ExperimentFile, list: &Given, reason: &str) -> ConfigError {
    let fix = "set `trace_round_trips` to 2 or more, or remove `tlb_models`";
    file.error_at(list.span.clone(), format!("TLB models run on traced round trips, and {reason}"), fix)
}

pub(super) fn no_gate(file: &ExperimentFile, span: Range<usize>, gate: Gate, reason: &str) -> ConfigError {
    let message = format!("gate = \"{}\" is not possible here: {reason}", gate.name());
    let fix = "use gate = \"all\" (each that the CPU has), or \"int\", which every CPU has";
    file.error_at(span, message, fix)
}
