//! What the docs say of keys and workloads: tables in Markdown. A test compares them with the files in `docs/`.

use super::{ALL, Workload, keys};
use crate::case::key::{Absent, Key, Kind, Scope, Standing};
use crate::case::keys as common;
use crate::printable::grouped;
use crate::requests::{kept, known};

/// Keys of `[defaults]` and of every case.
pub fn defaults() -> String {
    let keys = common::OF_ALL.into_iter().filter(|key| key.standing == Standing::Everywhere);
    let row = |key: &Key| [code(key.name), values(key), if_absent(key), key.help.to_owned()];
    table(["key", "type", "if absent", "meaning"], keys.map(row))
}

/// Keys of a case.
pub fn case_keys() -> String {
    let first = [&common::WORKLOAD, &common::NAME, &common::CLIENT, &common::SERVER, &common::RELAY];
    let of_all = common::OF_ALL.into_iter().filter(|key| key.standing == Standing::EveryCase);
    // A key of several workloads that is not the same in each has a row for each.
    let mut rows: Vec<(&'static Key, Vec<&'static str>)> = Vec::new();
    for workload in ALL {
        for key in workload.keys().iter().copied() {
            match rows.iter_mut().find(|(known, _)| std::ptr::eq(*known, key)) {
                Some((_, workloads)) => workloads.push(workload.name()),
                None => rows.push((key, vec![workload.name()])),
            }
        }
    }
    let rest = of_all.map(|key| (key, Vec::new())).chain(rows);
    let mut all: Vec<(&Key, Vec<&str>)> = rest.collect();
    all.sort_by_key(|(key, _)| {
        let first = first.iter().position(|known| known.name == key.name).unwrap_or(first.len());
        (first, key.order)
    });
    let row = |(key, workloads): (&Key, Vec<&str>)| {
        [code(key.name), values(key), whose(&workloads), if_absent(key), key.help.to_owned()]
    };
    table(["key", "type", "workloads", "if absent", "meaning"], all.into_iter().map(row))
}

/// The workloads.
pub fn workloads() -> String {
    let row = |workload: &'static dyn Workload| {
        let channels = workload.channels().iter().map(|name| code(name)).collect::<Vec<_>>().join(", ");
        let samples = match workload.about_samples() {
            "" => channels,
            about if about.starts_with("of ") => format!("{channels} {about}"),
            about => format!("{channels}; {about}"),
        };
        [code(workload.name()), workload.round_trip().to_owned(), samples]
    };
    table(["workload", "a round trip is", "samples per round trip"], ALL.iter().copied().map(row))
}

/// Keys of `parameters` in records that come from the keys of files, and columns of CSV files.
pub fn recorded() -> String {
    let row = |key: &&'static Key| {
        let unit = match key.kind {
            Kind::Size => "bytes",
            Kind::Recording => "its name; of a file `NAME@SHA256`",
            _ => "as in the file",
        };
        let csv = if key.in_csv { "yes" } else { "" };
        [code(key.recorded()), code(key.name), unit.to_owned(), csv.to_owned()]
    };
    let recorded = keys().iter().filter(|key| key.name != common::NAME.name && key.stands_for.is_empty());
    table(["in `parameters`", "key of the file", "value", "column of `results.csv`"], recorded.map(row))
}

fn table<const COLUMNS: usize>(
    headings: [&str; COLUMNS],
    rows: impl Iterator<Item = [String; COLUMNS]>,
) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | ")).replace("|  |", "| |");
    let headings = line(&headings.map(str::to_owned));
    let rule = format!("|{}\n", "---|".repeat(COLUMNS));
    headings + &rule + &rows.map(|row| line(&row)).collect::<String>()
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

/// What may be written, from the kind where the key does not say it itself.
fn values(key: &Key) -> String {
    let quoted =
        |words: &[&str]| words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ");
    let values = match key.kind {
        _ if !key.values.is_empty() => key.values.to_owned(),
        Kind::Number(least, most) => {
            let (most, _) = most(&Scope { channels: 1, vcpus_max: abi::address::CPU_COUNT_MAX });
            format!("{} … {}", grouped(least.unsigned_abs()), grouped(most.unsigned_abs()))
        }
        Kind::Choice(words) | Kind::FlagOrChoice(words) => quoted(words),
        Kind::Recording => format!("{}, or a path that ends with `{}`", quoted(kept::NAMES), known::SUFFIX),
        Kind::Flag => "boolean".to_owned(),
        Kind::Size => "text with a number and K, M, G or T".to_owned(),
        Kind::Seconds => "seconds, whole or not".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Numbers(most) => format!("list of at most {most} numbers"),
        Kind::Table => "table".to_owned(),
    };
    let is_common = key.standing == Standing::Everywhere;
    if key.multiplies && is_common { values + ", list" } else { values }
}

fn if_absent(key: &Key) -> String {
    if !key.if_absent.is_empty() {
        return key.if_absent.to_owned();
    }
    match (key.absent, key.default_value()) {
        (Absent::First, Some(value)) if !matches!(key.kind, Kind::Flag) => {
            format!("`\"{}\"`", key.kind.text(value))
        }
        (_, Some(value)) => key.kind.text(value),
        (_, None) => "–".to_owned(),
    }
}

fn whose(workloads: &[&str]) -> String {
    let named = |names: &[&str]| names.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ");
    let others: Vec<&str> =
        ALL.iter().map(|workload| workload.name()).filter(|name| !workloads.contains(name)).collect();
    match others.len() {
        _ if workloads.is_empty() => "all".to_owned(),
        0 => "all".to_owned(),
        count if count < workloads.len() => format!("all but {}", named(&others)),
        _ => named(workloads),
    }
}
