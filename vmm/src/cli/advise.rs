//! `inkbed advise`: which servers to move into the kernel for a program, beside what the talk's rule would move, and verified by a replay.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use super::arguments::AdviseArguments;
use super::end::End;
use super::interrupt::Interrupt;
use super::output::{self, note};
use super::requests::{Found, mapping, read, text_of, wrong_file};
use crate::guest_image::GuestImage;
use crate::machine::run;
use crate::record::outcome::OutcomeRecord;
use crate::reduce::cause;
use crate::requests::mapping::Mapping;
use crate::requests::partners::Partners;
use crate::requests::predict::{Placement, Sequence};
use crate::requests::read::Reader;
use crate::requests::replay::{Replay, ReplayError};
use crate::workload::replay_config;

/// The trust file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trust {
    trusted: Vec<String>,
}

/// Prints which servers to move.
pub(super) fn advise(arguments: &AdviseArguments) -> anyhow::Result<End> {
    let mapping = mapping(arguments.servers.as_deref())?;
    let may_move = trusted(arguments.trust.as_deref(), &mapping)?;
    let mut partners = Partners::new(mapping.servers().len(), &may_move);
    let found = read(&arguments.file, &mapping, |way| partners.add(way))?;
    let limit = arguments.limit.unwrap_or(usize::MAX);
    let advice = Advice {
        mapping: &mapping,
        sequence: &found.sequence,
        steps: found.sequence.best(&may_move, limit),
        by_partners: partners.order(),
    };
    output::print(&advice.text(&found))?;
    if !arguments.verify {
        return Ok(End::Success);
    }
    let next = found.sequence.next_best(&may_move, limit);
    verify(arguments, &mapping, advice.advised(), next.map(|(placement, _)| placement))
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

/// What is told of a recording.
struct Advice<'a> {
    mapping: &'a Mapping,
    sequence: &'a Sequence,
    /// For each number of servers the best placement and its loads.
    steps: Vec<(Placement, u64)>,
    /// The order of the talk's rule.
    by_partners: Vec<usize>,
}

impl Advice<'_> {
    fn advised(&self) -> Placement {
        self.steps.last().map_or(Placement::default(), |(placement, _)| *placement)
    }

    /// In percent of the loads with no server in the kernel.
    fn saved(&self, loads: u64) -> f64 {
        let nowhere = self.sequence.loads(Placement::default());
        100.0 * (nowhere - loads) as f64 / nowhere.max(1) as f64
    }

    fn name(&self, server: Option<usize>) -> &str {
        server.and_then(|one| self.mapping.servers().get_index(one)).map_or("none", |one| one.0)
    }

    /// The loads with so many servers in the kernel by the talk's rule; none if it does not move so many.
    fn loads_by_partners(&self, count: usize) -> Option<u64> {
        let moved = self.by_partners.get(..count)?;
        Some(self.sequence.loads(Placement(moved.iter().fold(0, |bits, server| bits | 1 << server))))
    }

    fn text(&self, found: &Found) -> String {
        let mut text = format!("{}: {} requests\n\n", found.header.program, self.sequence.requests);
        let name_width = self.mapping.servers().keys().map(String::len).max().unwrap_or(0).max(8);
        text.push_str(&format!(
            "{:>10}  {:>12}  {:>7}  {:name_width$}  by the talk's rule\n{:>10}  {:>12}  {:>7}  {:name_width$}  {:>7}  moved in\n",
            "servers", "page-table", "", "", "in kernel", "loads", "saved", "moved in", "saved"
        ));
        let mut before = Placement::default();
        for (placement, loads) in &self.steps {
            let count = placement.count();
            let moved =
                (0..self.mapping.servers().len()).find(|one| placement.has(*one) && !before.has(*one));
            let by_rule = self.loads_by_partners(count).map_or(String::new(), |loads| {
                let moved = count.checked_sub(1).map(|last| self.by_partners[last]);
                format!("  {:>5.1} %  {}", self.saved(loads), self.name(moved))
            });
            let (saved, name) = (self.saved(*loads), self.name(moved));
            text.push_str(&format!(
                "{count:>10}  {loads:>12}  {saved:>5.1} %  {name:name_width$}{by_rule}\n"
            ));
            before = *placement;
        }
        text.push_str(
            "\nEach row adds one server to those above it, and no other set of as many has fewer page-table loads.\n\
             This is a prediction by the rule of the resident space, on one vCPU, for requests one after the other in the order of their\n\
             answers. It knows no time, and none of Linux's own work. --verify replays it on KVM.\n",
        );
        text.push_str(&self.comparison());
        if !found.header.has_descriptors() {
            text.push_str("The recording has no descriptors: a read from a pipe or a socket counts as one from a file. Record it anew.\n");
        }
        text
    }

    /// How close the talk's rule comes.
    fn comparison(&self) -> String {
        let rule = "The talk's rule moves the server that is asked most, and with it its latest partners (group migration). ";
        let gap = |(placement, loads): &(Placement, u64)| {
            let by_rule = self.loads_by_partners(placement.count())?;
            Some((by_rule - loads, placement.count(), *loads, by_rule))
        };
        match self
            .steps
            .iter()
            .filter_map(gap)
            .max_by_key(|(gap, count, ..)| (*gap, std::cmp::Reverse(*count)))
        {
            Some((gap @ 1.., count, best, by_rule)) => format!(
                "{rule}It is\nworst with {count} in the kernel: it saves {:.1} %, and the best servers {:.1} % ({gap} loads more).\n",
                self.saved(by_rule),
                self.saved(best)
            ),
            _ => format!("{rule}It\nsaves as much as the best servers, with any number of them.\n"),
        }
    }
}

