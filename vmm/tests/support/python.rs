//! Python with modules, where this machine has it.

use std::path::Path;
use std::process::Command;

/// The command of a Python that has all of `modules`; says what is missing. A user may have one beside Debian's.
pub(crate) fn require_python(modules: &[&str], packages: &str) -> Option<&'static str> {
    let imports = format!("import {}", modules.join(", "));
    let has_all = |python: &&str| {
        Command::new(python).args(["-c", &imports]).output().is_ok_and(|output| output.status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has_all);
    if found.is_none() {
        println!(
            "skipped: this machine has no python3 with {} (Debian: apt install {packages})",
            modules.join(" and ")
        );
    }
    found
}

/// What a program prints in `folder`, without blanks at the ends of lines.
pub(crate) fn printed(python: &str, folder: &Path, program: &str) -> String {
    let mut command = Command::new(python);
    command.current_dir(folder).args(["-c", program]);
    command.env("MPLBACKEND", "svg").env("MPLCONFIGDIR", folder.join("matplotlib"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{program}\n{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}
