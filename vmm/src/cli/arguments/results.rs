//! What is done with results: `inkbed report`, `inkbed plot` and `inkbed merge`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
