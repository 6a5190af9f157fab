//! `inkbed run`.

use std::path::Path;

use super::arguments::RunArguments;
use super::end::{End, UsageError, explain};
use super::guest::{self, programs};
use super::interrupt::Interrupt;
use super::output::{self, note};
use super::progress::Progress;
use crate::case::matches_pattern;
use crate::experiment::check::Limits;
use crate::experiment::expand::{Experiment, expand};
use crate::experiment::file::ExperimentFile;
use crate::experiment::overrides::Overrides;
use crate::guest_image::GuestImage;
use crate::lens::agree::InWords;
use crate::printable::line;
use crate::record::run::{CaseRecord, ExperimentRecord, HostRecord, RunRecord, RunState};
use crate::record::store::{ResultsFolder, StoreError, read_record};
use crate::report::FORMS;
use crate::report::html::page::{Source, page};
use crate::report::table;
use crate::report::ticks::Ticks;
use crate::run::fleet::cgroup;
use crate::run::host::Host;
use crate::run::session::{KvmRunner, Runner, now};

/// A file and what it asks for.
struct Planned {
    file: ExperimentFile,
    experiment: Experiment,
}

pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<End> {
    let image = guest::image(&arguments.guest)?;
    let overrides = overrides(arguments)?;
    if arguments.dry_run {
        let planned =
            plan(arguments, &overrides, &Limits { programs: programs(&image), ..Limits::any_host() })?;
        return name_cases(&planned);
    }
    // What is wrong with the files is said before anything is said about the host.
    let planned = plan(arguments, &overrides, &Limits { programs: programs(&image), ..Limits::any_host() })?;
    let mut cases = planned.iter().flat_map(|planned| &planned.experiment.cases);
    let host = Host::probe_for(cases.any(|case| case.parameters.has_32_bit()), &image)?;
    let planned = plan(arguments, &overrides, &host.limits(programs(&image)))?;
    if planned.iter().any(|planned| planned.experiment.quotas.is_some()) {
        cgroup::available()?;
    }
    let interrupt = Interrupt::listen()?;
    let mut end = End::Success;
    for planned in &planned {
        end = run_one(arguments, &overrides, planned, &image, &host, &interrupt)?.max_with(end);
        if interrupt.is_raised() {
            break;
        }
    }
    Ok(end)
}

impl End {
    /// The worse of two ends.
    fn max_with(self, other: End) -> End {
        match (self, other) {
            (End::Interrupted, _) | (_, End::Interrupted) => End::Interrupted,
            (End::Success, other) => other,
            (end, _) => end,
        }
    }
}

fn overrides(arguments: &RunArguments) -> anyhow::Result<Overrides> {
    let mut overrides = Overrides::default();
    for assignment in &arguments.set {
        overrides.set(assignment)?;
    }
    if arguments.no_trace {
        overrides.trace_round_trips = Some(0);
    }
    overrides.samples = arguments.samples.or(overrides.samples);
    overrides.vcpus = arguments.vcpus.or(overrides.vcpus);
    overrides.memory = arguments.memory.or(overrides.memory);
    Ok(overrides)
}

fn plan(arguments: &RunArguments, overrides: &Overrides, limits: &Limits) -> anyhow::Result<Vec<Planned>> {
    let mut planned: Vec<Planned> = Vec::new();
    for path in &arguments.files {
        let file = ExperimentFile::read(path)?;
        let mut experiment = expand(&file, overrides, limits)?;
        if !arguments.case.is_empty() {
            let wanted = |name: &str| arguments.case.iter().any(|pattern| matches_pattern(name, pattern));
            experiment.cases.retain(|case| wanted(&case.name));
            experiment.unavailable.retain(|case| wanted(&case.what));
        }
        if planned.iter().any(|other| other.experiment.name == experiment.name) && arguments.out.is_some() {
            let message = format!("two files are experiments of the name `{}`", experiment.name);
            let fix = "run them one after the other with folders of their own".to_owned();
            return Err(UsageError { message, fix }.into());
        }
        planned.push(Planned { file, experiment });
    }
    if planned.iter().all(|planned| planned.experiment.cases.is_empty()) {
        let mut unavailable = planned.iter().flat_map(|planned| &planned.experiment.unavailable);
        if let Some(case) = unavailable.next() {
            return Err(none_available(&case.reason).into());
        }
        let message = format!("no case matches {}", arguments.case.join(", "));
        let fix = "see the names of all cases with --dry-run and without --case".to_owned();
        return Err(UsageError { message, fix }.into());
    }
    planned.retain(|planned| !planned.experiment.cases.is_empty());
    Ok(planned)
}

/// No case of a run, or of a trace, can run here.
pub(super) fn none_available(reason: &str) -> UsageError {
    let fix =
        "run on a machine whose KVM is kvm_intel or kvm_amd, or leave the placements `small` and `large` out";
    UsageError { message: format!("no case can run on this host: {reason}"), fix: fix.to_owned() }
}

