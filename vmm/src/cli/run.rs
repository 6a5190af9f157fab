//! `inkbed run`.

use std::path::{Path, PathBuf};

use super::arguments::{MachineChoice, RunArguments};
use super::end::{End, UsageError, explain};
use super::guest;
use super::interrupt::Interrupt;
use super::json_lines::{JsonLines, Watchers};
use super::output::{self, note};
use super::place::Place;
use super::progress::Progress;
use super::resume::{self, Begun};
use crate::case::Case;
use crate::case::keys;
use crate::case::value::Value;
use crate::compare::reference;
use crate::elsewhere::qemu::Qemu;
use crate::experiment::built_in::{self, BuiltIn};
use crate::experiment::check::Limits;
use crate::experiment::file::ExperimentFile;
use crate::experiment::overrides::Overrides;
use crate::guest_image::GuestImage;
use crate::lens::agree::InWords;
use crate::machine::MachineError;
use crate::machine::guest::Pin;
use crate::printable::line;
use crate::record::run::{CaseRecord, RunRecord, RunState};
use crate::record::store::read_record;
use crate::report::html::page::{Source, page};
use crate::report::table;
use crate::report::ticks::Ticks;
use crate::run::fleet::cgroup;
use crate::run::host::Host;
use crate::run::machine::Machine;
use crate::run::plan::Plan;
use crate::run::session::Runner;
use crate::run::until::Until;

/// An experiment that was asked for, with what replaces its values.
struct Asked {
    file: ExperimentFile,
    overrides: Overrides,
}

pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<End> {
    let image = guest::image(&arguments.guest)?;
    let asked = asked(arguments)?;
    let plan = |limits: &Limits| plan(arguments, &asked, limits);
    let any_host = || Limits { programs: image.programs(), ..Limits::any_host() };
    if arguments.dry_run {
        return name_cases(&plan(&any_host())?);
    }
    let host = match machine(arguments) {
        Ok(host) => host,
        // What is wrong with the files is said before what is wrong with the host.
        Err(error) => return plan(&any_host()).and(Err(error)),
    };
    let (host, plans) = host.plan(&image, plan, |plans| plans.iter().any(Plan::has_32_bit))?;
    let has_quotas = |plan: &Plan<'_>| plan.experiment.quotas.is_some() && !plan.experiment.cases.is_empty();
    if plans.iter().any(has_quotas) {
        cgroup::available()?;
    }
    let interrupt = Interrupt::listen()?;
    let place = Place::of(arguments, asked.len(), &host.record(&guest::pin(&arguments.guest)?).name)?;
    let session = Session { arguments, image: &image, host: &host, interrupt: &interrupt, place: &place };
    let mut end = End::Success;
    let mut sources = Vec::new();
    for (plan, asked) in plans.iter().zip(&asked) {
        if plan.experiment.cases.is_empty() {
            if let Some(case) = plan.experiment.unavailable.first() {
                note!(
                    "{}: no case can run on this host: {}",
                    line(&plan.experiment.name),
                    line(&case.reason)
                );
            }
            continue;
        }
        let (of_one, source) = session.run_one(&asked.overrides, plan)?;
        end = of_one.max_with(end);
        sources.push(source);
        if interrupt.is_raised() {
            break;
        }
    }
    place.write_page(&sources, session.ticks())?;
    Ok(end)
}

/// What runs the guests: KVM, unless something else is asked for, or there is no KVM.
fn machine(arguments: &RunArguments) -> anyhow::Result<Machine> {
    let kvm = || Host::probe().map(|host| Machine::Kvm(Box::new(host)));
    let machine = match arguments.machine {
        Some(MachineChoice::Kvm) => kvm()?,
        Some(MachineChoice::Qemu) => Machine::Qemu(Qemu::find()?),
        None => match kvm() {
            Err(MachineError::KvmMissing(source)) => {
                let qemu = Qemu::find().map_err(|_| MachineError::KvmMissing(source))?;
                note!(
                    "there is no /dev/kvm: QEMU {} runs the guests, and ticks are instructions",
                    line(&qemu.version)
                );
                Machine::Qemu(qemu)
            }
            kvm => kvm?,
        },
    };
    if matches!(machine, Machine::Qemu(_)) && arguments.guest.pin.is_some() {
        let message = "--pin is for vCPUs on KVM, and QEMU runs the guests".to_owned();
        let fix = "leave it out, or say --machine kvm".to_owned();
        return Err(UsageError { message, fix }.into());
    }
    Ok(machine)
}

