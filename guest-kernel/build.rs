//! Links the kernel at its fixed address, when it is built for the guest.

fn main() {
    println!("cargo::rerun-if-changed=layout.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let directory = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
        println!("cargo::rustc-link-arg-bins=-T{directory}/layout.ld");
        println!("cargo::rustc-link-arg-bins=--no-pie");
    }
}
