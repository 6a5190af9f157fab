//! The profile of the guest's build, which nobody's settings can change.
//!
//! It goes to cargo as a file of its own (`--config`): that stands above environment and configuration files. Every key is
//! in it, and every package, because a key that is left out would come from the user's `[profile.release]`.

use std::fmt::Write;

/// Name of the profile; cargo's output goes to a folder of the same name.
pub(crate) const NAME: &str = "guest";

/// What a package may have of its own, too.
const PACKAGE: &str = r#"
opt-level = 3
debug = "none"
split-debuginfo = "off"
strip = "none"
debug-assertions = false
overflow-checks = false
incremental = false
codegen-units = 1
"#;

/// What holds for whole programs.
const PROGRAM: &str = r#"
lto = "fat"
panic = "abort"
rpath = false
"#;

/// Build scripts and macros, which run on the host: cargo's own values.
const HOST: &str = r#"
opt-level = 0
debug = "none"
split-debuginfo = "off"
strip = "none"
debug-assertions = false
overflow-checks = false
incremental = false
codegen-units = 256
"#;

/// Cargo's configuration for a build of `packages` for `target`, which the toolchain's own linker links.
pub(crate) fn configuration<'a>(target: &str, packages: impl Iterator<Item = &'a str>) -> String {
    let mut text = format!(
        "[profile.{NAME}]\ninherits = \"release\"{PACKAGE}{PROGRAM}\n[profile.{NAME}.build-override]{HOST}\n\
         [target.{target}]\nlinker = \"rust-lld\"\n\n[profile.{NAME}.package.\"*\"]{PACKAGE}"
    );
    for package in packages {
        // Writing to a string never fails.
        let _ = write!(text, "\n[profile.{NAME}.package.{package}]{PACKAGE}");
    }
    text
}
