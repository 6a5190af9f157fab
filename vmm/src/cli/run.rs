//! `inkbed run`.

use std::path::Path;

use super::arguments::RunArguments;
use super::end::{End, UsageError, explain};
use super::guest;
use super::interrupt::Interrupt;
use super::output::{self, note};
use super::progress::Progress;
use crate::case::keys;
use crate::case::value::Value;
use crate::experiment::check::Limits;
use crate::experiment::file::ExperimentFile;
use crate::experiment::overrides::Overrides;
use crate::guest_image::GuestImage;
use crate::lens::agree::InWords;
use crate::printable::line;
use crate::record::run::{CaseRecord, RunRecord, RunState};
use crate::record::store::{ResultsFolder, StoreError, read_record};
use crate::report::FORMS;
use crate::report::html::page::{Source, page};
use crate::report::table;
use crate::report::ticks::Ticks;
use crate::run::fleet::cgroup;
use crate::run::host::Host;
use crate::run::plan::Plan;
use crate::run::session::KvmRunner;

pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<End> {
    let image = guest::image(&arguments.guest)?;
    let overrides = overrides(arguments)?;
    let files = arguments.files.iter().map(|path| ExperimentFile::read(path));
    let files: Vec<ExperimentFile> = files.collect::<Result<_, _>>()?;
    let plan = |limits: &Limits| plan(arguments, &files, &overrides, limits);
    let any_host = || Limits { programs: image.programs(), ..Limits::any_host() };
    if arguments.dry_run {
        return name_cases(&plan(&any_host())?);
    }
    let host = match Host::probe() {
        Ok(host) => host,
        // What is wrong with the files is said before what is wrong with the host.
        Err(error) => return plan(&any_host()).and(Err(error.into())),
    };
    let (host, plans) = host.plan(&image, plan, |plans| plans.iter().any(Plan::has_32_bit))?;
    if plans.iter().any(|plan| plan.experiment.quotas.is_some()) {
        cgroup::available()?;
    }
    let interrupt = Interrupt::listen()?;
    let mut end = End::Success;
    for plan in &plans {
        end = run_one(arguments, &overrides, plan, &image, &host, &interrupt)?.max_with(end);
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
    let number = |number: i64| Value::Number(number);
    let shorter = [
        (&keys::TRACE_ROUND_TRIPS, arguments.no_trace.then_some(Value::Number(0))),
        (&keys::SAMPLES, arguments.samples.map(number)),
        (&keys::VCPUS, arguments.vcpus.map(number)),
        (&keys::MEMORY, arguments.memory.map(Value::Size)),
    ];
    for (key, value) in shorter {
        if let Some(value) = value {
            overrides.put(key, value);
        }
    }
    Ok(overrides)
}

fn plan<'a>(
    arguments: &RunArguments,
    files: &'a [ExperimentFile],
    overrides: &Overrides,
    limits: &Limits,
) -> anyhow::Result<Vec<Plan<'a>>> {
    let mut plans: Vec<Plan<'a>> = Vec::new();
    for file in files {
        let plan = Plan::new(file, overrides, limits)?.choose(&arguments.case);
        let name = &plan.experiment.name;
        if plans.iter().any(|other| other.experiment.name == *name) && arguments.out.is_some() {
            let message = format!("two files are experiments of the name `{name}`");
            let fix = "run them one after the other with folders of their own".to_owned();
            return Err(UsageError { message, fix }.into());
        }
        plans.push(plan);
    }
    if plans.iter().all(|plan| plan.experiment.cases.is_empty()) {
        if let Some(case) = plans.iter().flat_map(|plan| &plan.experiment.unavailable).next() {
            return Err(none_available(&case.reason).into());
        }
        let message = format!("no case matches {}", arguments.case.join(", "));
        let fix = "see the names of all cases with --dry-run and without --case".to_owned();
        return Err(UsageError { message, fix }.into());
    }
    plans.retain(|plan| !plan.experiment.cases.is_empty());
    Ok(plans)
}

/// No case of a run, or of a trace, can run here.
pub(super) fn none_available(reason: &str) -> UsageError {
    let fix =
        "run on a machine whose KVM is kvm_intel or kvm_amd, or leave the placements `small` and `large` out";
    UsageError { message: format!("no case can run on this host: {reason}"), fix: fix.to_owned() }
}

fn name_cases(plans: &[Plan<'_>]) -> anyhow::Result<End> {
    let names = plans.iter().flat_map(|plan| &plan.experiment.cases).map(|case| line(&case.name));
    output::print(&(names.collect::<Vec<_>>().join("\n") + "\n"))?;
    Ok(End::Success)
}

fn run_one(
    arguments: &RunArguments,
    overrides: &Overrides,
    plan: &Plan<'_>,
    image: &GuestImage,
    host: &Host,
    interrupt: &Interrupt,
) -> anyhow::Result<End> {
    let pin = guest::pin(&arguments.guest)?;
    let mut changed = overrides.describe();
    if !arguments.case.is_empty() {
        changed.insert("case".to_owned(), arguments.case.join(" or "));
    }
    let mut record = plan.record(changed, host.record(&pin), guest::record(&arguments.guest, image));
    let results = folder(arguments, &record)?;
    let path = results.path();
    let guests = KvmRunner { stop: interrupt.stop.clone() };
    let mut progress = Progress::new(&plan.experiment.name, plan.experiment.cases.len());
    let outcome = plan.run(&guests, image, &pin, &results, &mut record, &mut progress);
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
