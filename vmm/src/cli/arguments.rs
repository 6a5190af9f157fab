//! What can be asked for on the command line. These comments are the help texts too, so they are not Markdown.
#![allow(rustdoc::invalid_html_tags, rustdoc::broken_intra_doc_links)]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::case::size::MemorySize;
use crate::compare::condition::Condition;
use crate::compare::count;
use crate::experiment::overrides::keys;
use crate::machine::guest::Pin;
use crate::machine::pin;
use crate::run::shard::Shard;
use crate::run::until::Precision;
use crate::system::placement::Placement;

const EXIT_CODES: &str = "\
Exit codes:
    0  success
    1  a case failed, a count disagreed with the rule, or a guest ended badly
    2  the command line or an experiment file cannot be run as it is
    3  /dev/kvm cannot be used
    4  results cannot be written or read
    5  a comparison has nothing to compare, or a condition of --fail-if cannot be told
    6  a comparison meets a condition of --fail-if
  130  interrupted (Ctrl-C); cases finished before are kept";

/// Measures what IPC costs by the placement of the server.
///
/// inkbed boots a small L4-style microkernel as a KVM guest and measures what inter-process communication costs when a
/// server lives in a user address space, in a small space, or inside the kernel's address space.
#[derive(Debug, Parser)]
#[command(name = "inkbed", version, after_long_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run experiments and print what they measured
    Run(RunArguments),
    /// Count every instruction of a round trip by single steps
    Trace(TraceArguments),
    /// Start the kernel with chosen servers, its console on the terminal
    Boot(BootArguments),
    /// Run a program on this Linux and keep which system calls it makes, for docs/recordings.md; measures nothing itself
    Record(RecordArguments),
    /// Count what a recording of `inkbed record` holds, by kind and by natural server
    Requests(RequestsArguments),
    /// Predict which servers to move into the kernel for a recorded program
    Advise(AdviseArguments),
    /// Show what this host is and what it can measure
    Doctor(DoctorArguments),
    /// Test what only real hardware can show, and write one file to send
    Selftest(SelftestArguments),
    /// List experiments with their questions
    List(ListArguments),
    /// Print the file of a built-in experiment, to change it
    Show(ShowArguments),
    /// Print the report of an earlier run again, or make a page with figures of several
    Report(ReportArguments),
    /// Compare the exact counts of two runs
    Compare(CompareArguments),
    /// Join the runs of several machines into one: the parts of --shard, or the same run of each
    Merge(MergeArguments),
    /// Draw one figure of a run, for a paper
    Plot(PlotArguments),
    /// Print a completion script for a shell
    Completions(CompletionsArguments),
    /// Print the manual page
    Man(ManArguments),
}

/// What guests are made of and where they run.
#[derive(Clone, Debug, Args)]
pub struct GuestArguments {
    /// Boot this kernel instead of the built-in one
    #[arg(long, value_name = "PATH", help_heading = "Guest")]
    pub kernel: Option<PathBuf>,
    /// Take programs from this folder: each ELF file is one, new or in place of the built-in one with its name
    #[arg(long, value_name = "DIR", help_heading = "Guest")]
    pub servers: Option<PathBuf>,
    /// Pin vCPU threads to these host CPUs, in turn: a list such as 0-3,5 or `auto`
    #[arg(long, value_name = "CPUS", value_parser = parse_pin, help_heading = "Guest")]
    pub pin: Option<Pin>,
}

/// Arguments of `merge`.
#[derive(Debug, Args)]
#[command(
    after_help = "Counts that must be the same everywhere are checked where several runs have a case; a difference ends with exit \
                  code 1.\n\nExample: inkbed merge parts/1 parts/2 parts/3 --out results/ipc"
)]
pub struct MergeArguments {
    /// Folders that `inkbed run` wrote
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Folder for the run that they make together
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace the run that the folder of --out holds; other files there stay
    #[arg(long)]
    pub overwrite: bool,
    /// Also print ticks of the time-stamp counter where they are not times; the files always hold them
    #[arg(long)]
    pub ticks: bool,
}

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

/// Arguments of `boot`.
#[derive(Debug, Args)]
#[command(
    after_help = "Each server may call those that are named after it. A `client` in first place makes a few calls \
                        and ends the guest.\n\nExample: inkbed boot --server client --server relay@user --server \
                        null@kernel --verbose"
)]
pub struct BootArguments {
    /// A program to start, and its placement: user, kernel, small or large [default: client@user and null@kernel]
    #[arg(long, value_name = "NAME[@PLACEMENT]", value_parser = parse_server)]
    pub server: Vec<ServerArgument>,
    /// vCPUs of the guest
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub vcpus: u32,
    /// Memory of the guest, such as 64M or 1G
    #[arg(long, value_name = "SIZE", default_value = "64M")]
    pub memory: MemorySize,
    /// Stop the guest after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub deadline: Option<u64>,
    /// Let the kernel print what it does
    #[arg(long, short)]
    pub verbose: bool,
    /// What guests are made of.
    #[command(flatten)]
    pub guest: GuestArguments,
}

