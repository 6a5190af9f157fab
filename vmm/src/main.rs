//! The command `inkbed`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    inkbed::cli::main()
}
