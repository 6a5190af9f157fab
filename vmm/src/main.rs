//! The command `inkbed`.

use std::process::ExitCode;

fn main() -> ExitCode {
    inkbed::cli::main()
}
