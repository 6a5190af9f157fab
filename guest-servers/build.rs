//! Writes the linker script of all servers from the layout of a region, so that the stubs of the kernel interface page
//! have their addresses from `abi` and nowhere else.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use abi::call::number;
use abi::region::{KERNEL_INTERFACE_OFFSET, STUB_SIZE};

fn main() {
    println!("cargo::rerun-if-changed=layout.ld");
    // Only then are the servers linked at all.
    if env::var_os("CARGO_FEATURE_GUEST").is_none() {
        return;
    }
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
    println!("cargo::rustc-link-arg-bins=-T{}", path.display());
    println!("cargo::rustc-link-arg-bins=-zmax-page-size=4096");
    println!("cargo::rustc-link-arg-bins=-znorelro");
}
