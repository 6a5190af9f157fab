//! `inkbed plot`.

use super::arguments::PlotArguments;
use super::end::{End, UsageError};
use super::output::{self, note};
use crate::printable::line;
use crate::record::store::{read_record, write_file};
use crate::report::html::figures;
use crate::report::html::theme::Paper;
use crate::report::ticks::{Ticks, shown};

pub(super) fn plot(arguments: &PlotArguments) -> anyhow::Result<End> {
    let ticks = if arguments.ticks { Ticks::All } else { Ticks::Meaningful };
    let figures = figures::of(&shown(&read_record(&arguments.folder)?, ticks));
    let names = || figures.iter().map(|(definition, _)| definition.name).collect::<Vec<_>>().join(", ");
    let (Some(name), Some(file)) = (&arguments.figure, &arguments.output) else {
        for (definition, _) in &figures {
            output::print(&format!("{:<24} {}\n", definition.name, definition.question))?;
        }
        return Ok(End::Success);
    };
    let Some((_, figure)) = figures.iter().find(|(definition, _)| definition.name == name) else {
        let message = format!("this run has no figure `{}`", line(name));
        let fix = format!("name one of {}", names());
        return Err(UsageError { message, fix }.into());
    };
    let paper = if arguments.light { Paper::Light } else { Paper::LightOrDark };
    let text = figure.standalone(f64::from(arguments.width), paper);
    write_file(file, text.as_bytes())?;
    note!("figure: {}", line(&file.display().to_string()));
    Ok(End::Success)
}
