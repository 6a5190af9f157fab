//! The layers of the library: a folder of `vmm/src` knows those below it and no others, so there is no circle between folders.
//! `docs/architecture.md` draws them in the same order.
//!
//! Files within one folder have no order here. The `mod.rs` of a registry (lenses, workloads, figures) names its entries, and each entry
//! takes the trait from it: that is a circle of files by design, which a test could only list as exceptions.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders and files of `vmm/src`, the lowest first.
const LAYERS: [&str; 25] = [
    "printable",
    "bounded",
    "statistics",
    "requests",
    "tlb",
    "machine",
    "guest_image",
    "host",
    "system",
    "case",
    "workload",
    "record",
    "lens",
    "elsewhere",
    "doctor",
    "experiment",
    "reduce",
    "run",
    "report",
    "compare",
    "merge",
    "selftest",
    "cli",
    "lib",
    "main",
];

/// An import that points up, or to what is no layer.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Upward {
    file: PathBuf,
    line: usize,
    to: String,
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            files(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

/// Tests may build what they need from any layer.
fn is_test(file: &Path) -> bool {
    let names = file.iter().map(|name| name.to_string_lossy());
    names
        .map(|name| name.trim_end_matches(".rs").to_owned())
        .any(|name| name == "tests" || name.ends_with("_tests") || name == "damage")
}

/// The layer that a file below `vmm/src` belongs to.
fn layer_of(file: &Path) -> String {
    let first = file.iter().next().unwrap().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Layers that a line names: `crate::x::…`, and each of `use crate::{x, y::z}`.
fn named(line: &str) -> Vec<String> {
    let name = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        text[..end].to_owned()
    };
    let names = line.match_indices("crate::").flat_map(|(at, word)| {
        let rest = &line[at + word.len()..];
        match rest.strip_prefix('{') {
            // Only the names before the first brace within: the formatter splits what is longer.
            Some(list) => {
                list.split(['}', ';']).next().unwrap_or("").split(',').map(|part| name(part.trim())).collect()
            }
            None => vec![name(rest)],
        }
    });
    names.filter(|name| !name.is_empty()).collect()
}

/// Imports of a file's text that point up. Comments and the tests at its end are no imports.
fn upward(file: &Path, text: &str) -> Vec<Upward> {
    let own = layer_of(file);
    let height = |layer: &str| LAYERS.iter().position(|known| *known == layer);
    let own_height = height(&own).unwrap_or_else(|| panic!("{own} is no layer: give it a place in LAYERS"));
    let end = text.lines().position(|line| line.ends_with("mod tests {")).unwrap_or(usize::MAX);
    let lines = text.lines().take(end).enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    let mut found = Vec::new();
    for (index, line) in lines {
        for to in named(line).into_iter().filter(|to| *to != own) {
            if height(&to).is_none_or(|height| height >= own_height) {
                found.push(Upward { file: file.to_owned(), line: index + 1, to });
            }
        }
    }
    found
}

#[test]
fn every_import_points_down() {
    let root = sources();
    let mut all = Vec::new();
    files(&root, &mut all);
    let relative = all.iter().map(|file| file.strip_prefix(&root).unwrap());
    let found: BTreeSet<Upward> = relative
        .filter(|file| !is_test(file))
        .flat_map(|file| upward(file, &fs::read_to_string(root.join(file)).unwrap()))
        .collect();
    assert!(found.is_empty(), "these imports point up:\n{found:#?}");
}

#[test]
fn every_layer_is_there() {
    for layer in LAYERS {
        let path = sources().join(layer);
        assert!(
            path.is_dir() || path.with_extension("rs").is_file(),
            "{layer} is gone: take it out of LAYERS"
        );
    }
}

/// The page lists the folders from the top down, each as the first cell of a row.
#[test]
fn the_architecture_page_draws_the_same_order() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/architecture.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, rows) = page.split_once("The folders of `vmm/src`").expect("a list of folders");
    let rows = rows
        .split("\nThe folders of")
        .next()
        .unwrap_or(rows)
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("/`"));
    let drawn: Vec<&str> = rows.map(|(name, _)| name).collect();
    let folders = LAYERS.into_iter().rev().filter(|layer| sources().join(layer).is_dir());
    assert_eq!(drawn, folders.collect::<Vec<_>>());
}

#[test]
fn an_import_that_points_up_is_found() {
    let text = "use crate::machine::run;\n// crate::cli is above\nfn f() { crate::report::table(); }\n\
                use crate::{cli, tlb::x};\n#[cfg(test)]\nmod tests {\n    use crate::cli;\n}\n";
    let found = upward(Path::new("lens/x.rs"), text);
    let found: Vec<(usize, &str)> = found.iter().map(|upward| (upward.line, upward.to.as_str())).collect();
    assert_eq!(found, [(3, "report"), (4, "cli")]);
    assert_eq!(upward(Path::new("machine/x.rs"), "use crate::nowhere::x;")[0].to, "nowhere");
    assert!(is_test(Path::new("tlb/tests/x.rs")) && is_test(Path::new("run/session_tests.rs")));
}
