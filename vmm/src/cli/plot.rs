//! `inkbed plot`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;

use super::arguments::PlotArguments;
use super::end::{End, UsageError};
use super::output::{self, note};
use crate::printable::line;
use crate::record::store::{read_record, write_file};
use crate::report::html::figures;
use crate::report::html::theme::Paper;
use crate::report::ticks::{Ticks, shown};

pub(super) fn plot(arguments: &PlotArguments) -> anyhow::Result<End> {
    let ticks = Ticks::by_option(arguments.ticks);
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
    let form = Form::of(file)?;
    let paper = if arguments.light || form != Form::Svg { Paper::Light } else { Paper::LightOrDark };
    let svg = figure.standalone(f64::from(arguments.width), paper);
    let content = match form {
        Form::Svg => svg.into_bytes(),
        Form::Png => convert(&svg, &["--format=png", "--zoom=2"])?,
        Form::Pdf => convert(&svg, &["--format=pdf"])?,
    };
    write_file(file, &content)?;
    note!("figure: {}", line(&file.display().to_string()));
    Ok(End::Success)
}

/// What a file is to be, by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Svg,
    Png,
    Pdf,
}

impl Form {
    fn of(file: &Path) -> Result<Form, UsageError> {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => Ok(Form::Svg),
            Some("png") => Ok(Form::Png),
            Some("pdf") => Ok(Form::Pdf),
            _ => Err(UsageError {
                message: format!("{} says no form of a figure", line(&file.display().to_string())),
                fix: "end its name with .svg, .png or .pdf".to_owned(),
            }),
        }
    }
}

/// Renders by librsvg's program. As a crate a renderer with text and PDF would double what there is to build.
fn convert(svg: &str, options: &[&str]) -> anyhow::Result<Vec<u8>> {
    let child =
        Command::new("rsvg-convert").args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| UsageError {
        message: format!("rsvg-convert, which makes PNG and PDF, does not start: {error}"),
        fix: "install it (Debian: librsvg2-bin), or name a file that ends with .svg".to_owned(),
    })?;
    let mut input = child.stdin.take().context("rsvg-convert has no input")?;
    // The program reads all of it before it writes anything.
    input.write_all(svg.as_bytes()).context("rsvg-convert does not read")?;
    drop(input);
    let output = child.wait_with_output().context("rsvg-convert was lost")?;
    anyhow::ensure!(output.status.success() && !output.stdout.is_empty(), "rsvg-convert failed");
    Ok(output.stdout)
}
