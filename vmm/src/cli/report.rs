//! `inkbed report`.

use super::arguments::{Format, ReportArguments};
use super::end::End;
use super::output;
use crate::record::store::{read_record, write_json};
use crate::report::ticks::Ticks;
use crate::report::{csv, table};

pub(super) fn report(arguments: &ReportArguments) -> anyhow::Result<End> {
    let run = read_record(&arguments.folder)?;
    let ticks = if arguments.ticks { Ticks::All } else { Ticks::Meaningful };
    let format = if arguments.json { Format::Json } else { arguments.format };
    match format {
        Format::Table => output::print_table(&table::render(&run, output::width(), ticks))?,
        Format::Markdown => output::print(&table::render_markdown(&run, ticks))?,
        Format::Json => output::print_with(|output| write_json(output, &run))?,
        Format::Csv => output::print_with(|output| csv::write_csv(output, &run))?,
    }
    Ok(End::Success)
}
