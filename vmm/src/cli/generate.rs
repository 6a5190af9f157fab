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
    let page = arguments.command.iter().try_fold(&command, |page, name| {
        let names: Vec<&str> = page.get_subcommands().map(clap::Command::get_name).collect();
        page.find_subcommand(name).ok_or_else(|| UsageError {
            message: format!("there is no command `{name}`"),
            fix: match names.is_empty() {
                true => format!("leave `{name}` out: the command before it has no others below it"),
                false => suggest(name, names),
            },
        })
    })?;
    output::print_with(|output| clap_mangen::Man::new(page.clone()).render(output))?;
    Ok(End::Success)
}
