//! Builds the guest (kernel and servers) for `x86_64-unknown-none`, the servers also as 32-bit programs, and generates
//! `guest.rs`, which embeds it.
//!
//! Nested cargo calls with a target directory of their own: the outer cargo holds the lock of the usual one
//! (cargo#8938). The guest is the same whoever builds it, and in whatever build of the VMM: `build/profile.rs` and
//! `build/environment.rs` see to that, and `tests/guest_build.rs` that they do.

#[path = "build/environment.rs"]
mod environment;
#[path = "build/profile.rs"]
mod profile;

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};

/// The guest's target.
const TARGET: &str = "x86_64-unknown-none";

/// Target of the 32-bit servers: one without SSE, because servers have no floating-point registers.
const TARGET_32: &str = "i586-unknown-linux-gnu";

fn main() {
    environment::stand_in();
    require_host();
    let out = PathBuf::from(variable("OUT_DIR"));
    let workspace = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("..");
    require_target(TARGET);
    require_target(TARGET_32);
    let binaries = build(&workspace, &out.join("guest"));
    write_source(&binaries, &out.join("guest.rs"));
    track_sources(&workspace, &binaries);
    // For the test that runs it again, under other settings.
    if let Ok(program) = env::current_exe() {
        println!("cargo::rustc-env=INKBED_GUEST_BUILDER={}", program.display());
    }
}

/// Says in one line what would otherwise be many errors of many crates.
fn require_host() {
    let (system, processor) = (variable("CARGO_CFG_TARGET_OS"), variable("CARGO_CFG_TARGET_ARCH"));
    if (system.as_str(), processor.as_str()) != ("linux", "x86_64") {
        fail(&format!(
            "inkbed is for Linux on x86-64, and this build is for {system} on {processor}: KVM runs guests of the host's own \
             processor only, and the guest is a kernel for x86-64"
        ));
    }
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

pub(crate) fn fail(message: &str) -> ! {
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
    let mut all_flags = vec!["-Cforce-frame-pointers=yes"]; // the VMM walks them for the last words of a guest
    all_flags.extend(flags);
    let features = packages.iter().map(|package| format!("{package}/guest")).collect::<Vec<_>>().join(",");
    let mut selection = vec!["--locked", "--target", target, "--features", &features];
    selection.extend(packages.iter().flat_map(|package| ["--package", package]));
    let crates = crates(workspace, &selection);
    let configuration = target_dir.join(format!("{target}.toml"));
    write_file(&configuration, &profile::configuration(target, crates.iter().map(String::as_str)));

    let mut cargo = environment::clean_cargo(&variable("CARGO"), &variable("RUSTC"));
    environment::compile_through_this_program(&mut cargo);
    cargo.current_dir(workspace).args(["build", "--bins", "--profile", profile::NAME]).args(selection);
    cargo.arg("--target-dir").arg(target_dir).arg("--config").arg(&configuration);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", all_flags.join("\x1f"));
    let status = cargo.status().unwrap_or_else(|error| fail(&format!("cannot start cargo: {error}")));
    if !status.success() {
        exit(1); // cargo has printed why
    }
    target_dir.join(target).join(profile::NAME)
}

/// Names of all crates of a build.
fn crates(workspace: &Path, selection: &[&str]) -> BTreeSet<String> {
    let mut cargo = environment::clean_cargo(&variable("CARGO"), &variable("RUSTC"));
    cargo.current_dir(workspace).args(["tree", "--prefix", "none", "--format", "{p}"]).args(selection);
    cargo.args(["--edges", "normal,build"]).stderr(Stdio::inherit());
    let output = cargo.output().unwrap_or_else(|error| fail(&format!("cannot start cargo: {error}")));
    if !output.status.success() {
        exit(1); // cargo has printed why
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn write_file(path: &Path, text: &str) {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .unwrap_or_else(|error| fail(&format!("cannot write {}: {error}", path.display())));
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
    write_file(path, &source);
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
    for file in ["build.rs", "build"] {
        println!("cargo::rerun-if-changed={file}");
    }
}