/// A program and where it is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerArgument {
    /// Name of the program.
    pub program: String,
    /// Where.
    pub placement: Placement,
}

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
}

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

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Folder with experiment files, in place of the built-in experiments
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Print the list as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
#[command(after_help = "Example: inkbed show ipc > mine.toml")]
pub struct ShowArguments {
    /// A name that `inkbed list` shows
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
#[command(after_help = "Example: inkbed report --html results/ipc results/chain -o report.html")]
pub struct ReportArguments {
    /// Folders that `inkbed run` wrote, finished or not
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Form of the report
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Make a page for a browser, with figures: one file that loads nothing
    #[arg(long, conflicts_with_all = ["format", "json"])]
    pub html: bool,
    /// File for the page
    /// [default: report.html in the folder]
    #[arg(short, long, value_name = "FILE", requires = "html")]
    pub output: Option<PathBuf>,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Also show ticks of the time-stamp counter where they are not times
    #[arg(long)]
    pub ticks: bool,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
#[command(
    after_help = "Only counts that do not depend on the machine are compared, so any difference is a finding. Times are not \
                        compared.\n\nExample: inkbed compare before after --fail-if 'path_instructions>0'"
)]
pub struct CompareArguments {
    /// Folder that `inkbed run` wrote before the change
    #[arg(value_name = "FIRST")]
    pub first: PathBuf,
    /// Folder that `inkbed run` wrote behind it
    #[arg(value_name = "SECOND")]
    pub second: PathBuf,
    /// Form of the comparison
    #[arg(long, value_enum, default_value_t = ComparisonFormat::Table)]
    pub format: ComparisonFormat,
    /// End with exit code 6 if this holds for a case: a count, > or >=, and how much more of it the second run may have
    #[arg(
        long,
        value_name = "CONDITION",
        help = format!(
            "End with exit code 6 if a case has more than so much more of a count: instructions>0, or instructions>2% for a share. \
             Counts are {}", count::ALL.iter().map(|count| count.name).collect::<Vec<_>>().join(", ")
        )
    )]
    pub fail_if: Vec<Condition>,
}

/// Forms of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ComparisonFormat {
    /// A table for a terminal
    Table,
    /// A table for a document
    Markdown,
    /// Everything, for programs
    Json,
}

/// Arguments of `plot`.
#[derive(Debug, Args)]
#[command(
    after_help = "Without --figure it names the figures of the run.\n\nExample: inkbed plot results/ipc --figure ipc-path -o \
                        call.svg"
)]
pub struct PlotArguments {
    /// Folder that `inkbed run` wrote
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Name of the figure
    #[arg(long, value_name = "NAME", requires = "output")]
    pub figure: Option<String>,
    /// File for it: .svg, or .png or .pdf where rsvg-convert is installed
    #[arg(short, long, value_name = "FILE", requires = "figure")]
    pub output: Option<PathBuf>,
    /// Width in pixels
    #[arg(long, value_name = "N", default_value_t = 760, value_parser = clap::value_parser!(u16).range(320..=2000))]
    pub width: u16,
    /// Draw for light paper only, whatever the reader's screen has
    #[arg(long)]
    pub light: bool,
    /// Show ticks of the time-stamp counter where they are no time, too
    #[arg(long)]
    pub ticks: bool,
}

/// Forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables for a terminal
    Table,
    /// The record of the run
    Json,
    /// One line per case and channel
    Csv,
    /// Tables for a document
    Markdown,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: inkbed completions bash > ~/.local/share/bash-completion/completions/inkbed"
)]
pub struct CompletionsArguments {
    /// Which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
#[command(after_help = "Example: inkbed man > ~/.local/share/man/man1/inkbed.1")]
pub struct ManArguments {
    /// The page of this command instead of the main one
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}

fn parse_pin(text: &str) -> Result<Pin, String> {
    if text == "auto" {
        return Ok(Pin::Auto);
    }
    let cpus = pin::parse_list(text).map(Pin::List);
    cpus.ok_or_else(|| {
        "write host CPU numbers or ranges with commas between, such as 0-3,5, or `auto`".to_owned()
    })
}

fn parse_server(text: &str) -> Result<ServerArgument, String> {
    let (program, placement) = text.split_once('@').unwrap_or((text, "user"));
    let placement = placement.parse().map_err(|()| {
        let known: Vec<String> = Placement::NAMES.iter().map(|name| format!("NAME@{name}")).collect();
        let known = known.join(", ");
        format!("`{placement}` is no placement; write NAME or one of {known}")
    })?;
    Ok(ServerArgument { program: program.to_owned(), placement })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn pins_are_lists_or_auto() {
        assert_eq!(parse_pin("auto"), Ok(Pin::Auto));
        assert_eq!(parse_pin("0, 3"), Ok(Pin::List(vec![0, 3])));
        assert_eq!(parse_pin("0-3,5"), Ok(Pin::List(vec![0, 1, 2, 3, 5])));
        assert!(parse_pin("a").is_err() && parse_pin("").is_err() && parse_pin("1,").is_err());
    }

    #[test]
    fn servers_have_a_placement() {
        let server = |program: &str, placement| ServerArgument { program: program.to_owned(), placement };
        assert_eq!(parse_server("null"), Ok(server("null", Placement::User)));
        assert_eq!(parse_server("echo@kernel"), Ok(server("echo", Placement::Kernel)));
        assert_eq!(parse_server("echo@small"), Ok(server("echo", Placement::Small)));
        assert!(parse_server("echo@moon").is_err());
    }
}
