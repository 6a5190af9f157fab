//! `inkbed requests` and `inkbed advise`: what a recording holds, and which servers to move into the kernel for it.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context;
use indexmap::IndexMap;
use serde::Deserialize;

use super::arguments::{AdviseArguments, RequestsArguments};
use super::end::{End, UsageError};
use super::output;
use crate::bounded;
use crate::requests::descriptor::Descriptor;
use crate::requests::error::RecordingError;
use crate::requests::mapping::Mapping;
use crate::requests::predict::{Placement, Sequence};
use crate::requests::read::Reader;
use crate::requests::recording::Header;

/// What decides the way of a request.
type Kind = (String, Option<Descriptor>);

/// What a pass over a recording finds.
struct Found {
    header: Header,
    kinds: IndexMap<Kind, u64>,
    sequence: Sequence,
}

/// Most kinds of requests, each with each descriptor, that a recording can have: so a file of any size takes bounded memory.
const KINDS_MAX: usize = 4096;

/// The trust file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trust {
    trusted: Vec<String>,
}

/// Prints requests by kind and by server.
pub(super) fn requests(arguments: &RequestsArguments) -> anyhow::Result<End> {
    let mapping = mapping(arguments.servers.as_deref())?;
    let found = read(&arguments.file, &mapping)?;
    output::print(&summary(&found, &mapping))?;
    Ok(End::Success)
}

/// Prints which servers to move.
pub(super) fn advise(arguments: &AdviseArguments) -> anyhow::Result<End> {
    let mapping = mapping(arguments.servers.as_deref())?;
    let may_move = trusted(arguments.trust.as_deref(), &mapping)?;
    let found = read(&arguments.file, &mapping)?;
    output::print(&advice(&found, &mapping, &may_move, arguments.limit))?;
    Ok(End::Success)
}

fn wrong_file(path: &Path, what: impl std::fmt::Display, fix: &str) -> anyhow::Error {
    UsageError { message: format!("{}: {what}", path.display()), fix: fix.to_owned() }.into()
}

fn mapping(path: Option<&Path>) -> anyhow::Result<Mapping> {
    let Some(path) = path else { return Ok(Mapping::built_in()) };
    let text = text_of(path)?;
    Mapping::parse(&text).map_err(|error| wrong_file(path, error, "see docs/recordings.md"))
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    let text = bounded::read_text(path, bounded::WRITTEN_BY_HAND);
    text.map_err(|error| wrong_file(path, error, "name a text file"))
}

fn trusted(path: Option<&Path>, mapping: &Mapping) -> anyhow::Result<Vec<usize>> {
    let servers = mapping.servers();
    let Some(path) = path else { return Ok((0..servers.len()).collect()) };
    let fix = "write `trusted = [\"files\"]` with groups of the servers' file";
    let Trust { trusted } = toml::from_str(&text_of(path)?).map_err(|error| wrong_file(path, error, fix))?;
    if let Some(unknown) = trusted.iter().find(|name| servers.values().all(|server| server.group != **name)) {
        return Err(wrong_file(path, format_args!("no server is in the group `{unknown}`"), fix));
    }
    Ok((0..servers.len()).filter(|index| trusted.contains(&servers[*index].group)).collect())
}

fn read(path: &Path, mapping: &Mapping) -> anyhow::Result<Found> {
    let in_file = || path.display().to_string();
    let file = File::open(path).with_context(in_file)?;
    let mut reader = Reader::new(BufReader::new(file)).with_context(in_file)?;
    let header = reader.header().clone();
    let (mut kinds, mut sequence) = (IndexMap::<Kind, u64>::new(), Sequence::default());
    for request in reader.by_ref() {
        let request = request.with_context(in_file)?;
        sequence.add(request.process, mapping.way(&request.kind, request.descriptor));
        *kinds.entry((request.kind, request.descriptor)).or_default() += 1;
        if kinds.len() > KINDS_MAX {
            let why = format!("it names more than {KINDS_MAX} kinds, and Linux has fewer system calls");
            return Err(RecordingError::Damaged { saved: sequence.requests, why }).with_context(in_file);
        }
    }
    kinds.sort_by(|name, count, other, other_count| other_count.cmp(count).then(name.cmp(other)));
    Ok(Found { header, kinds, sequence })
}

fn way(mapping: &Mapping, (kind, descriptor): &Kind) -> String {
    let names = mapping
        .way(kind, *descriptor)
        .iter()
        .map(|server| mapping.servers().get_index(*server).map_or("?", |one| one.0));
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "stays inside the program".to_owned() } else { names.join(" → ") }
}

fn summary(found: &Found, mapping: &Mapping) -> String {
    let Found { header, kinds, sequence } = found;
    let mut text = format!(
        "{} on {}: {} requests, {} messages to natural servers and back\n\n",
        header.program,
        header.host,
        sequence.requests,
        sequence.messages()
    );
    let title = |(kind, descriptor): &Kind| match descriptor {
        Some(descriptor) => format!("{kind} ({})", descriptor.name()),
        None => kind.clone(),
    };
    let width = kinds.keys().map(|kind| title(kind).len()).max().unwrap_or(0).max("kind".len());
    text.push_str(&format!("{:width$}  {:>10}  servers\n", "kind", "requests"));
    for (kind, count) in kinds {
        let by_rest = if mapping.names(&kind.0, kind.1) { "" } else { " (no route names it)" };
        text.push_str(&format!("{:width$}  {count:>10}  {}{by_rest}\n", title(kind), way(mapping, kind)));
    }
    text.push_str(&format!("\n{:width$}  {:>10}\n", "server", "requests"));
    for (index, name) in mapping.servers().keys().enumerate() {
        let passes = |(kind, descriptor): &Kind| mapping.way(kind, *descriptor).contains(&index);
        let count: u64 = kinds.iter().filter(|(kind, _)| passes(kind)).map(|(_, count)| count).sum();
        text.push_str(&format!("{name:width$}  {count:>10}\n"));
    }
    text
}

fn advice(found: &Found, mapping: &Mapping, may_move: &[usize], limit: Option<usize>) -> String {
    let sequence = &found.sequence;
    let steps = sequence.best(may_move, limit.unwrap_or(usize::MAX));
    let nowhere = sequence.loads(Placement::default());
    let mut text = format!("{}: {} requests\n\n", found.header.program, sequence.requests);
    text.push_str(&format!("{:>10}  {:>12}  {:>6}  {}\n", "in kernel", "loads", "saved", "moved in"));
    let mut before = Placement::default();
    for (placement, loads) in &steps {
        let moved = (0..mapping.servers().len()).find(|one| placement.has(*one) && !before.has(*one));
        let name = moved.and_then(|one| mapping.servers().get_index(one)).map_or("none", |one| one.0);
        let saved = 100.0 * (nowhere - loads) as f64 / nowhere.max(1) as f64;
        text.push_str(&format!("{:>10}  {loads:>12}  {saved:>4.1} %  {name}\n", placement.count()));
        before = *placement;
    }
    text.push_str(
        "\nEach row adds one server to those above it, and no other set of as many has fewer page-table loads.\n\
         This is a prediction by the rule of the resident space, on one vCPU, for requests one after the other in the order of their\n\
         answers. It knows no time, and none of Linux's own work. `inkbed run programs` replays the recordings that inkbed keeps, and\n\
         checks that the kernel loads as many page tables.\n",
    );
    if !found.header.has_descriptors() {
        text.push_str("The recording has no descriptors: a read from a pipe or a socket counts as one from a file. Record it anew.\n");
    }
    text
}
