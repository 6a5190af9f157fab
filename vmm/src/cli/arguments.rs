//! What can be asked for on the command line. These comments are the help texts too, so they are not Markdown.
#![allow(rustdoc::invalid_html_tags, rustdoc::broken_intra_doc_links)]

mod boot;
mod host;
mod new;
mod recordings;
mod results;
mod run;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use boot::{BootArguments, ServerArgument};
pub use host::{DoctorArguments, SelftestArguments};
pub use new::{NewArguments, NewProgram, NewServerArguments};
pub use recordings::{AdviseArguments, RecordArguments, RequestsArguments};
pub use results::{Format, MergeArguments, PlotArguments, ReportArguments};
pub use run::{MachineChoice, RunArguments, TraceArguments};

use crate::compare::condition::{Condition, TICKS};
use crate::compare::count;
use crate::machine::guest::Pin;
use crate::machine::pin;

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
    /// Make a folder with a program of your own, to be built outside of inkbed's source
    New(NewArguments),
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
    /// Compare two runs or more: exact counts, and times where both are of one machine
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

/// Arguments of `compare`.
#[derive(Debug, Args)]
#[command(
    after_help = "Counts do not depend on the machine, so any difference is a finding. Times are compared where both runs are of \
                        one machine that has valid times, with 4 launches or more.\n\nExample: inkbed compare before after --fail-if \
                        'path_instructions>0' --fail-if 'ticks>2%'"
)]
pub struct CompareArguments {
    /// Folders that `inkbed run` wrote: the first one, and those that are held against it
    #[arg(required = true, num_args = 1.., value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Form of the comparison
    #[arg(long, value_enum, default_value_t = ComparisonFormat::Table)]
    pub format: ComparisonFormat,
    /// End with exit code 6 if this holds for a case: a count, > or >=, and how much more of it the second run may have
    #[arg(
        long,
        value_name = "CONDITION",
        help = format!(
            "End with exit code 6 if a case has more than so much more of a count: instructions>0, or instructions>2% for a share. \
             Counts are {}; {TICKS} is for times, met if all of an interval is above the limit",
            count::ALL.iter().map(|count| count.name).collect::<Vec<_>>().join(", ")
        )
    )]
    pub fail_if: Vec<Condition>,
    /// Show the calls of one run beside those of other kernels: counts beside counts, times beside times
    #[arg(long, conflicts_with_all = ["fail_if", "allow_programs"])]
    pub peers: bool,
    /// Compare runs of different programs (`--servers`), too
    #[arg(long)]
    pub allow_programs: bool,
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
    /// A test case for each case, for CI servers
    Junit,
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
    /// The page of this command instead of the main one, such as run or new server
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
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
}
