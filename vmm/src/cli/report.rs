//! `inkbed report`.

use std::path::Path;

use super::arguments::{Format, ReportArguments};
use super::end::{End, UsageError};
use super::output::{self, note};
use crate::printable::line;
use crate::record::store::{PAGE_FILE, read_record, write_file, write_json};
use crate::report::html::page::{Source, page};
use crate::report::ticks::Ticks;
use crate::report::{csv, table};

pub(super) fn report(arguments: &ReportArguments) -> anyhow::Result<End> {
    let ticks = Ticks::by_option(arguments.ticks);
    if arguments.html {
        return write_page(arguments, ticks);
    }
    let [folder] = &arguments.folders[..] else {
        let message = "this form of the report is of one folder".to_owned();
        let fix = "name one folder, or make a page of all with --html -o report.html".to_owned();
        return Err(UsageError { message, fix }.into());
    };
    let run = read_record(folder)?;
    let format = if arguments.json { Format::Json } else { arguments.format };
    match format {
        Format::Table => output::print_table(&table::render(&run, output::width(), ticks))?,
        Format::Markdown => output::print(&table::render_markdown(&run, ticks))?,
        Format::Json => output::print_with(|output| write_json(output, &run))?,
        Format::Csv => output::print_with(|output| csv::write_csv(output, &run))?,
    }
    Ok(End::Success)
}

fn write_page(arguments: &ReportArguments, ticks: Ticks) -> anyhow::Result<End> {
    let file = match (&arguments.output, &arguments.folders[..]) {
        (Some(file), _) => file.clone(),
        (None, [folder]) if folder.is_dir() => folder.join(PAGE_FILE),
        _ => {
            let message = "there is no file for the page".to_owned();
            let fix = "name one with -o, for example -o report.html".to_owned();
            return Err(UsageError { message, fix }.into());
        }
    };
    let source =
        |folder: &std::path::PathBuf| Ok(Source { folder: folder.clone(), run: read_record(folder)? });
    let sources = arguments.folders.iter().map(source).collect::<anyhow::Result<Vec<Source>>>()?;
    let text = page(&sources, file.parent().unwrap_or(Path::new("")), ticks);
    write_file(&file, text.as_bytes())?;
    note!("page: {}", line(&file.display().to_string()));
    Ok(End::Success)
}
