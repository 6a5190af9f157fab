//! Has the server linked as inkbed's own servers are: `guest-servers` says how.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let arguments = env::var("DEP_INKBED_SERVER_LINK_ARGUMENTS")
        .expect("this source of inkbed does not say how servers are linked: it is too old");
    for argument in arguments.split('\x1f') {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
