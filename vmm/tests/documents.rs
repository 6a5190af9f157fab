//! What README and docs say is there: commands, tests, links, and the numbers of the path-length reference.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a folder with this extension.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|of_file| of_file == extension) {
            found.push(path);
        }
    }
    found
}

/// Everything that a person reads.
fn documents() -> Vec<PathBuf> {
    let mut documents = files(&workspace().join("docs"), "md");
    documents.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| workspace().join(name)));
    documents
}

fn parser(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
}

/// All Rust sources below a folder, in one text.
fn sources(folder: &str) -> String {
    let of_file = |path: PathBuf| {
        // The name of the module is part of a test's name.
        format!("fn {}::\n{}", path.file_stem().unwrap().to_string_lossy(), read(&path))
    };
    files(&workspace().join(folder), "rs").into_iter().map(of_file).collect()
}

/// Whether a function or a module has a name that holds `part`.
fn has_name(text: &str, part: &str) -> bool {
    text.lines().any(|line| {
        let (_, name) = line.split_once("fn ").unwrap_or_default();
        name.split(['(', '<']).next().is_some_and(|name| name.contains(part))
    })
}

#[test]
fn every_command_in_the_docs_exists() {
    let (guest, hostile) = (sources("vmm/tests/guest"), sources("vmm/tests/hostile"));
    let (kernel, library) = (sources("guest-kernel/src"), sources("vmm/src"));
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c))
    };
    let mut checked = 0;
    for document in documents() {
        let text = read(&document);
        for command in parser(&text).filter_map(|event| match event {
            Event::Code(code) => Some(code),
            _ => None,
        }) {
            let exists = match command.split_once(' ') {
                Some(("test", name)) if is_name(name) => has_name(&guest, name),
                Some(("hostile", name)) if is_name(name) => has_name(&hostile, name),
                Some(("unit", name)) if is_name(name) => has_name(&kernel, name),
                Some(("host", name)) if is_name(name) => has_name(&library, name),
                Some(("run" | "trace", name)) if is_name(&name.replace('-', "_")) => {
                    workspace().join(format!("bench-config/{name}.toml")).exists()
                }
                None if command.contains('/') && command.ends_with(".rs") && !command.starts_with("src/") => {
                    workspace().join(command.as_ref()).exists()
                }
                _ => continue,
            };
            assert!(exists, "{}: `{command}`", document.display());
            checked += 1;
        }
    }
    assert!(checked > 70, "only {checked} commands found");
}

/// The anchor that a Markdown renderer gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
}

fn anchors(text: &str) -> BTreeSet<String> {
    let (mut anchors, mut heading) = (BTreeSet::new(), None::<String>);
    for event in parser(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(part) | Event::Code(part) => heading.iter_mut().for_each(|heading| *heading += &part),
            Event::End(TagEnd::Heading(_)) => anchors.extend(heading.take().map(|heading| anchor(&heading))),
            _ => {}
        }
    }
    anchors
}

#[test]
fn every_link_leads_somewhere() {
    let mut checked = 0;
    for document in documents() {
        let text = read(&document);
        for event in parser(&text) {
            let (Event::Start(Tag::Link { dest_url, .. }) | Event::Start(Tag::Image { dest_url, .. })) =
                event
            else {
                continue;
            };
            if dest_url.starts_with("http") {
                continue;
            }
            let (path, anchor) = dest_url.split_once('#').unwrap_or((&dest_url, ""));
            let target =
                if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: {dest_url}", document.display());
            assert!(
                anchor.is_empty() || anchors(&read(&target)).contains(anchor),
                "{}: no heading for {dest_url}",
                document.display()
            );
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} links found");
}

#[test]
fn the_readme_can_be_read_in_three_minutes() {
    let text = read(&workspace().join("README.md"));
    assert!(text.lines().count() <= 120, "README has {} lines", text.lines().count());
    let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 100).collect();
    assert!(wide.is_empty(), "README has lines of more than 100 columns: {wide:#?}");
    let (mut words, mut is_prose) = (0, true);
    for event in parser(&text) {
        match event {
            Event::Start(Tag::Table(_) | Tag::CodeBlock(_)) => is_prose = false,
            Event::End(TagEnd::Table | TagEnd::CodeBlock) => is_prose = true,
            Event::Text(part) | Event::Code(part) if is_prose => words += part.split_whitespace().count(),
            _ => {}
        }
    }
    assert!(words <= 700, "README has {words} words of prose");
}

/// The cells of every table row of a document, without marks.
fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut cell) = (Vec::new(), None::<String>);
    for event in parser(text) {
        match event {
            Event::Start(Tag::TableHead | Tag::TableRow) => rows.push(Vec::new()),
            Event::Start(Tag::TableCell) => cell = Some(String::new()),
            Event::Text(part) | Event::Code(part) => cell.iter_mut().for_each(|cell| *cell += &part),
            Event::End(TagEnd::TableCell) => rows.last_mut().unwrap().extend(cell.take()),
            _ => {}
        }
    }
    rows
}

