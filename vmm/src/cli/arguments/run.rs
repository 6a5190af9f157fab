//! `inkbed run` and `inkbed trace`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::GuestArguments;
use crate::case::size::MemorySize;
use crate::experiment::overrides::keys;
use crate::run::shard::Shard;
use crate::run::until::Precision;

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  inkbed run ipc --case 'call*words=4' --samples 1000 --pin auto\n  inkbed run --all --quick"
)]
pub struct RunArguments {
    /// Experiments: names that `inkbed list` shows, or files (see docs/experiment-files.md)
    #[arg(required_unless_present = "all", value_name = "EXPERIMENT")]
    pub files: Vec<PathBuf>,
    /// Run all experiments that `inkbed list` shows, and make one page of them
    #[arg(long, conflicts_with = "files")]
    pub all: bool,
    /// Run fewer and shorter cases, for a first look: seconds for each experiment that `inkbed list` shows
    #[arg(long)]
    pub quick: bool,
    /// Folder for the results; with several experiments, one folder inside it for each
    /// [default: results/<name>-<host>-<UTC time>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace the run that the folder of --out holds; other files there stay
    #[arg(long, requires = "out")]
    pub overwrite: bool,
    /// Go on with the run in the folder of --out that was interrupted or killed, or begin it if there is none; all else as it was
    #[arg(long, requires = "out", conflicts_with_all = ["overwrite", "dry_run"])]
    pub resume: bool,
    /// What runs the guests [default: kvm; without /dev/kvm: qemu]
    #[arg(long, value_name = "MACHINE")]
    pub machine: Option<MachineChoice>,
    /// Print the record of the run as JSON instead of the table
    #[arg(long)]
    pub json: bool,
    /// Print what happens as it happens, one JSON object a line, instead of the table
    #[arg(long, conflicts_with_all = ["json", "ticks", "dry_run"])]
    pub json_lines: bool,
    /// Also print ticks of the time-stamp counter where they are not times; the files always hold them
    #[arg(long)]
    pub ticks: bool,
    /// Name the cases and run none of them
    #[arg(long)]
    pub dry_run: bool,
    /// Run only cases whose name holds this text; `*` stands for anything between
    #[arg(long, value_name = "PATTERN")]
    pub case: Vec<String>,
    /// Run only this part of the cases, for one of several machines: part I of N, from 1. `inkbed merge` joins the parts
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Add launches until half of each median's 95 % interval is below this share of it, such as ci<1%, where ticks are time
    #[arg(long, value_name = "ci<SHARE")]
    pub until: Option<Precision>,
    /// Launches that a case may have with --until
    #[arg(long, value_name = "N", default_value_t = 60, requires = "until", value_parser = clap::value_parser!(u32).range(6..=10_000))]
    pub launches_max: u32,
    /// Round trips to sample in every case
    #[arg(long, value_name = "N", help_heading = "Instead of what the file says")]
    pub samples: Option<i64>,
    /// vCPUs of every guest
    #[arg(long, value_name = "N", help_heading = "Instead of what the file says")]
    pub vcpus: Option<i64>,
    /// Memory of every guest, such as 64M or 1G
    #[arg(long, value_name = "SIZE", help_heading = "Instead of what the file says")]
    pub memory: Option<MemorySize>,
    /// Trace no round trips: the same as --set trace_round_trips=0
    #[arg(long, help_heading = "Instead of what the file says")]
    pub no_trace: bool,
    /// A key of the file, with its value for every case.
    #[arg(
        long,
        value_name = "KEY=VALUE",
        help_heading = "Instead of what the file says",
        help = format!("A key of the file with its value, one of {}", keys().map(|key| key.name).collect::<Vec<_>>().join(", "))
    )]
    pub set: Vec<String>,
    /// What guests are made of.
    #[command(flatten)]
    pub guest: GuestArguments,
}

/// Arguments of `trace`.
#[derive(Debug, Args)]
#[command(
    after_help = "The counts of a case are the same on every host. Cases without calls have no round trip to \
                        count, and say so.\n\nExample: inkbed trace ipc --case 'call*words=0' --out \
                        traces"
)]
pub struct TraceArguments {
    /// Experiment: a name that `inkbed list` shows, or a file (see docs/experiment-files.md)
    #[arg(value_name = "EXPERIMENT")]
    pub file: PathBuf,
    /// Trace only cases whose name holds this text; `*` stands for anything between
    #[arg(long, value_name = "PATTERN")]
    pub case: Vec<String>,
    /// Complete round trips of every case
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub round_trips: u64,
    /// Print the counts as JSON instead of the table
    #[arg(long)]
    pub json: bool,
    /// Folder to write: the counts, and for each case one round trip as a listing, as stacks for flame graphs, as a timeline, and on TLB models
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What guests are made of.
    #[command(flatten)]
    pub guest: GuestArguments,
}

/// What runs guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MachineChoice {
    /// This host's KVM
    Kvm,
    /// QEMU without KVM: counts are exact, ticks are instructions
    Qemu,
}
