//! `inkbed completions` and `inkbed man`: what clap knows about the command line, for shells and for man.

use clap::CommandFactory;

use super::arguments::{Arguments, CompletionsArguments, ManArguments};
use super::end::{End, UsageError};
use super::output;
use crate::experiment::error::suggest;

pub(super) fn completions(arguments: &CompletionsArguments) -> anyhow::Result<End> {
    // clap_complete panics when its writer fails, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "inkbed", &mut script);
    output::print_with(|output| output.write_all(&script))?;
    Ok(End::Success)
}

pub(super) fn man(arguments: &ManArguments) -> anyhow::Result<End> {
    let mut command = Arguments::command();
    command.build();
    let page = match &arguments.command {
        None => command,
        Some(name) => {
            let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
            let found = command.find_subcommand(name).ok_or_else(|| UsageError {
                message: format!("there is no command `{name}`"),
                fix: suggest(name, names),
            })?;
            found.clone()
        }
    };
    output::print_with(|output| clap_mangen::Man::new(page).render(output))?;
    Ok(End::Success)
}
