//! `inkbed requests`: what a recording holds.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context;
use indexmap::IndexMap;

use super::arguments::RequestsArguments;
use super::end::{End, UsageError};
use super::output;
use crate::bounded;
use crate::requests::descriptor::Descriptor;
use crate::requests::error::RecordingError;
use crate::requests::mapping::Mapping;
use crate::requests::predict::Sequence;
use crate::requests::read::Reader;
use crate::requests::recording::Header;

/// What decides the way of a request.
type Kind = (String, Option<Descriptor>);

/// What a pass over a recording finds.
pub(super) struct Found {
    pub(super) header: Header,
    kinds: IndexMap<Kind, u64>,
    pub(super) sequence: Sequence,
}

/// Most kinds of requests, each with each descriptor, that a recording can have: so a file of any size takes bounded memory.
const KINDS_MAX: usize = 4096;

/// Prints requests by kind and by server.
pub(super) fn requests(arguments: &RequestsArguments) -> anyhow::Result<End> {
    let mapping = mapping(arguments.servers.as_deref())?;
    let found = read(&arguments.file, &mapping, |_| ())?;
    output::print(&summary(&found, &mapping))?;
    Ok(End::Success)
}

pub(super) fn wrong_file(path: &Path, what: impl std::fmt::Display, fix: &str) -> anyhow::Error {
    UsageError { message: format!("{}: {what}", path.display()), fix: fix.to_owned() }.into()
}

pub(super) fn mapping(path: Option<&Path>) -> anyhow::Result<Mapping> {
    let Some(path) = path else { return Ok(Mapping::built_in()) };
    let text = text_of(path)?;
    Mapping::parse(&text).map_err(|error| wrong_file(path, error, "see docs/recordings.md"))
}

pub(super) fn text_of(path: &Path) -> anyhow::Result<String> {
    let text = bounded::read_text(path, bounded::WRITTEN_BY_HAND);
    text.map_err(|error| wrong_file(path, error, "name a text file"))
}

/// Reads a recording once; `each` gets the way of each request, in their order.
pub(super) fn read(path: &Path, mapping: &Mapping, mut each: impl FnMut(&[usize])) -> anyhow::Result<Found> {
    let in_file = || path.display().to_string();
    let file = File::open(path).with_context(in_file)?;
    let mut reader = Reader::new(BufReader::new(file)).with_context(in_file)?;
    let header = reader.header().clone();
    let (mut kinds, mut sequence) = (IndexMap::<Kind, u64>::new(), Sequence::default());
    for request in reader.by_ref() {
        let request = request.with_context(in_file)?;
        let way = mapping.way(&request.kind, request.descriptor);
        sequence.add(request.process, way);
        each(way);
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
