//! A count that holds: the path length of every placement against the committed reference.

use std::path::{Path, PathBuf};

use abi::call::REGISTER_WORDS;
use abi::program;
use inkbed::lens::trace::path_length::{PathLength, has_goal};
use inkbed::lens::trace::present;
use inkbed::lens::trace::{Summary, phase::Phase};

use crate::harness::{Place, Server, alternate, client, config, direct_call, server};
use crate::trace::{ROUND_TRIPS, pair, traced};

/// The reference, inside the test: it runs on machines without the repository, too.
const REFERENCE: &str = include_str!("../../../results/path-length/path-length.json");

/// Where the reference lies; `INKBED_UPDATE_REFERENCE=1 cargo test --test guest path_length` writes it anew.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/path-length")
}

/// Messages of these sizes: those that fit registers, and some that the kernel copies.
const WORDS: [u64; 5] = [0, REGISTER_WORDS, 8, 64, 512];

/// The placement matrix: name and servers of each case, without and with a message.
fn cases() -> Vec<(String, Vec<Server>)> {
    let places = [(Place::User, "user"), (Place::Kernel, "kernel")];
    let mut cases = Vec::new();
    for words in WORDS {
        let fits_registers = words <= REGISTER_WORDS;
        for (client_place, from) in places {
            for (server_place, to) in places {
                let servers = pair(client_place, server_place, words).to_vec();
                cases.push((format!("{from} to {to}, {words} words"), servers));
                if server_place == Place::Kernel && fits_registers {
                    let [_, server] = pair(client_place, server_place, words);
                    let servers = vec![client(client_place, direct_call(words), ROUND_TRIPS + 1), server];
                    cases.push((format!("{from} to {to}, direct, {words} words"), servers));
                }
            }
        }
        let mut servers = pair(Place::User, Place::User, words).to_vec();
        servers[1] = servers[1].clone().with(|plan| plan.space = 0);
        cases.push((format!("same space, {words} words"), servers));
        for (place, name) in places.into_iter().filter(|_| fits_registers) {
            let client = client(Place::User, alternate(words), ROUND_TRIPS + 1).reaching(&[1, 2]);
            let relay = server(program::RELAY, Place::User).reaching(&[1]);
            let program = if words == 0 { program::NULL } else { program::ECHO };
            let servers = vec![client, server(program, place), relay];
            cases.push((format!("alternate to {name}, {words} words"), servers));
        }
    }
    cases
}

fn summaries() -> Option<Vec<(String, Summary)>> {
    let trace = |(name, servers): (String, Vec<Server>)| {
        let trace = traced(&config(&servers))?.unwrap_or_else(|error| panic!("{name}: {error}"));
        Some((name, trace.summary))
    };
    cases().into_iter().map(trace).collect()
}

#[test]
fn the_path_is_as_long_as_the_reference_says() {
    let Some(summaries) = summaries() else { return };
    let named = || summaries.iter().map(|(name, summary)| (name.as_str(), summary));
    let now = PathLength::new(named());
    let file = folder().join("path-length.json");
    if std::env::var_os("INKBED_UPDATE_REFERENCE").is_some() {
        let json = serde_json::to_string_pretty(&now).expect("counts are JSON") + "\n";
        std::fs::create_dir_all(folder()).expect("a folder for the reference");
        std::fs::write(&file, json).expect("the reference is written");
        // Without the detour, which is this host's affair.
        let mut without = summaries.clone();
        without.iter_mut().for_each(|(_, summary)| summary.detour_instructions = 0);
        let mut text = String::new();
        for half in without.chunks(9) {
            let table = present::table(half.iter().map(|(name, summary)| (name.as_str(), summary)));
            text += &format!("{}\n\n", table.trim_fmt());
        }
        text += &now.goals().join("\n");
        std::fs::write(folder().join("path-length.txt"), text.trim_end().to_owned() + "\n")
            .expect("the table is written");
        return;
    }
    let reference: PathLength = serde_json::from_str(REFERENCE).expect("the reference is readable");
    let differences = reference.differences(&now);
    assert!(
        differences.is_empty(),
        "the path has changed; if that is meant, INKBED_UPDATE_REFERENCE=1 writes the reference anew:\n{}",
        differences.join("\n")
    );
}

/// Goals that the path of messages in registers keeps: those for user to user and for user to kernel, and little code. Whatever the size,
/// a server in the kernel takes no page-table load. All goals and what they take stand in `results/path-length/path-length.txt`.
#[test]
fn the_path_keeps_its_goals() {
    let reference: PathLength = serde_json::from_str(REFERENCE).expect("the reference is readable");
    for (name, counts) in &reference.cases {
        if name.contains("to kernel") && !name.starts_with("alternate") {
            assert_eq!(counts.kinds.page_table_loads, 0, "{name}");
        }
        if !has_goal(name) {
            continue;
        }
        if !name.starts_with("alternate") {
            assert!(counts.footprint.kernel.code_bytes <= 700, "{name}: {:?}", counts.footprint.kernel);
        }
        assert!(!counts.phases.contains_key(&Phase::SlowPath), "{name}");
        if name.starts_with("user to user") {
            assert!(counts.path_instructions <= 240, "{name}: {}", counts.path_instructions);
        }
        if name.starts_with("user to kernel") {
            assert!(counts.path_instructions <= 160, "{name}: {}", counts.path_instructions);
        }
        if name.contains("direct") {
            assert_eq!(counts.context_switches, 0, "{name}");
        }
    }
}
