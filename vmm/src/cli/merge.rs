//! `inkbed merge`.

use super::arguments::MergeArguments;
use super::end::{End, UsageError};
use super::output::{self, note};
use super::run::{end_of, tell_reference};
use crate::merge::{Merged, Source, merge as merge_runs};
use crate::printable::line;
use crate::record::store::{ResultsFolder, read_record};
use crate::report::html::page::{self, page};
use crate::report::ticks::Ticks;
use crate::report::{FORMS, table};

pub(super) fn merge(arguments: &MergeArguments) -> anyhow::Result<End> {
    let read = |folder: &std::path::PathBuf| Ok(Source { folder: folder.clone(), run: read_record(folder)? });
    let sources: Vec<Source> = arguments.folders.iter().map(read).collect::<anyhow::Result<_>>()?;
    let Merged { mut run, sources: source_of } =
        merge_runs(&sources).map_err(|error| UsageError { message: error.message, fix: error.fix })?;
    let results = ResultsFolder::create(&arguments.out, arguments.overwrite, FORMS)?;
    for (case, number) in run.cases.iter_mut().zip(&source_of) {
        let source = &sources[*number];
        // What has another host behind its name shares the names of its files with the first one's.
        let is_first = source.run.cases.iter().any(|own| own.name == case.name);
        for launch in &mut case.launches {
            let Some(listed) = launch.samples_file.take() else { continue };
            let name =
                if is_first { listed.clone() } else { listed.replacen('/', &format!("/{}.", number + 1), 1) };
            if results.copy_samples(&source.folder, &listed, &name)? {
                launch.samples_file = Some(name);
            }
        }
    }
    results.write_record(&run)?;
    let ticks = Ticks::by_option(arguments.ticks);
    let source = page::Source { folder: results.path().to_owned(), run };
    results.write_page(&page(std::slice::from_ref(&source), results.path(), ticks))?;
    output::print_table(&table::render(&source.run, output::width(), ticks))?;
    tell_reference(&source.run);
    note!("results: {}", line(&results.path().display().to_string()));
    let findings = source.run.merged.iter().flat_map(|merged| &merged.findings).count();
    if findings > 0 {
        note!("{findings} counts are not the same on all hosts, which they must be; see the table");
        return Ok(End::Failure);
    }
    Ok(end_of(&source.run))
}