/// The recording as a guest replays it.
fn replay(path: &Path, mapping: &Mapping) -> anyhow::Result<Replay> {
    let in_file = || path.display().to_string();
    let reader =
        Reader::new(BufReader::new(File::open(path).with_context(in_file)?)).with_context(in_file)?;
    Replay::read(reader, mapping).map_err(|error| match error {
        ReplayError::Recording(error) => anyhow::Error::new(error).context(in_file()),
        error => wrong_file(path, error, "leave --verify out, or record a shorter run"),
    })
}

/// A placement that was replayed.
struct Verified {
    title: &'static str,
    names: String,
    predicted: u64,
    replayed: u64,
}

/// Replays the advised placement and the next best one, and prints what was predicted beside what the kernel has counted.
fn verify(
    arguments: &AdviseArguments,
    mapping: &Mapping,
    advised: Placement,
    next: Option<Placement>,
) -> anyhow::Result<End> {
    let replay = replay(&arguments.file, mapping)?;
    let interrupt = Interrupt::listen()?;
    let mut rows = Vec::new();
    let placements = [("advised", Some(advised)), ("next best", next)];
    for (title, placement) in placements.into_iter().filter_map(|(title, one)| Some((title, one?))) {
        let config = replay_config(&replay, placement, &GuestImage::embedded())?;
        let run = run(&config, &interrupt.stop)?;
        let outcome = OutcomeRecord::from(&run.outcome);
        if !outcome.is_success() || run.round_trips != 1 {
            note!("the replay of the {title} placement: {outcome}");
            return Ok(if interrupt.is_raised() { End::Interrupted } else { End::Failure });
        }
        rows.push(Verified {
            title,
            names: names(&replay, placement),
            predicted: replay.loads(placement),
            replayed: cause::loads_of(&run),
        });
    }
    let (text, end) = told(&rows);
    output::print(&text)?;
    Ok(end)
}

fn names(replay: &Replay, placement: Placement) -> String {
    let moved = replay.servers.keys().enumerate().filter(|(index, _)| placement.has(*index));
    let names: Vec<&str> = moved.map(|(_, name)| name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// What came of replays, and whether each counted what was predicted.
fn told(rows: &[Verified]) -> (String, End) {
    let mut text = "\nReplayed on KVM, after a replay that is not counted:\n".to_owned();
    text.push_str(&format!("{:>10}  {:>12}  {:>12}  in the kernel\n", "placement", "predicted", "counted"));
    for Verified { title, names, predicted, replayed } in rows {
        text.push_str(&format!("{title:>10}  {predicted:>12}  {replayed:>12}  {names}\n"));
    }
    let wrong = rows.iter().filter(|row| row.predicted != row.replayed).count();
    if wrong > 0 {
        text.push_str(&format!(
            "\n{wrong} of {} predictions are wrong: inkbed has a fault, or the guest is another one. Please report it.\n",
            rows.len()
        ));
        return (text, End::Failure);
    }
    text.push_str("\nThe kernel has loaded as many page tables as predicted.\n");
    (text, End::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_load_more_than_predicted_is_a_failure() {
        let row =
            |title, predicted, replayed| Verified { title, names: "pager".to_owned(), predicted, replayed };
        let (text, end) = told(&[row("advised", 4, 4), row("next best", 6, 6)]);
        assert!(end == End::Success && text.contains("as many page tables as predicted"), "{text}");
        let (text, end) = told(&[row("advised", 4, 4), row("next best", 6, 7)]);
        assert!(end == End::Failure && text.contains("1 of 2 predictions are wrong"), "{text}");
    }

    fn advice<'a>(mapping: &'a Mapping, sequence: &'a Sequence, by_partners: Vec<usize>) -> Advice<'a> {
        let all: Vec<usize> = (0..mapping.servers().len()).collect();
        Advice { mapping, sequence, steps: sequence.best(&all, usize::MAX), by_partners }
    }

    #[test]
    fn the_talks_rule_is_told_by_where_it_is_worst() {
        let server = |name| format!("[server.{name}]\nwork = 1\npages = 1\ngroup = \"g\"\n");
        let servers = ["a", "b", "c"].map(server).concat();
        let mapping =
            Mapping::parse(&format!("version = 1\n{servers}[[route]]\nway = [\"a\"]\nkinds = [\"*\"]\n"))
                .unwrap();
        let mut sequence = Sequence::default();
        (0..5).for_each(|_| sequence.add(0, &[0]));
        (0..4).for_each(|_| sequence.add(0, &[1]));
        sequence.add(0, &[0, 2]);
        // a, b, c save 12, 8 and 2 of 22 loads, and one is of the process itself.
        let worse = advice(&mapping, &sequence, vec![0, 2, 1]).comparison();
        assert!(
            worse.contains(
                "worst with 2 in the kernel: it saves 60.9 %, and the best servers 87.0 % (6 loads more)"
            ),
            "{worse}"
        );
        let same = advice(&mapping, &sequence, vec![0, 1, 2]).comparison();
        assert!(same.contains("as much as the best servers"), "{same}");
    }
}
