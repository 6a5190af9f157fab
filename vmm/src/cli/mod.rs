//! The command line.

mod advise;
pub mod arguments;
mod boot;
mod compare;
mod doctor;
mod end;
mod generate;
mod guest;
mod interrupt;
mod json_lines;
mod list;
mod merge;
mod new;
mod output;
mod pace;
mod place;
mod plot;
mod progress;
mod record;
mod report;
mod requests;
mod resume;
mod run;
mod selftest;
mod trace;

use std::process::ExitCode;

use clap::Parser;

use crate::run::fleet;

use arguments::{Arguments, Command};

/// Parses the command line, does what it says, and returns the exit code that `--help` documents.
pub fn main() -> ExitCode {
    // Before the command line is built: most of what a guest's process would otherwise spend its first time on.
    if let Some(code) = fleet::serve_if_asked() {
        return code;
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A reader that has gone away (`--help | head`) is no error of ours.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(end::USAGE));
        }
    };
    let result = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Trace(arguments) => trace::trace(&arguments),
        Command::Boot(arguments) => boot::boot(&arguments),
        Command::New(arguments) => new::new(&arguments),
        // It ends as the program does.
        Command::Record(arguments) => {
            return record::record(&arguments).unwrap_or_else(|error| end::explain(&error).into());
        }
        Command::Requests(arguments) => requests::requests(&arguments),
        Command::Advise(arguments) => advise::advise(&arguments),
        Command::Doctor(arguments) => doctor::doctor(&arguments),
        Command::Selftest(arguments) => selftest::selftest(&arguments),
        Command::List(arguments) => list::list(&arguments),
        Command::Show(arguments) => list::show(&arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::Compare(arguments) => compare::compare(&arguments),
        Command::Merge(arguments) => merge::merge(&arguments),
        Command::Plot(arguments) => plot::plot(&arguments),
        Command::Completions(arguments) => generate::completions(&arguments),
        Command::Man(arguments) => generate::man(&arguments),
    };
    match result {
        Ok(end) => end.into(),
        Err(error) => end::explain(&error).into(),
    }
}
