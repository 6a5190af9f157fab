//! What reaches the guest's build of the environment and of paths: nothing that the guest would show.

use std::env;
use std::ffi::OsString;
use std::process::{Command, exit};

/// Starts of the names that are the user's to set: where cargo finds itself, the network, and crates.
const KEPT: [&str; 14] = [
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_LOG",
    "CARGO_MAKEFLAGS",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_RESOLVER_",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
    "RUSTC_LOG",
    "RUSTUP_",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "RUST_RECURSION_COUNT",
];

/// Set when this program stands in for the compiler.
const STANDS_IN: &str = "INKBED_STANDS_IN_FOR_RUSTC";

/// A cargo that sees no setting of compiler, flags, profiles or targets in its environment.
pub(crate) fn clean_cargo(cargo: &str, rustc: &str) -> Command {
    let mut command = Command::new(cargo);
    let is_setting = |name: &str| name.starts_with("CARGO") || name.starts_with("RUST");
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if is_setting(&text) && !KEPT.iter().any(|kept| text.starts_with(kept)) {
            command.env_remove(&name);
        }
    }
    command.env("RUSTC", rustc).env("CARGO_INCREMENTAL", "0").env("RUSTC_WORKSPACE_WRAPPER", "");
    command
}

/// Has cargo call this program in place of the compiler, see [`stand_in`]. It takes the place of any wrapper of the user's.
pub(crate) fn compile_through_this_program(cargo: &mut Command) {
    let program =
        env::current_exe().unwrap_or_else(|error| crate::fail(&format!("which program am I? {error}")));
    cargo.env("RUSTC_WRAPPER", program).env(STANDS_IN, "1");
}

/// Where cargo calls this program as the compiler: compiles, with the folder of each crate replaced by its name and version
/// in panic messages, wherever the crate lies (registry, vendored, workspace). Only cargo knows the two together.
pub(crate) fn stand_in() {
    if env::var_os(STANDS_IN).is_none() {
        return;
    }
    let mut arguments = env::args_os().skip(1);
    let mut rustc = Command::new(arguments.next().unwrap_or_default());
    rustc.args(arguments);
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let crate_ = ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"].map(variable);
    if let [Some(folder), Some(name), Some(version)] = crate_ {
        let mut remap = OsString::from("--remap-path-prefix=");
        for part in [folder, "=".into(), name, "-".into(), version] {
            remap.push(part);
        }
        rustc.arg(remap);
    }
    let status = rustc.status().unwrap_or_else(|error| crate::fail(&format!("cannot start rustc: {error}")));
    exit(status.code().unwrap_or(1));
}