#[test]
fn the_readme_names_every_experiment() {
    let rows = rows(&read(&workspace().join("README.md")));
    let named: BTreeSet<&str> = rows.iter().filter_map(|row| row.first()).map(String::as_str).collect();
    for file in files(&workspace().join("bench-config"), "toml") {
        let name = file.file_stem().unwrap().to_string_lossy();
        assert!(named.contains(name.as_ref()), "README does not name the experiment {name}");
    }
}

/// Which column of a table holds what.
struct Columns {
    name: usize,
    page_table_loads: usize,
    kernel_and_stubs: usize,
    all_instructions: Option<usize>,
    kernel_code_bytes: Option<usize>,
}

/// Compares the rows with these names with the reference.
fn check_path_lengths(document: &str, prefix: &str, columns: &Columns, cases: &[(&str, &str)]) {
    let reference = read(&workspace().join("results/path-length/path-length.json"));
    let reference: serde_json::Value = serde_json::from_str(&reference).unwrap();
    let rows = rows(&read(&workspace().join(document)));
    for (name, case) in cases {
        let name = format!("{prefix}{name}");
        let row = rows.iter().find(|row| row.get(columns.name) == Some(&name));
        let row = row.unwrap_or_else(|| panic!("{document} has no row \"{name}\""));
        let case = &reference["cases"][case];
        let figures = [
            (Some(columns.page_table_loads), &case["kinds"]["page_table_loads"]),
            (Some(columns.kernel_and_stubs), &case["path_instructions"]),
            (columns.all_instructions, &case["instructions"]),
            (columns.kernel_code_bytes, &case["footprint"]["kernel"]["code_bytes"]),
        ];
        for (column, figure) in figures {
            let shown = column.map(|column| row[column].parse::<u64>().ok());
            assert!(
                shown.is_none_or(|shown| shown == figure.as_u64()),
                "{document}: {name}: {shown:?}, not {figure}"
            );
        }
    }
}

#[test]
fn path_lengths_are_those_of_the_reference() {
    check_path_lengths(
        "README.md",
        "",
        &Columns {
            name: 0,
            page_table_loads: 1,
            kernel_and_stubs: 2,
            all_instructions: None,
            kernel_code_bytes: None,
        },
        &[
            ("user → user", "user to user, 0 words"),
            ("user → user, in one space", "same space, 0 words"),
            ("user → kernel", "user to kernel, 0 words"),
            ("kernel → kernel", "kernel to kernel, 0 words"),
            ("user → kernel, on the caller's own thread", "user to kernel, direct, 0 words"),
        ],
    );
    check_path_lengths(
        "docs/peers.md",
        "inkbed, ",
        &Columns {
            name: 0,
            page_table_loads: 3,
            kernel_and_stubs: 1,
            all_instructions: Some(2),
            kernel_code_bytes: Some(4),
        },
        &[
            ("user → user", "user to user, 0 words"),
            ("in one space", "same space, 0 words"),
            ("user → kernel", "user to kernel, 0 words"),
            ("kernel → kernel", "kernel to kernel, 0 words"),
            ("user → kernel, direct", "user to kernel, direct, 0 words"),
            ("kernel → kernel, direct", "kernel to kernel, direct, 0 words"),
        ],
    );
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let mut names: Vec<String> = files(&workspace().join("docs/decisions"), "md")
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    for (index, name) in names.iter().enumerate() {
        assert!(name.starts_with(&format!("{:04}-", index + 1)), "{name} should be number {}", index + 1);
        let text = read(&workspace().join("docs/decisions").join(name));
        assert!(text.starts_with(&format!("# {}. ", index + 1)), "{name} has another number in its title");
    }
}

#[test]
fn every_counter_is_explained() {
    let text = read(&workspace().join("docs/results-files.md"));
    for counter in abi::report::COUNTER_NAMES {
        assert!(text.contains(&format!("`{counter}`")), "docs/results-files.md does not name {counter}");
    }
}

#[test]
fn the_architecture_names_every_folder() {
    let rows = rows(&read(&workspace().join("docs/architecture.md")));
    let named: BTreeSet<&str> = rows.iter().filter_map(|row| row.first()).map(String::as_str).collect();
    for sources in ["vmm/src", "guest-kernel/src"] {
        for entry in fs::read_dir(workspace().join(sources)).unwrap().map(|entry| entry.unwrap()) {
            let name = format!("{}/", entry.file_name().to_string_lossy());
            let is_named = !entry.path().is_dir() || named.contains(name.as_str());
            assert!(is_named, "docs/architecture.md has no row for {name} of {sources}");
        }
    }
}
