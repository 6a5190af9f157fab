//! `inkbed new`: what it makes, what it prints, and what it refuses. That a server is built and measured is tested in `adding`.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;

fn inkbed(folder: &Path) -> Command {
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("inkbed");
    command
        .current_dir(folder)
        .arg("new")
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_TARGET_DIR");
    command
}

/// All files below a folder, as paths in it.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_server_has_all_that_builds_and_measures_it() {
    let place = tempfile::tempdir().unwrap();
    let program = assert_cmd::cargo::cargo_bin!("inkbed").display().to_string();
    inkbed(place.path()).args(["server", "mine"]).assert().success().stdout(
        predicate::str::contains("\n  cd mine && cargo build --release\n")
            // Called by its path, it names its path.
            .and(predicate::str::contains(format!("{program} run experiment.toml --servers target/")))
            .and(predicate::str::contains("/x86_64-unknown-none/release\n")),
    );
    let folder = place.path().join("mine");
    let expected = [
        ".cargo/config.toml",
        ".gitignore",
        "Cargo.toml",
        "build.rs",
        "experiment.toml",
        "rust-toolchain.toml",
        "src/main.rs",
    ];
    assert_eq!(files(&folder), expected);
    let table = |file: &str| {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        toml::from_str::<toml::Table>(&text).unwrap()
    };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-servers").canonicalize().unwrap();
    let manifest = table("Cargo.toml");
    assert_eq!(manifest["dependencies"]["guest-servers"]["path"].as_str(), source.to_str());
    assert_eq!(manifest["bin"][0]["name"].as_str(), Some("mine"));
    assert!(manifest.contains_key("workspace"));
    assert_eq!(table("experiment.toml")["name"].as_str(), Some("mine"));
    // No program is there yet, and the error says so.
    let mut run = assert_cmd::cargo::cargo_bin_cmd!("inkbed");
    run.current_dir(&folder).args(["run", "experiment.toml", "--dry-run"]);
    run.assert().code(2).stderr(predicate::str::contains("there is no program `mine`"));
}

#[test]
fn the_commands_are_right_for_every_folder_and_setting() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("it's empty")).unwrap();
    inkbed(place.path())
        .args(["server", "mine", "--path", "it's empty"])
        .env("CARGO_TARGET_DIR", "/some where")
        .assert()
        .success()
        .stdout(
            predicate::str::contains("\n  cd \"it's empty\" && cargo build")
                .and(predicate::str::contains("--servers '/some where/x86_64-unknown-none/release'\n")),
        );
    assert!(place.path().join("it's empty/Cargo.toml").is_file());
    inkbed(place.path())
        .args(["server", "other", "--path", "a/b", "--inkbed", "https://example.org/inkbed"])
        .assert()
        .success();
    let manifest = fs::read_to_string(place.path().join("a/b/Cargo.toml")).unwrap();
    assert!(manifest.contains("guest-servers = { git = \"https://example.org/inkbed\" }"), "{manifest}");
}

#[test]
fn what_cannot_be_made_is_refused_and_nothing_is_touched() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("full")).unwrap();
    fs::write(place.path().join("full/notes"), "mine").unwrap();
    fs::write(place.path().join("file"), "mine").unwrap();
    let before = files(place.path());
    let cases: [(&[&str], &str, &str); 8] = [
        (&["null"], "a built-in program has it", "another name"),
        (&["a.b"], "none of a program", "letters, digits"),
        (&["busy-32"], "for 32 bits", "without `-32`"),
        (&["deps"], "cargo has another use", "another name"),
        (&["full"], "full is there already and is not empty", "--path"),
        (&["file"], "file is no folder", "--path"),
        (&["busy", "--path", "file/busy"], "is no folder, or lies in none", "--path"),
        (&["busy", "--inkbed", "full"], "there is no source of inkbed in full", "--inkbed"),
    ];
    for (arguments, reason, fix) in cases {
        let refused = predicate::str::contains(reason).and(predicate::str::contains("fix:"));
        let refused = refused.and(predicate::str::contains(fix));
        inkbed(place.path()).arg("server").args(arguments).assert().code(2).stderr(refused);
    }
    assert_eq!(files(place.path()), before);
    assert_eq!(fs::read_to_string(place.path().join("full/notes")).unwrap(), "mine");
}

#[test]
fn a_folder_that_cannot_be_written_ends_with_the_code_of_storage() {
    let place = tempfile::tempdir().unwrap();
    inkbed(place.path())
        .args(["server", "busy", "--path", "/proc/busy"])
        .assert()
        .code(4)
        .stderr(predicate::str::contains("cannot write /proc/busy/Cargo.toml"));
}