/// The experiments that the command line names.
fn asked(arguments: &RunArguments) -> anyhow::Result<Vec<Asked>> {
    let overrides = overrides(arguments)?;
    let files: Vec<ExperimentFile> = match arguments.all {
        true => built_in::ALL.iter().map(BuiltIn::file).collect::<Result<_, _>>()?,
        false => arguments.files.iter().map(|path| ExperimentFile::find(path)).collect::<Result<_, _>>()?,
    };
    let with_overrides = |file: ExperimentFile| {
        let quick = if arguments.quick { quick(&file)? } else { Overrides::default() };
        Ok(Asked { overrides: overrides.clone().or(quick), file })
    };
    files.into_iter().map(with_overrides).collect()
}

/// What makes an experiment short.
fn quick(file: &ExperimentFile) -> anyhow::Result<Overrides> {
    let experiment = file.path.to_str().and_then(built_in::named).ok_or_else(|| UsageError {
        message: format!("--quick does not know what makes {} short", file.path.display()),
        fix: "say it yourself, for example with --samples 10 --set launches=1; --quick is for the experiments that `inkbed \
              list` names"
            .to_owned(),
    })?;
    Ok(experiment.quick()?)
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

/// The plans of these experiments, in their order.
fn plan<'a>(arguments: &RunArguments, asked: &'a [Asked], limits: &Limits) -> anyhow::Result<Vec<Plan<'a>>> {
    let mut plans: Vec<Plan<'a>> = Vec::new();
    for Asked { file, overrides } in asked {
        let chosen = Plan::new(file, overrides, limits)?.choose(&arguments.case);
        let plan = match arguments.shard {
            Some(shard) => chosen.shard(shard),
            None => chosen,
        };
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
        if let Some(shard) = arguments.shard {
            let message = format!("shard {shard} has no case");
            let fix = "take fewer shards: a case and what it is compared with are in one".to_owned();
            return Err(UsageError { message, fix }.into());
        }
        let message = format!("no case matches {}", arguments.case.join(", "));
        let fix = "see the names of all cases with --dry-run and without --case".to_owned();
        return Err(UsageError { message, fix }.into());
    }
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

/// What all experiments of one command share.
struct Session<'a> {
    arguments: &'a RunArguments,
    image: &'a GuestImage,
    host: &'a Machine,
    interrupt: &'a Interrupt,
    place: &'a Place<'a>,
}

