//! A copy of the repository with all patches of the pages, and what its `inkbed` says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::Value;

/// The patches, in the order in which they are applied.
const PATCHES: [&str; 3] = [crate::workload::PATCH, crate::lens::PATCH, crate::placement::PATCH];

/// The folder of the repository.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A page's patch.
pub struct Patch(String);

impl Patch {
    /// That in this file of the repository.
    pub fn read(file: &str) -> Patch {
        Patch(fs::read_to_string(workspace().join(file)).unwrap())
    }

    /// Each file that it changes, with the number of lines that it adds there and takes away.
    pub fn places(&self) -> Vec<(&str, usize, usize)> {
        let files = self.0.split("\n+++ b/").skip(1);
        let count = |text: &str, sign: char| {
            let lines =
                text.lines().skip(1).filter(|line| line.starts_with(sign) && !line.starts_with("---"));
            lines.count()
        };
        files.map(|text| (text.lines().next().unwrap_or(""), count(text, '+'), count(text, '-'))).collect()
    }
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", said(&output));
    output
}

/// Both of a program's outputs.
pub fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// The files of the copy, which are those that are committed or would be, with the patches applied and built.
static FILES: LazyLock<PathBuf> = LazyLock::new(|| {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("adding");
    let files = copy.join("files");
    let _ = fs::remove_dir_all(&files);
    fs::create_dir_all(&files).unwrap();
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let list = run(Command::new("git").current_dir(workspace()).args(list));
    for name in String::from_utf8(list.stdout).unwrap().split_terminator('\0') {
        let (from, to) = (workspace().join(name), files.join(name));
        if name.starts_with("results/") || !from.is_file() {
            continue;
        }
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&from, &to).unwrap();
    }
    run(Command::new("git").current_dir(&files).args(["init", "-q"]));
    for patch in PATCHES {
        run(Command::new("git").current_dir(&files).arg("apply").arg(workspace().join(patch)));
    }
    run(cargo(&files).args(["build", "--locked", "-p", "inkbed"]));
    files
});

fn cargo(files: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(files).env("CARGO_TARGET_DIR", files.join("../target"));
    cargo
}

/// What is left of an experiment that the copy has run.
pub struct Ran {
    pub folder: PathBuf,
    pub record: Value,
    pub is_success: bool,
    /// What was printed.
    pub said: String,
}

impl Ran {
    pub fn cases(&self) -> &[Value] {
        self.record["cases"].as_array().unwrap()
    }

    pub fn names(&self) -> Vec<&str> {
        self.cases().iter().map(|case| case["name"].as_str().unwrap()).collect()
    }

    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap()
    }
}

/// Runs an experiment of these cases with the copy's `inkbed`.
pub fn run_cases(name: &str, cases: &str) -> Ran {
    let experiment = FILES.join(format!("{name}.toml"));
    fs::write(&experiment, format!("# Rows?\nname = \"{name}\"\nquestion = \"Rows?\"\n{cases}")).unwrap();
    let folder = FILES.join(format!("out-{name}"));
    let mut command = cargo(&FILES);
    command.args(["run", "--quiet", "--locked", "-p", "inkbed", "--", "run"]);
    let output = command.arg(&experiment).arg("--out").arg(&folder).output().unwrap();
    let said = said(&output);
    let record = fs::read_to_string(folder.join("results.json")).unwrap_or_else(|_| panic!("{said}"));
    let record = serde_json::from_str(&record).unwrap();
    Ran { folder, record, is_success: output.status.success(), said }
}
