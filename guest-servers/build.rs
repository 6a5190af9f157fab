//! Writes the linker script of all servers from the layout of a region, so that the stubs of the kernel interface page
//! have their addresses from `abi` and nowhere else.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use abi::call::number;
use abi::region::{KERNEL_INTERFACE_OFFSET, STUB_SIZE};

fn main() {
    println!("cargo::rerun-if-changed=layout.ld");
    let mut script = fs::read_to_string("layout.ld").expect("cannot read layout.ld");
    writeln!(script, "SECTIONS {{\n    .kernel_interface {KERNEL_INTERFACE_OFFSET:#x} (NOLOAD) : {{")
        .expect("writing to a string never fails");
    for call in 0..number::COUNT {
        writeln!(script, "        inkbed_stub_{call} = .; . += {STUB_SIZE};")
            .expect("writing to a string never fails");
    }
    script.push_str("    } :NONE\n}\n");
    let path = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("servers.ld");
    fs::write(&path, script).expect("cannot write the linker script");

    let arguments = [format!("-T{}", path.display()), "-zmax-page-size=4096".into(), "-znorelro".into()];
    // For servers in packages of their own, whose build scripts find it as DEP_INKBED_SERVER_LINK_ARGUMENTS.
    println!("cargo::metadata=LINK_ARGUMENTS={}", arguments.join("\x1f"));
    // Only then are the servers of this package linked at all.
    if env::var_os("CARGO_FEATURE_GUEST").is_some() {
        for argument in arguments {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
}
