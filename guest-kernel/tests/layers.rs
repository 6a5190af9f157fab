//! The kernel's folders in their order: each uses only those before it, so no two of them use each other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. A folder within another one has a place of its own; all other files belong to the folder that they are in.
const ORDER: [&str; 14] = [
    // Atomics and queues that know no other part of the kernel.
    "sync",
    // Frames, kernel objects' memory, slots.
    "memory",
    // The machine: registers, page tables, instructions.
    "arch",
    // Threads, servers, spaces, endpoints.
    "object",
    // What the VMM is told.
    "measure",
    // CPUs: who runs, who is ready, what was counted, and what they share.
    "cpu",
    // Messages.
    "ipc",
    // Stopping all other CPUs, and having TLBs forget.
    "smp",
    // Servers that start, stop, end and move.
    "lifecycle",
    // Who runs next.
    "sched",
    // What threads ask for.
    "system_call",
    // From the plan to running servers.
    "boot",
    // The ways in and out: the first instruction, system calls, exceptions and interrupts.
    "arch/x86_64/entry",
    // The binary.
    "main",
];

/// Files that are there for tests only, which may use everything.
fn is_of_tests(file: &str) -> bool {
    file == "testing.rs" || file.ends_with("tests.rs")
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All files below a folder, by their path from it.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|below| format!("{name}/{below}")));
        } else {
            found.push(name);
        }
    }
    found
}

/// The place in the order of a file, or of a path of modules with `/` between them: that of the longest folder it is in.
fn place(path: &str) -> Option<usize> {
    let is_in = |folder: &str| {
        path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(['/', '.']))
    };
    let matching = ORDER.iter().enumerate().filter(|(_, folder)| is_in(folder));
    matching.max_by_key(|(_, folder)| folder.len()).map(|(index, _)| index)
}

/// The paths of modules, with `/` between them, that a file's code names by `crate::`, `super::` or `kernel::` (the library, in
/// the binary), without its tests. A group in braces counts as each of its members.
fn uses(file: &str, text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut parents: Vec<&str> = file.strip_suffix(".rs").unwrap().split('/').collect();
    if parents.last() == Some(&"mod") {
        parents.pop();
    }
    let mut found = BTreeSet::new();
    for (start, _) in code.match_indices("crate::").chain(code.match_indices("kernel::arch")) {
        let path = code[start..].strip_prefix("crate::").or(code[start..].strip_prefix("kernel::")).unwrap();
        found.extend(expand(path, ""));
    }
    for (start, _) in code.match_indices("super::") {
        let mut rest = &code[start..];
        let mut depth = 0;
        while let Some(shorter) = rest.strip_prefix("super::") {
            (rest, depth) = (shorter, depth + 1);
        }
        if code[..start].ends_with("super::") || depth > parents.len() {
            continue;
        }
        found.extend(expand(rest, &parents[..parents.len() - depth].join("/")));
    }
    found
}

/// The paths that a `use` path begins with, below `base`.
fn expand(path: &str, base: &str) -> Vec<String> {
    let join = |name: &str| if base.is_empty() { name.to_owned() } else { format!("{base}/{name}") };
    if let Some(group) = path.strip_prefix('{') {
        let (mut depth, mut start, mut found) = (0, 0, Vec::new());
        for (index, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    found.extend(expand(group[start..index].trim(), base));
                    start = index + 1;
                    if character == '}' {
                        break;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
        return found;
    }
    let end =
        path.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(path.len());
    let name = &path[..end];
    match path[end..].strip_prefix("::") {
        _ if name.is_empty() || name == "self" => vec![base.to_owned()],
        Some(rest) => expand(rest, &join(name)),
        None => vec![join(name)],
    }
}

#[test]
fn no_folder_uses_one_above_it() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for file in files(&source()).into_iter().filter(|file| file != "lib.rs" && !is_of_tests(file)) {
        let own = place(&file).unwrap_or_else(|| panic!("{file} is in no folder of the order"));
        for used in uses(&file, &fs::read_to_string(source().join(&file)).unwrap()) {
            let Some(other) = place(&used) else {
                panic!("{file} uses {used}, which is in no folder of the order");
            };
            seen.insert((own, other));
            if other > own {
                wrong.push(format!("{file} uses {used}"));
            }
        }
    }
    assert!(seen.len() > 50, "the uses are not found any more: {seen:?}");
    assert!(wrong.is_empty(), "folders use those above them:\n{}", wrong.join("\n"));
}

#[test]
fn uses_are_found_in_every_form() {
    let text = "use crate::cpu::{self, Cpu, port::{CpuPort}};\nuse super::slow::call;\nuse super::super::smp;\n//! [`crate::boot`]\nfn f() { crate::sched::run() }\n#[cfg(test)]\nmod tests {\n    use crate::boot;\n}\n";
    let found: Vec<String> = uses("ipc/remote.rs", text).into_iter().collect();
    assert_eq!(found, ["cpu", "cpu/Cpu", "cpu/port/CpuPort", "ipc/slow/call", "sched/run", "smp"]);
    assert!(place("arch/x86_64/entry/boot") > place("arch/x86_64/paging"));
}
