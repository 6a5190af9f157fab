//! What an experiment file may ask of programs that are built for 32 bits: small spaces and large ones.

use std::ops::Range;

use abi::address::{
    PAGE_SIZE, PHYSICAL_MAP_BASE, REGION_SIZE, SLOT_BASE, SMALL_BASE, SMALL_SIZE, SMALL_SLOT_SIZES,
};
use abi::region::{SAMPLES_OFFSET_32, START_INFO_OFFSET, size_32};

use super::error::{ConfigError, suggest};
use super::file::{CaseEntry, ExperimentFile};
use super::list::{List, span_of};
use crate::case::Parameters;
use crate::case::parameter::{Gate, Migration, Reached, Transfer};
use crate::case::size::MemorySize;
use crate::system::placement::Placement;
use crate::system::topology::{Participant, Topology};
use crate::tlb::{BUILT_IN, Model};

/// Refuses placements that the workload does not have, and keys that mean nothing for the placements.
pub(super) fn keys_of_placements(
    file: &ExperimentFile,
    entry: &CaseEntry,
    cases: &[Parameters],
) -> Result<(), ConfigError> {
    let workload = *entry.workload.get_ref();
    if !workload.exists_in_32_bits()
        && let Some((span, placement)) = placements(entry).find(|(_, placement)| placement.is_32_bit())
    {
        let message = format!("the workload `{workload}` has no placement `{placement}`");
        let fix = "programs for 32 bits are measured with one client; use `user` and `kernel` here";
        return Err(file.error_at(span, message, fix));
    }
    if let (Some(slots), false) = (&entry.slot_size, cases.iter().any(Parameters::has_small)) {
        let message = "only programs in small spaces have slots to choose";
        let fix = "place a program with `server = \"small\"`, or remove `slot_size`";
        return Err(file.error_at(slots.span.clone(), message, fix));
    }
    for slot in entry.slot_size.iter().flat_map(|list| &list.values) {
        if !SMALL_SLOT_SIZES.contains(&slot.get_ref().bytes) {
            let sizes = SMALL_SLOT_SIZES.map(|bytes| MemorySize { bytes }.to_string()).join(", ");
            let message = format!("there are no slots of {}", slot.get_ref());
            return Err(file.error_at(slot.span(), message, format!("choose one of {sizes}")));
        }
    }
    if let (Some(gates), false) = (&entry.gate, cases.iter().any(Parameters::has_32_bit)) {
        let message = "only programs for 32 bits have a gate to choose";
        let fix = "place a program with `\"small\"` or `\"large\"`, or remove `gate`";
        return Err(file.error_at(gates.span.clone(), message, fix));
    }
    Ok(())
}

/// All placements that the entry names, each with its place.
fn placements(entry: &CaseEntry) -> impl Iterator<Item = (Range<usize>, Placement)> {
    [&entry.client, &entry.server, &entry.relay, &entry.other_client]
        .into_iter()
        .flatten()
        .flat_map(|list| &list.values)
        .map(|value| (value.span(), *value.get_ref()))
}

/// The smallest slot that the case's programs in small spaces fit in; `None` if there is none.
pub(crate) fn smallest_slot(case: &Parameters) -> Option<u64> {
    let needed = size_32(1, case.server_pages.unwrap_or(0));
    SMALL_SLOT_SIZES.into_iter().find(|bytes| *bytes >= needed)
}

/// The address that the server of `reach` reads, as it names it, and what lies there: of another program its start
/// information, which begins with the version of the interface and the program's index in the plan. The kernel gives its
/// slots away in the order of the plan: client, server, neighbour.
pub(crate) fn target(case: &Parameters) -> Option<(u64, u64)> {
    const CLIENT: u64 = 0;
    const NEIGHBOUR: u64 = 2;
    let start_info = |server: u64| u64::from(abi::VERSION) | server << 32;
    let client_region = match case.client {
        Placement::Kernel => SLOT_BASE,
        Placement::User => REGION_SIZE,
        Placement::Small | Placement::Large => 0,
    };
    // Slots of the kernel that were given away before the neighbour's: the server's, and the client's where it has one.
    let earlier_slots = 1 + u64::from(case.client == Placement::Kernel);
    let (region, server) = match (case.target?, case.server?) {
        // Whatever it finds there.
        (Reached::Kernel, _) => return Some((PHYSICAL_MAP_BASE, 0)),
        (Reached::Client, Placement::Small) => (client_region.wrapping_sub(SMALL_BASE), CLIENT),
        (Reached::Client, _) => (client_region, CLIENT),
        (Reached::Neighbour, Placement::Small) => (case.slot_bytes?, NEIGHBOUR),
        (Reached::Neighbour, Placement::Kernel) => (SLOT_BASE + earlier_slots * REGION_SIZE, NEIGHBOUR),
        // In a space of its own it finds itself there.
        (Reached::Neighbour, Placement::User) => (REGION_SIZE, NEIGHBOUR),
        (Reached::Neighbour, Placement::Large) => (0, NEIGHBOUR),
    };
    Some((region.wrapping_add(START_INFO_OFFSET), start_info(server)))
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
    let client = span_of(&entry.client).unwrap_or(span.clone());
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
    if case.target == Some(Reached::Kernel) && case.server.is_some_and(Placement::is_32_bit) {
        let span = span_of(&entry.target).unwrap_or(client.clone());
        let message = "no address of 32 bits leads to the kernel's memory, so there is nothing to read";
        let fix =
            "put `target = \"kernel\"` into a [[case]] of its own with `server = \"user\"` or `\"kernel\"`";
        return Err(file.error_at(span, message, fix));
    }
    if case.target == Some(Reached::Client)
        && !case.client.is_32_bit()
        && case.server.is_some_and(Placement::is_32_bit)
    {
        let message = "no address of 32 bits leads to a 64-bit client's memory, so there is nothing to read";
        let fix = "put `target = \"client\"` into a [[case]] of its own with `client = \"large\"`";
        let span = span_of(&entry.target).unwrap_or(client.clone());
        return Err(file.error_at(span, message, fix));
    }
    moving(file, entry, &client, case)?;
    sizes(file, entry, &span, case)
}