impl Session<'_> {
    fn ticks(&self) -> Ticks {
        Ticks::by_option(self.arguments.ticks)
    }

    /// Runs an experiment and prints its table. Returns its end and its record.
    fn run_one(&self, overrides: &Overrides, plan: &Plan<'_>) -> anyhow::Result<(End, Source)> {
        let Session { arguments, image, host, interrupt, place } = self;
        let pin = guest::pin(&arguments.guest)?;
        let mut changed = overrides.describe();
        if !arguments.case.is_empty() {
            changed.insert("case".to_owned(), arguments.case.join(" or "));
        }
        if let Some(precision) = arguments.until {
            changed.insert("until".to_owned(), precision.to_string());
            changed.insert("launches_max".to_owned(), arguments.launches_max.to_string());
        }
        if let Some(shard) = arguments.shard {
            changed.insert("shard".to_owned(), shard.to_string());
        }
        if pin != Pin::None {
            changed.insert("pin".to_owned(), pin.to_string());
        }
        let record = plan.record(changed, host.record(&pin), guest::record(&arguments.guest, image));
        let cases = &plan.experiment.cases;
        let until = until(arguments, &record);
        let (results, mut record, before) =
            match resume::begun(arguments, place, record, cases, until.as_ref())? {
                Begun::Now { results, record } => (results, record, None),
                Begun::Before { results, resumed } => (results, resumed.record, Some(resumed.before)),
                Begun::Finished { folder, record } => return self.tell_finished(folder, record, cases),
            };
        let path = results.path();
        let guests = host.runner(interrupt.stop.clone());
        let folder = path.display().to_string();
        let mut progress = Progress::new(&record, cases);
        let mut lines = arguments.json_lines.then(JsonLines::default);
        if let Some(lines) = &mut lines {
            lines.run_begins(&record, cases, &folder);
        }
        let mut watchers = Watchers { progress: &mut progress, lines: lines.as_mut() };
        let runner = Runner { until, ..plan.runner(guests.as_ref(), image, &pin, &results) };
        let outcome = match before {
            Some(before) => runner.go_on(before, cases, &mut record, &mut watchers),
            None => runner.run(cases, &mut record, &mut watchers),
        };
        progress.finish();
        results.notes().iter().for_each(|text| note!("note: {}", line(text)));
        if outcome.is_err() {
            note!("{}", kept(path));
            resume::tell_how(place.out(path));
        }
        outcome?;
        let source = Source { folder: path.to_owned(), run: record };
        results.write_page(&page(std::slice::from_ref(&source), path, self.ticks()))?;
        // Whoever does not get the table still gets the results, of the files that follow, too.
        let printed = match lines {
            Some(lines) => lines.run_ended(&source.run, &folder),
            None => self.print(&source.run),
        };
        let shown = printed.map_or_else(|error| explain(&error), |()| End::Success);
        tell_reference(&source.run);
        note!("results: {}", line(&folder));
        if source.run.state == RunState::Interrupted {
            resume::tell_how(place.out(path));
        }
        Ok((end_of(&source.run).max_with(shown), source))
    }

    /// Prints what a run has left that has nothing more to do.
    fn tell_finished(
        &self,
        folder: PathBuf,
        run: RunRecord,
        cases: &[Case],
    ) -> anyhow::Result<(End, Source)> {
        let shown = folder.display().to_string();
        note!("finished already: {}", line(&shown));
        match self.arguments.json_lines.then(JsonLines::default) {
            Some(mut lines) => {
                lines.run_begins(&run, cases, &shown);
                lines.run_ended(&run, &shown)?;
            }
            None => self.print(&run)?,
        }
        Ok((end_of(&run), Source { folder, run }))
    }

    fn print(&self, record: &RunRecord) -> anyhow::Result<()> {
        match self.arguments.json {
            true => output::print_json(record),
            false => output::print_table(&table::render(record, output::width(), self.ticks())),
        }
    }
}

/// When cases have enough launches. Where ticks are no time, that is after those of the file: counts are the same in each.
fn until(arguments: &RunArguments, run: &RunRecord) -> Option<Until> {
    let precision = arguments.until?;
    if let Some(problem) = &run.host.timing_problem {
        note!("note: --until adds no launches here: {}", line(problem));
        return None;
    }
    Some(Until { precision, launches_max: arguments.launches_max })
}

/// Says whether the exact counts are those of the reference runs: if not, the guest is another one, or something is wrong.
pub(super) fn tell_reference(run: &RunRecord) {
    let Some(held) = reference::hold(run) else { return };
    let Some(first) = held.differences.first() else {
        return note!("counts: as in the reference run, in all {} cases that it has", held.cases);
    };
    let (case, count) = (line(&first.case), first.count.replace('_', " "));
    let (differences, expected, found) = (held.differences.len(), first.first, first.second);
    note!(
        "counts: {differences} are not those of the reference run; the first is {count} of {case}: {found}, there {expected}"
    );
}

fn kept(path: &Path) -> String {
    let cases = read_record(path).map_or(0, |record| record.cases_complete());
    format!("{cases} cases are complete in {}", line(&path.display().to_string()))
}

pub(super) fn end_of(record: &RunRecord) -> End {
    if record.state == RunState::Interrupted {
        note!(
            "interrupted: {} of {} cases and {} of {} launches are done and kept",
            record.cases_complete(),
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
