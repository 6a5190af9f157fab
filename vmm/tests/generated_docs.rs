//! Tables of the docs that are made from the declarations of keys and workloads.
//!
//! `INKBED_BLESS=1 cargo test -p inkbed --test generated_docs` writes them anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use inkbed::system::placement::Placement;
use inkbed::workload::docs;

/// The text between the marks of a table, or where it is to be.
fn part<'a>(text: &'a str, name: &str) -> (&'a str, &'a str, &'a str) {
    let (begin, end) =
        (format!("<!-- {name}: made from the code -->\n\n"), format!("\n<!-- end of {name} -->\n"));
    let (head, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no mark `{begin}`"));
    let (table, tail) = rest.split_once(&end).unwrap_or_else(|| panic!("no mark `{end}`"));
    (&text[..head.len() + begin.len()], table, &text[text.len() - tail.len() - end.len()..])
}

fn compare(file: &str, name: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
    let text = fs::read_to_string(&path).unwrap();
    let (head, written, tail) = part(&text, name);
    if std::env::var_os("INKBED_BLESS").is_some() {
        fs::write(&path, format!("{head}{table}{tail}")).unwrap();
    } else {
        assert!(written == table, "{file} and the code differ in `{name}`; INKBED_BLESS=1 accepts:\n{table}");
    }
}

#[test]
fn the_tables_of_experiment_files_are_those_of_the_code() {
    compare("experiment-files.md", "keys of defaults", &docs::defaults());
    compare("experiment-files.md", "keys of a case", &docs::case_keys());
    compare("experiment-files.md", "workloads", &docs::workloads());
}

#[test]
fn the_parameters_of_results_files_are_those_of_the_code() {
    compare("results-files.md", "parameters", &docs::recorded());
}

#[test]
fn the_table_of_placements_has_a_row_for_each() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/experiment-files.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("\n## Placements\n").expect("the section on placements");
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let names: BTreeSet<&str> = rows.map(|(name, _)| name).collect();
    assert_eq!(names, Placement::NAMES.iter().copied().collect());
}
