//! Builds the guest (kernel and servers) for `x86_64-unknown-none` and generates `guest.rs`, which embeds it.
//!
//! One nested cargo call with a target directory of its own: the outer cargo holds the lock of the usual one
//! (cargo#8938). The guest is always built with the profile `guest`, so that a debug build of the VMM never measures a
//! debug kernel.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// The guest's target.
const TARGET: &str = "x86_64-unknown-none";

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
    require_target();
    let binaries = build(&workspace, &out.join("guest"));
    write_source(&binaries, &out.join("guest.rs"));
    track_sources(&workspace, &binaries);
}

/// Where the guest's ELF files are.
struct Binaries {
    kernel: PathBuf,
    /// In the order of `abi::program::ALL`.
    servers: Vec<(&'static str, PathBuf)>,
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| fail(&format!("cargo gives no usable {name}: {error}")))
}

fn fail(message: &str) -> ! {
    eprintln!("error: {message}");
    exit(1)
}

/// Installs the guest's target where rustup can, and names the command where it cannot.
fn require_target() {
    let installed = || {
        let output = Command::new(variable("RUSTC"))
            .args(["--print", "target-libdir", "--target", TARGET])
            .output()
            .unwrap_or_else(|error| fail(&format!("cannot start rustc: {error}")));
        Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    };
    if installed() {
        return;
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    if !added.is_ok_and(|status| status.success()) || !installed() {
        fail(&format!("the guest needs Rust's target {TARGET}; install it with: rustup target add {TARGET}"));
    }
}

fn build(workspace: &Path, target_dir: &Path) -> Binaries {
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .current_dir(workspace)
        .args(["build", "--profile", PROFILE, "--target", TARGET])
        .args(["--package", "guest-kernel", "--package", "guest-servers", "--bins"])
        .args(["--features", "guest-kernel/guest,guest-servers/guest"])
        .arg("--target-dir")
        .arg(target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", guest_flags(workspace).join("\x1f"));
    for name in HOST_VARIABLES {
        cargo.env_remove(name);
    }
    let status = cargo.status().unwrap_or_else(|error| fail(&format!("cannot start cargo: {error}")));
    if !status.success() {
        exit(1); // cargo has printed why
    }
    let folder = target_dir.join(TARGET).join(PROFILE);
    Binaries {
        kernel: folder.join("guest-kernel"),
        servers: abi::program::ALL.map(|name| (name, folder.join(name))).to_vec(),
    }
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
