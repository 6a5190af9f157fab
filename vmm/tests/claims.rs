//! The table of the talk's claims names commands: all of them must be there.

use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust sources below a folder, in one text.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut text = String::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            // The name of the module is part of a test's name.
            text += &format!("fn {}::\n", path.file_stem().unwrap().to_string_lossy());
            text += &fs::read_to_string(&path).unwrap();
        }
    }
    text
}

/// Whether a function or a module has a name that holds `part`.
fn has_name(text: &str, part: &str) -> bool {
    text.lines().any(|line| {
        let (_, name) = line.split_once("fn ").unwrap_or_default();
        name.split(['(', '<']).next().is_some_and(|name| name.contains(part))
    })
}

#[test]
fn every_command_of_the_claim_table_exists() {
    let table = fs::read_to_string(workspace().join("docs/deck-claims.md")).unwrap();
    let (guest, kernel) =
        (sources(&workspace().join("vmm/tests/guest")), sources(&workspace().join("guest-kernel/src")));
    let mut checked = 0;
    for row in table.lines().filter(|line| line.starts_with('|')) {
        let quoted: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        for command in quoted {
            let exists = match command.split_once(' ') {
                Some(("test", name)) => has_name(&guest, name),
                Some(("unit", name)) => has_name(&kernel, name),
                Some(("run" | "trace", name)) => {
                    workspace().join(format!("bench-config/{name}.toml")).exists()
                }
                None if command.contains('/') && command.ends_with(".rs") => {
                    workspace().join(command).exists()
                }
                _ => continue,
            };
            assert!(exists, "`{command}` in: {row}");
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} commands found");
}
