//! `inkbed new`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Arguments of `new`.
#[derive(Debug, Args)]
pub struct NewArguments {
    /// What to make.
    #[command(subcommand)]
    pub program: NewProgram,
}

/// What to make.
#[derive(Debug, Subcommand)]
pub enum NewProgram {
    /// A server and an experiment that measures it
    Server(NewServerArguments),
}

/// Arguments of `new server`.
#[derive(Debug, Args)]
#[command(
    after_help = "It prints the commands that build and measure the server; docs/adding-a-server.md explains what it makes.\n\n\
                  Example: inkbed new server busy"
)]
pub struct NewServerArguments {
    /// Name of the server: letters, digits, `-` and `_`, a letter first
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Folder to make, or one that is empty [default: NAME]
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
    /// Source of inkbed that the server is built with: the folder of a clone, or the URL of a repository
    /// [default: the folder that this program was built from]
    #[arg(long, value_name = "DIR|URL")]
    pub inkbed: Option<String>,
}
