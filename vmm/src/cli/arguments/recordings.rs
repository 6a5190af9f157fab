//! `inkbed record`, `inkbed requests` and `inkbed advise`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `record`.
#[derive(Debug, Args)]
#[command(
    after_help = "The file holds kinds, times and sizes of system calls, no arguments, paths or data. It is no record of a \
                        run: that is what `inkbed run` leaves. The exit code is the program's own.\n\nExample: inkbed record -o \
                        sqlite.requests -- sqlite3 :memory: 'select 1'\n         inkbed record -o sqlite.requests --import strace.log"
)]
pub struct RecordArguments {
    /// File for the recording
    #[arg(short, long, value_name = "NAME.requests")]
    pub output: PathBuf,
    /// Replace the file of --output
    #[arg(long)]
    pub overwrite: bool,
    /// Make the recording of this log, which `strace -f -ttt -T -y -o LOG COMMAND` has written
    #[arg(long, value_name = "LOG", conflicts_with_all = ["command", "baseline"])]
    pub import: Option<PathBuf>,
    /// First run the program once without the recorder, its output thrown away, for the run time. What it does, it does twice
    #[arg(long)]
    pub baseline: bool,
    /// What the recording says of the program's version
    #[arg(long, value_name = "TEXT")]
    pub program_version: Option<String>,
    /// The program and its arguments
    #[arg(required_unless_present = "import", last = true, value_name = "COMMAND")]
    pub command: Vec<std::ffi::OsString>,
}

/// Arguments of `requests`.
#[derive(Debug, Args)]
#[command(after_help = "Example: inkbed requests sqlite.requests")]
pub struct RequestsArguments {
    /// What `inkbed record` wrote
    #[arg(value_name = "RECORDING")]
    pub file: PathBuf,
    /// Which servers answer which requests, instead of the built-in servers.toml (see docs/recordings.md)
    #[arg(long, value_name = "FILE")]
    pub servers: Option<PathBuf>,
}

/// Arguments of `advise`.
#[derive(Debug, Args)]
#[command(after_help = "Example: inkbed advise sqlite.requests --limit 3")]
pub struct AdviseArguments {
    /// What `inkbed record` wrote
    #[arg(value_name = "RECORDING")]
    pub file: PathBuf,
    /// Move so many servers at most
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Move only servers of the groups that this file trusts: trusted = ["files"]
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// Which servers answer which requests, instead of the built-in servers.toml (see docs/recordings.md)
    #[arg(long, value_name = "FILE")]
    pub servers: Option<PathBuf>,
    /// Replay the advised placement and the next best one on KVM, and fail if a page-table load more or less is counted
    #[arg(long)]
    pub verify: bool,
}
