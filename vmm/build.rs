//! Builds the guest (kernel and servers) for `x86_64-unknown-none`, the servers also as 32-bit programs, and generates
//! `guest.rs`, which embeds it.
//!
//! Nested cargo calls with a target directory of their own: the outer cargo holds the lock of the usual one
//! (cargo#8938). The guest is always built with the profile `guest`, so that a debug build of the VMM never measures a
//! debug kernel.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// The guest's target.
const TARGET: &str = "x86_64-unknown-none";

/// Target of the 32-bit servers: one without SSE, because servers have no floating-point registers.
const TARGET_32: &str = "i586-unknown-linux-gnu";

/// Profile of the workspace's manifest; its output goes to a folder of the same name.
const PROFILE: &str = "guest";

/// What is meant for the host's build and must not reach the guest's.
const HOST_VARIABLES: [&str; 6] = [
    "RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_INCREMENTAL",
];

fn main() {
    let out = PathBuf::from(variable("OUT_DIR"));
    let workspace = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("..");
    require_target(TARGET);
    require_target(TARGET_32);
    let binaries = build(&workspace, &out.join("guest"));
    write_source(&binaries, &out.join("guest.rs"));
    track_sources(&workspace, &binaries);
}

/// Where the guest's ELF files are.
struct Binaries {
    kernel: PathBuf,
    /// In the order of `abi::program::ALL`: the 64-bit builds, then the 32-bit ones.
    servers: Vec<(String, PathBuf)>,
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| fail(&format!("cargo gives no usable {name}: {error}")))
}

fn fail(message: &str) -> ! {
    eprintln!("error: {message}");
    exit(1)
}

/// Installs a target of the guest's where rustup can, and names the command where it cannot.
fn require_target(target: &str) {
    let installed = || {
        let output = Command::new(variable("RUSTC"))
            .args(["--print", "target-libdir", "--target", target])
            .output()
            .unwrap_or_else(|error| fail(&format!("cannot start rustc: {error}")));
        Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    };
    if installed() {
        return;
    }
    let added = Command::new("rustup").args(["target", "add", target]).status();
    if !added.is_ok_and(|status| status.success()) || !installed() {
        fail(&format!("the guest needs Rust's target {target}; install it with: rustup target add {target}"));
    }
}

fn build(workspace: &Path, target_dir: &Path) -> Binaries {
    let folder = build_packages(workspace, target_dir, TARGET, &["guest-kernel", "guest-servers"], &[]);
    // The segments of a 32-bit server move it, so its code need not be position independent. The target is made for programs
    // under Linux, which a C compiler links; of all that nothing is wanted.
    let flags = ["-Crelocation-model=static", "-Clinker=rust-lld", "-Clinker-flavor=ld.lld"];
    let folder_32 = build_packages(workspace, target_dir, TARGET_32, &["guest-servers"], &flags);
    let servers = abi::program::ALL.map(|name| (name.to_owned(), folder.join(name)));
    let servers_32 =
        abi::program::ALL.map(|name| (format!("{name}{}", abi::program::SUFFIX_32), folder_32.join(name)));
    Binaries { kernel: folder.join("guest-kernel"), servers: [servers, servers_32].as_flattened().to_vec() }
}

/// Builds the binaries of packages for a target, and returns the folder that they are in.
fn build_packages(
    workspace: &Path,
    target_dir: &Path,
    target: &str,
    packages: &[&str],
    flags: &[&str],
) -> PathBuf {
    let mut all_flags = guest_flags(workspace);
    all_flags.extend(flags.iter().map(|&flag| flag.to_owned()));
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .current_dir(workspace)
        .args(["build", "--profile", PROFILE, "--target", target, "--bins"])
        .arg("--target-dir")
        .arg(target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", all_flags.join("\x1f"));
    for package in packages {
        cargo.args(["--package", package, "--features", &format!("{package}/guest")]);
    }
    for name in HOST_VARIABLES {
        cargo.env_remove(name);
    }
    let status = cargo.status().unwrap_or_else(|error| fail(&format!("cannot start cargo: {error}")));
    if !status.success() {
        exit(1); // cargo has printed why
    }
    target_dir.join(target).join(PROFILE)
}

/// Frame pointers, because the VMM walks them for the last words of a guest; and no path of the building machine in
/// panic messages, so that the guest's hash does not depend on where it was built.
fn guest_flags(workspace: &Path) -> Vec<String> {
    let mut flags = vec!["-Cforce-frame-pointers=yes".to_owned()];
    let home = env::var("CARGO_HOME").or_else(|_| env::var("HOME").map(|home| format!("{home}/.cargo")));
    let workspace = workspace.canonicalize().ok();
    let places = [(home.ok(), "cargo"), (workspace.map(|path| path.display().to_string()), "inkbed")];
    for (place, name) in places {
        flags.extend(place.map(|place| format!("--remap-path-prefix={place}={name}")));
    }
    flags
}

fn write_source(binaries: &Binaries, path: &Path) {
    let mut source = String::from("// Written by build.rs.\n");
    let mut line = |text: String| writeln!(source, "{text}").unwrap_or_else(|error| fail(&error.to_string()));
    line(format!("pub(super) static KERNEL: &[u8] = include_bytes!({:?});", binaries.kernel));
    line("pub(super) static SERVERS: &[(&str, &[u8])] = &[".to_owned());
    for (name, path) in &binaries.servers {
        line(format!("    ({name:?}, include_bytes!({path:?})),"));
    }
    line("];".to_owned());
    fs::write(path, source)
        .unwrap_or_else(|error| fail(&format!("cannot write {}: {error}", path.display())));
}

/// Every source that cargo saw (`binary: source source …`), and what its lists leave out.
fn track_sources(workspace: &Path, binaries: &Binaries) {
    let servers = binaries.servers.iter().map(|(_, path)| path);
    for binary in std::iter::once(&binaries.kernel).chain(servers) {
        let list = binary.with_extension("d");
        let text = fs::read_to_string(&list)
            .unwrap_or_else(|error| fail(&format!("cannot read {}: {error}", list.display())));
        let sources = text.split_once(": ").map_or("", |(_, sources)| sources).replace("\\ ", "\0");
        for source in sources.split_whitespace() {
            println!("cargo::rerun-if-changed={}", source.replace('\0', " "));
        }
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(file).display());
    }
    for package in ["abi", "guest-kernel", "guest-servers"] {
        // Manifest, build script, linker script.
        let entries = fs::read_dir(workspace.join(package)).into_iter().flatten().flatten();
        for file in entries.map(|entry| entry.path()).filter(|path| path.is_file()) {
            println!("cargo::rerun-if-changed={}", file.display());
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
}
