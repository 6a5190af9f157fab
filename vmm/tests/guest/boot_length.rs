//! A count that holds: what the kernel's boot takes, and what each server adds to it, against the committed reference.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use abi::flush::source;
use abi::plan::flag;
use abi::program;
use inkbed::lens::trace::boot::{self, Boot};
use inkbed::machine::StopFlag;
use inkbed::machine::guest::GuestConfig;
use serde::{Deserialize, Serialize};

use crate::harness::{BOTH_PLACES, Place, Server, call, client, config, server};
use crate::kvm::require_kvm;

/// The reference, inside the test: it runs on machines without the repository, too.
const REFERENCE: &str = include_str!("../../../results/path-length/boot-length.json");

/// Servers that are there besides: what all of them take, divided by their number, is what one adds. More would only cross the borders of
/// page tables.
const ADDED: u64 = 4;

/// What CPUID decides: the ways through the boot differ by a few instructions.
const SLACK: u64 = 60;

/// Functions that a table names.
const NAMED: usize = 25;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reference {
    about: String,
    /// Instructions until the first server's first one, a client in user space and a server in the kernel.
    boot_instructions: u64,
    /// Instructions of so many more servers, by their placement.
    added_servers: u64,
    added_instructions: BTreeMap<String, u64>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/path-length")
}

/// A client in user space and so many servers. The plan decides how the TLB is flushed, so that no clock is judged: that takes as many
/// instructions as the clock is good for.
fn guest(place: Place, servers: u64) -> GuestConfig {
    let mut all: Vec<Server> = vec![client(Place::User, call(0), 1)];
    all.extend((0..servers).map(|_| server(program::NULL, place)));
    GuestConfig { plan_flags: flag::FLUSH_FULL, ..config(&all) }
}

fn counted(config: &GuestConfig) -> Option<Boot> {
    require_kvm().then(|| {
        boot::boot(config, &StopFlag::new().expect("a stop flag")).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// What so many servers add, with the functions in which they do.
fn added(place: Place) -> Option<(u64, BTreeMap<String, u64>)> {
    // The first ones make the tables that all of them share.
    const FIRST: u64 = 2;
    let (few, many) = (counted(&guest(place, FIRST))?, counted(&guest(place, FIRST + ADDED))?);
    let functions = many.functions.iter().map(|(name, count)| {
        (name.clone(), count - few.functions.get(name).copied().unwrap_or(0).min(*count))
    });
    Some((many.instructions - few.instructions, functions.collect()))
}

fn name(place: Place) -> String {
    format!("{place:?}").to_lowercase()
}

/// The functions with the most instructions, one a line.
fn table(title: &str, total: u64, functions: &BTreeMap<String, u64>, divisor: u64) -> String {
    let mut ranking: Vec<_> = functions.iter().collect();
    ranking.sort_by_key(|(name, count)| (u64::MAX - **count, name.as_str()));
    let mut text = format!("{title}: {}\n", total / divisor);
    for (name, count) in ranking.into_iter().take(NAMED).filter(|(_, count)| **count >= divisor) {
        let _ = writeln!(text, "{:>8}  {name}", count / divisor);
    }
    text
}

/// Writes the reference anew: `INKBED_UPDATE_REFERENCE=1 cargo test --test guest boot_length`.
fn write(now: &Reference, tables: &[String]) {
    let json = serde_json::to_string_pretty(now).expect("counts are JSON") + "\n";
    std::fs::write(folder().join("boot-length.json"), json).expect("the reference is written");
    std::fs::write(folder().join("boot-length.txt"), tables.join("\n")).expect("the tables are written");
}

/// The boot is bounded, because CPUID decides a few of its instructions; what a server adds is exact.
#[test]
fn the_boot_is_no_longer_than_the_reference_says() {
    let Some(boot) = counted(&guest(Place::Kernel, 1)) else { return };
    let mut tables = vec![table(
        "Boot, client in user space and server in the kernel",
        boot.instructions,
        &boot.functions,
        1,
    )];
    let mut added_instructions = BTreeMap::new();
    for place in BOTH_PLACES {
        let Some((instructions, functions)) = added(place) else { return };
        let title = format!("Each further server in {}", name(place));
        tables.push(table(&title, instructions, &functions, ADDED));
        added_instructions.insert(name(place), instructions);
    }
    let now = Reference {
        about: "instructions of the kernel before the first server's first one, counted by single steps"
            .to_owned(),
        boot_instructions: boot.instructions,
        added_servers: ADDED,
        added_instructions,
    };
    if std::env::var_os("INKBED_UPDATE_REFERENCE").is_some() {
        return write(&now, &tables);
    }
    let reference: Reference = serde_json::from_str(REFERENCE).expect("the reference is readable");
    assert!(
        now.boot_instructions <= reference.boot_instructions + SLACK
            && now.added_instructions == reference.added_instructions,
        "the boot has changed: {now:?}, not {reference:?}; if that is meant, INKBED_UPDATE_REFERENCE=1 writes the reference anew\n{}",
        tables.join("\n")
    );
}

/// Where ring 0 is emulated, that is told by few turns of a loop.
#[test]
fn a_plan_that_leaves_the_threshold_open_boots_within_its_bound() {
    let guest = GuestConfig { plan_flags: 0, ..guest(Place::Kernel, 1) };
    let Some(boot) = counted(&guest) else { return };
    println!("{}", table("Boot", boot.instructions, &boot.functions, 1));
    if boot.run.flush.source == source::RING_0_EMULATED {
        assert!(boot.instructions <= 9_500, "{} instructions", boot.instructions);
    }
}
