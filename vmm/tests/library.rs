//! The programs of `examples/` are built and run, and `docs/library.md` shows them as they are.

#[path = "support/kvm.rs"]
mod kvm;

use std::fs;
use std::path::Path;
use std::process::Command;

use kvm::require_kvm;

const EXAMPLES: [&str; 3] = ["run_guest", "run_experiment", "read_record"];

/// Longest that an example may be.
const LINES_MAX: usize = 40;

fn source(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.rs"));
    fs::read_to_string(file).unwrap()
}

/// Builds an example, runs it, and returns what it prints.
fn run(name: &str, arguments: &[&str]) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["run", "--quiet", "--locked", "--example", name, "--"]).args(arguments);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_example_runs_and_does_what_its_first_line_says() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/ipc-kvm-pvm");
    let read = run("read_record", &[reference.to_str().unwrap()]);
    assert!(read.starts_with("ipc: ") && read.contains(": 2 page-table loads a round trip\n"), "{read}");
    if !require_kvm() {
        return;
    }
    let guest = run("run_guest", &[]);
    let expected = "Finished { status: 0 } after 100 round trips\n200 thread switches, 0 page-table loads\n";
    assert_eq!(guest, expected);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    fs::write(
        &file,
        "# Why?\nname = \"x\"\nquestion = \"Why?\"\n[defaults]\nsamples = 5\nlaunches = 1\n\
        [[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = \"kernel\"\n\
        [[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = \"user\"\nguests = 2\n",
    )
    .unwrap();
    let results = folder.path().join("results");
    let table = run("run_experiment", &[file.to_str().unwrap(), results.to_str().unwrap()]);
    assert!(table.contains("user") && table.contains("kernel"), "{table}");
    let read = run("read_record", &[results.to_str().unwrap()]);
    assert!(
        read.contains("call/user-kernel") && read.contains(": 0 page-table loads a round trip"),
        "{read}"
    );
    let of_two = read.lines().find(|line| line.contains("guests")).expect("a case of two guests");
    assert!(of_two.ends_with(": 2 page-table loads a round trip"), "{read}");
}

#[test]
fn each_example_is_short_and_the_page_shows_it() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/library.md");
    let page = fs::read_to_string(page).unwrap();
    for name in EXAMPLES {
        let source = source(name);
        assert!(source.lines().count() < LINES_MAX, "{name} is too long to be read at a glance");
        let program = source.split_once("\n\n").unwrap().1;
        assert!(page.contains(&format!("```rust\n{program}```")), "docs/library.md shows another {name}");
    }
}
