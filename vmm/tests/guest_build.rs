//! The guest is the same whoever builds it: the build script runs again under settings that would change it, and comes to the
//! bytes that are in this library.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use inkbed::guest_image::GuestImage;

/// A `~/.cargo/config.toml`; `WRAPPER` is replaced by a compiler that adds a flag of its own.
const CONFIGURATION: &str = r#"
[build]
rustflags = ["-Copt-level=1"]
rustc-wrapper = "WRAPPER"
rustc-workspace-wrapper = "WRAPPER"
incremental = true
[target.x86_64-unknown-none]
linker = "no-such-linker"
rustflags = ["-Coverflow-checks=yes"]
[profile.release]
strip = true
opt-level = "s"
debug = 2
lto = "off"
codegen-units = 16
incremental = true
debug-assertions = true
overflow-checks = true
rpath = true
[profile.release.build-override]
opt-level = 2
[profile.release.package."*"]
opt-level = 1
[profile.release.package.bitflags]
opt-level = 2
[profile.guest]
lto = "thin"
panic = "unwind"
[profile.guest.package.abi]
codegen-units = 7
"#;

const ENVIRONMENT: [(&str, &str); 9] = [
    ("RUSTFLAGS", "-Copt-level=0"),
    ("CARGO_BUILD_RUSTFLAGS", "-Copt-level=0"),
    ("CARGO_INCREMENTAL", "1"),
    ("CARGO_PROFILE_RELEASE_STRIP", "symbols"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "2"),
    ("CARGO_PROFILE_GUEST_OPT_LEVEL", "0"),
    ("CARGO_PROFILE_GUEST_LTO", "off"),
    ("CARGO_PROFILE_GUEST_BUILD_OVERRIDE_OPT_LEVEL", "3"),
    ("CARGO_TARGET_X86_64_UNKNOWN_NONE_LINKER", "no-such-linker"),
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn cargo_home() -> PathBuf {
    let home = std::env::var_os("HOME").unwrap_or_default();
    std::env::var_os("CARGO_HOME").map_or_else(|| Path::new(&home).join(".cargo"), PathBuf::from)
}

/// A home of cargo's with hostile settings and the crates of the real one, so elsewhere.
fn hostile_home(folder: &Path) -> PathBuf {
    let home = folder.join("cargo-home");
    fs::create_dir_all(&home).unwrap();
    let wrapper = home.join("wrapper");
    fs::write(&wrapper, "#!/bin/sh\nrustc=$1; shift\nexec \"$rustc\" \"$@\" -Cdebuginfo=2 -Copt-level=1\n")
        .unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let configuration = CONFIGURATION.replace("WRAPPER", wrapper.to_str().unwrap());
    fs::write(home.join("config.toml"), configuration).unwrap();
    for name in ["registry", "git"] {
        let _ = symlink(cargo_home().join(name), home.join(name));
    }
    home
}

/// The build script, with its output in `folder`.
fn build_script(folder: &Path) -> Command {
    let mut command = Command::new(env!("INKBED_GUEST_BUILDER"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR")).env("OUT_DIR", folder);
    command.env("CARGO", env!("CARGO")).env("RUSTC", Path::new(env!("CARGO")).with_file_name("rustc"));
    command.env("CARGO_CFG_TARGET_OS", "linux").env("CARGO_CFG_TARGET_ARCH", "x86_64");
    command
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn settings_of_the_user_do_not_change_the_guest() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest-build");
    let home = hostile_home(&folder);
    let mut command = build_script(&folder);
    command.envs(ENVIRONMENT).env("CARGO_HOME", &home).env("RUSTC_WRAPPER", home.join("wrapper"));
    run(command.env("CARGO_NET_OFFLINE", "true"));
    assert_is_built_in(&folder);
}

#[test]
#[ignore = "copies all crates, and downloads those that other systems need"]
fn vendored_crates_make_the_same_guest() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest-vendored");
    let (crates, home) = (folder.join("crates"), folder.join("cargo-home"));
    fs::create_dir_all(&home).unwrap();
    run(Command::new(env!("CARGO")).current_dir(workspace()).args(["vendor", "--locked"]).arg(&crates));
    let configuration = format!(
        "[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = {:?}\n",
        crates.display().to_string()
    );
    fs::write(home.join("config.toml"), configuration).unwrap();
    run(build_script(&folder).env("CARGO_HOME", &home).env("CARGO_NET_OFFLINE", "true"));
    assert_is_built_in(&folder);
}

/// Whether the guest that the build script has left in `folder` is that of this library.
fn assert_is_built_in(folder: &Path) {
    let built_in = GuestImage::embedded();
    let guest = folder.join("guest");
    let (long, short) = (guest.join("x86_64-unknown-none/guest"), guest.join("i586-unknown-linux-gnu/guest"));
    let kernel = fs::read(long.join("guest-kernel")).unwrap();
    assert!(kernel == *built_in.kernel.bytes, "the kernel is another one: see {}", long.display());
    for server in &built_in.servers {
        let file = match server.name.strip_suffix(abi::program::SUFFIX_32) {
            Some(name) => short.join(name),
            None => long.join(&server.name),
        };
        assert!(fs::read(&file).unwrap() == *server.bytes, "another server: {}", file.display());
    }
}

#[test]
fn the_guest_names_no_folder_of_this_machine() {
    let image = GuestImage::embedded();
    let places = [workspace(), cargo_home()].map(|path| path.into_os_string().into_encoded_bytes());
    for elf in image.servers.iter().chain([&image.kernel]) {
        for place in &places {
            let is_in = elf.bytes.windows(place.len()).any(|bytes| bytes == place.as_slice());
            assert!(!is_in, "{} holds {}", elf.name, String::from_utf8_lossy(place));
        }
    }
}

#[test]
fn another_processor_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = build_script(folder.path());
    let output = command.env("CARGO_CFG_TARGET_ARCH", "aarch64").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.lines().count() == 1, "{text}");
    assert!(text.contains("for linux on aarch64") && text.contains("x86-64"), "{text}");
}