/// Servers that move between small spaces and large ones.
fn moving(
    file: &ExperimentFile,
    entry: &CaseEntry,
    client: &Range<usize>,
    case: &Parameters,
) -> Result<(), ConfigError> {
    if !matches!(case.migration, None | Some(Migration::OneByOne | Migration::Restart)) {
        let span = span_of(&entry.migration).unwrap_or(client.clone());
        let message = "servers for 32 bits move in place one by one, or by being restarted";
        let fix = "put the other ways of `migration` into a [[case]] of their own with `client = \"user\"`";
        return Err(file.error_at(span, message, fix));
    }
    if case.promote_after.is_some() {
        let span = span_of(&entry.promote_after).unwrap_or(client.clone());
        let message = "servers for 32 bits move into no kernel, neither by order nor by themselves";
        let fix = "use `client = \"user\"` with `promote_after`, or `moved` with `client = \"large\"`";
        return Err(file.error_at(span, message, fix));
    }
    Ok(())
}

/// Working sets must fit into slots and regions.
fn sizes(
    file: &ExperimentFile,
    entry: &CaseEntry,
    span: &Range<usize>,
    case: &Parameters,
) -> Result<(), ConfigError> {
    let pages_span = |own| span_of(own).or(span_of(&entry.pages)).unwrap_or(span.clone());
    let client_span = pages_span(&entry.client_pages);
    let server_span = pages_span(&entry.server_pages);
    let needed = size_32(1, case.server_pages.unwrap_or(0));
    let largest = SMALL_SLOT_SIZES[SMALL_SLOT_SIZES.len() - 1];
    if case.has_small() && case.slot_bytes.unwrap_or(largest) < needed {
        let slot = MemorySize { bytes: case.slot_bytes.unwrap_or(largest) };
        let message = format!("a server of {} KiB does not fit into a slot of {slot}", needed >> 10);
        let fix = match smallest_slot(case) {
            Some(bytes) => format!("set `slot_size` to {} or more, or lower the pages", MemorySize { bytes }),
            None => format!("{slot} are the most: lower the pages, or use `large` or `kernel`"),
        };
        return Err(file.error_at(server_span, message, fix));
    }
    // Servers that move are built as the client is.
    let server = case.server.unwrap_or(case.client);
    let sides = [(case.client, case.client_pages, client_span), (server, case.server_pages, server_span)];
    for (_, pages, span) in sides.into_iter().filter(|(placement, ..)| placement.is_32_bit()) {
        let pages = pages.unwrap_or(0);
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
    let participants = Topology::of(case).participants;
    let is_small = |participant: &&Participant| match participant.moves_to {
        // All servers move in while they are measured.
        Some(_) if case.workload.migrates() => true,
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
    let keys = [&entry.servers, &entry.partners, &entry.server_pages].into_iter().flatten();
    let mut spans = entry.slot_size.iter().map(|list| &list.span).chain(keys.map(|list| &list.span));
    let span = spans.next().unwrap_or(span).clone();
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
    let own = entry.tlb_models.as_ref();
    let Some(list) = own.or(file.content.defaults.tlb_models.as_ref()) else { return Ok(Vec::new()) };
    for model in &list.values {
        if let Err(error) = Model::load(model.get_ref()) {
            let known = BUILT_IN.map(|(name, _)| name);
            let message = format!("TLB model `{}`: {error}", model.get_ref());
            return Err(file.error_at(model.span(), message, suggest(model.get_ref(), known)));
        }
    }
    // Who inherits them from the defaults may still not be traced.
    if trace_round_trips == 0 {
        return match own.filter(|list| !list.values.is_empty()) {
            Some(list) => Err(not_traced(file, list, "none are traced")),
            None => Ok(Vec::new()),
        };
    }
    if trace_round_trips < ROUND_TRIPS_MIN && !list.values.is_empty() {
        return Err(not_traced(file, list, "the first one only fills the TLB"));
    }
    Ok(list.values.iter().map(|model| model.get_ref().clone()).collect())
}

fn not_traced(file: &ExperimentFile, list: &List<String>, reason: &str) -> ConfigError {
    let fix = "set `trace_round_trips` to 2 or more, or remove `tlb_models`";
    file.error_at(list.span.clone(), format!("TLB models run on traced round trips, and {reason}"), fix)
}

pub(super) fn no_gate(file: &ExperimentFile, span: Range<usize>, gate: Gate, reason: &str) -> ConfigError {
    let message = format!("gate = \"{}\" is not possible here: {reason}", gate.name());
    let fix = "use gate = \"all\" (each that the CPU has), or \"int\", which every CPU has";
    file.error_at(span, message, fix)
}

#[cfg(test)]
#[path = "scheme_tests.rs"]
mod tests;