fn name_cases(planned: &[Planned]) -> anyhow::Result<End> {
    let names = planned.iter().flat_map(|planned| &planned.experiment.cases).map(|case| line(&case.name));
    output::print(&(names.collect::<Vec<_>>().join("\n") + "\n"))?;
    Ok(End::Success)
}

fn run_one(
    arguments: &RunArguments,
    overrides: &Overrides,
    planned: &Planned,
    image: &GuestImage,
    host: &Host,
    interrupt: &Interrupt,
) -> anyhow::Result<End> {
    let pin = guest::pin(&arguments.guest)?;
    let host = host.record(&pin);
    let mut record = record(arguments, overrides, planned, image, host);
    let results = folder(arguments, &record)?;
    let path = results.path();
    let guests = KvmRunner { stop: interrupt.stop.clone() };
    let mut progress = Progress::new(&planned.experiment.name, planned.experiment.cases.len());
    let quotas = planned.experiment.quotas.as_ref();
    let trace_budget = planned.experiment.trace_budget;
    let runner = Runner { guests: &guests, image, pin: &pin, quotas, trace_budget, results: &results };
    let outcome = runner.run(&planned.experiment.cases, &mut record, &mut progress);
    progress.finish();
    results.notes().iter().for_each(|text| note!("note: {}", line(text)));
    if outcome.is_err() {
        note!("{}", kept(path));
    }
    outcome?;
    let source = Source { folder: path.to_owned(), run: record };
    let ticks = if arguments.ticks { Ticks::All } else { Ticks::Meaningful };
    results.write_page(&page(std::slice::from_ref(&source), path, ticks))?;
    let record = source.run;
    // Whoever does not get the table still gets the results, of the files that follow, too.
    let shown = print(arguments, &record).map_or_else(|error| explain(&error), |()| End::Success);
    note!("results: {}", line(&path.display().to_string()));
    Ok(end_of(&record).max_with(shown))
}

fn kept(path: &Path) -> String {
    let cases =
        read_record(path).map_or(0, |record| record.cases.iter().filter(|case| case.is_complete()).count());
    format!("{cases} cases are complete in {}", line(&path.display().to_string()))
}

fn print(arguments: &RunArguments, record: &RunRecord) -> anyhow::Result<()> {
    if arguments.json {
        output::print_json(record)
    } else {
        let ticks = if arguments.ticks { Ticks::All } else { Ticks::Meaningful };
        output::print_table(&table::render(record, output::width(), ticks))
    }
}

fn end_of(record: &RunRecord) -> End {
    if record.state == RunState::Interrupted {
        let complete = record.cases.iter().filter(|case| case.is_complete()).count();
        note!(
            "interrupted: {complete} of {} cases and {} of {} launches are done and kept",
            record.cases_planned,
            record.launches_done(),
            record.launches_planned
        );
        return End::Interrupted;
    }
    let failures = record.failures().count();
    if failures > 0 {
        for case in record.failures() {
            note!("{}: {}", line(&case.name), line(&why(case)));
        }
        note!("{failures} of {} cases failed", record.cases_planned);
        return End::Failure;
    }
    End::Success
}

/// What a case failed by, in one line.
fn why(case: &CaseRecord) -> String {
    if !case.outcome.is_success() {
        return case.outcome.to_string();
    }
    let rows: Vec<String> = case.disagreements().map(|row| InWords(row).to_string()).collect();
    format!("the lenses do not agree: {}", rows.join("; "))
}

fn record(
    arguments: &RunArguments,
    overrides: &Overrides,
    planned: &Planned,
    image: &GuestImage,
    host: HostRecord,
) -> RunRecord {
    let experiment = &planned.experiment;
    let mut changed = overrides.describe();
    if !arguments.case.is_empty() {
        changed.insert("case".to_owned(), arguments.case.join(" or "));
    }
    let experiment_record = ExperimentRecord {
        name: experiment.name.clone(),
        question: experiment.question.clone(),
        description: experiment.description.clone(),
        file: planned.file.path.display().to_string(),
        file_sha256: planned.file.sha256(),
        quotas: experiment.quotas.clone(),
        overrides: changed,
    };
    let guest = guest::record(&arguments.guest, image);
    let absent = experiment.absent.iter().chain(&experiment.unavailable).cloned().collect();
    RunRecord::begun(experiment_record, now(), host, guest, absent, experiment.cases.len())
}

/// The folder for the results: the one that was named, else a new one.
fn folder(arguments: &RunArguments, record: &RunRecord) -> Result<ResultsFolder, StoreError> {
    let name = &record.experiment.name;
    match &arguments.out {
        Some(out) if arguments.files.len() > 1 => {
            ResultsFolder::create(&out.join(name), arguments.overwrite, FORMS)
        }
        Some(out) => ResultsFolder::create(out, arguments.overwrite, FORMS),
        None => {
            let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
            let host: String = record.host.name.chars().map(plain).collect();
            let time = record.started_utc.replace(['-', ':'], "");
            ResultsFolder::create_new(&Path::new("results").join(format!("{name}-{host}-{time}")), FORMS)
        }
    }
}
