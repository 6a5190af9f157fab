//! `inkbed doctor` and `inkbed selftest`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Print the facts as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `selftest`.
#[derive(Debug, Args)]
#[command(
    after_help = "Takes a few minutes at most. Checks that this host cannot answer say why.\n\nExample: inkbed selftest"
)]
pub struct SelftestArguments {
    /// File for the answers [default: inkbed-selftest-<host>-<UTC time>.json]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace the file of --out
    #[arg(long, requires = "out")]
    pub overwrite: bool,
    /// Make only few round trips, to see whether it runs
    #[arg(long)]
    pub short: bool,
}
