//! `inkbed trace`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::arguments::TraceArguments;
use super::end::{End, UsageError, end_of_machine_error};
use super::guest;
use super::interrupt::Interrupt;
use super::output::{self, note};
use super::run::none_available;
use crate::experiment::check::Limits;
use crate::experiment::file::ExperimentFile;
use crate::experiment::overrides::Overrides;
use crate::lens::trace::{self, Summary, Trace, TraceError, present};
use crate::machine::guest::Outcome;
use crate::printable::{block, json, line};
use crate::record::atomic::{Flush, write_atomically};
use crate::record::store;
use crate::report::html::flame::Flame;
use crate::report::html::theme::Paper;
use crate::run::host::Host;
use crate::run::plan::Plan;
use crate::run::session::no_trace;
use crate::tlb::stream::Event;
use crate::tlb::{BUILT_IN, Model, WhatIf, comparison};
use crate::workload::guest::traced_guest_config;

/// Cases side by side in one table.
const CASES_PER_TABLE: usize = 8;

/// Width of flame graphs, pixels.
const FLAME_WIDTH: f64 = 1_100.0;

/// The TLB model whose page walks are in timelines.
const TIMELINE_MODEL: &str = "skylake-sp";

/// All counts, as JSON.
#[derive(Debug, Default, Serialize)]
struct Counted {
    /// By the name of the case.
    cases: BTreeMap<String, Summary>,
    /// Cases that could not be counted, with the reason.
    absent: BTreeMap<String, String>,
}

pub(super) fn trace(arguments: &TraceArguments) -> anyhow::Result<End> {
    let image = guest::image(&arguments.guest)?;
    let file = ExperimentFile::find(&arguments.file)?;
    let cases = |limits: &Limits| cases(arguments, &file, limits);
    let host = match Host::probe() {
        Ok(host) => host,
        // What is wrong with the file is said before what is wrong with the host.
        Err(error) => {
            let limits = Limits { programs: image.programs(), ..Limits::any_host() };
            return cases(&limits).and(Err(error.into()));
        }
    };
    let (_, plan) = host.plan(&image, cases, Plan::has_32_bit)?;
    let planned = &plan.experiment;
    let pin = guest::pin(&arguments.guest)?;
    let interrupt = Interrupt::listen()?;
    if let Some(folder) = &arguments.out {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    // Held to the end: neither a run nor another trace writes there meanwhile.
    let _lock = arguments.out.as_deref().map(store::lock).transpose()?;
    let mut counted = Counted::default();
    let unavailable = planned.unavailable.iter().map(|case| (case.what.clone(), case.reason.clone()));
    counted.absent.extend(unavailable);
    let mut end = End::Success;
    for case in &planned.cases {
        if let Some(reason) = case.parameters.workload.why_not_traced() {
            counted.absent.insert(case.name.clone(), reason.to_owned());
            continue;
        }
        let config = traced_guest_config(&case.parameters, arguments.round_trips, &image, &pin)?;
        match trace::trace(&config, &interrupt.stop) {
            Ok(trace) => {
                if let Some(folder) = &arguments.out {
                    write_case(folder, &case.name, &trace)?;
                }
                counted.cases.insert(case.name.clone(), trace.summary);
            }
            Err(TraceError::Outcome(outcome)) if *outcome == Outcome::Interrupted => {
                end = End::Interrupted;
                break;
            }
            Err(TraceError::Machine(error)) if end_of_machine_error(&error) != End::Failure => {
                return Err(error.into());
            }
            Err(error) => {
                if !matches!(error, TraceError::NoRoundTrip) {
                    end = End::Failure;
                }
                counted.absent.insert(case.name.clone(), no_trace(&error));
            }
        }
    }
    let text = text(&counted);
    if let Some(folder) = &arguments.out {
        let json = json(&serde_json::to_string_pretty(&counted)?) + "\n";
        write(&folder.join("trace.json"), &json)?;
        write(&folder.join("trace.txt"), &text)?;
        note!("traces: {}", line(&folder.display().to_string()));
    }
    if arguments.json {
        output::print_json(&counted)?
    } else {
        output::print(&text)?
    }
    Ok(end)
}

fn cases<'a>(
    arguments: &TraceArguments,
    file: &'a ExperimentFile,
    limits: &Limits,
) -> anyhow::Result<Plan<'a>> {
    let plan = Plan::new(file, &Overrides::default(), limits)?.choose(&arguments.case);
    let experiment = &plan.experiment;
    if let (true, Some(case)) = (experiment.cases.is_empty(), experiment.unavailable.first()) {
        return Err(none_available(&case.reason).into());
    }
    if experiment.cases.is_empty() {
        let message = format!("no case matches {}", arguments.case.join(", "));
        let fix = "see the names of all cases with `inkbed run --dry-run`".to_owned();
        return Err(UsageError { message, fix }.into());
    }
    Ok(plan)
}

fn text(counted: &Counted) -> String {
    let mut text = String::new();
    let cases: Vec<(&str, &Summary)> =
        counted.cases.iter().map(|(name, summary)| (name.as_str(), summary)).collect();
    // Writing to a string never fails.
    for cases in cases.chunks(CASES_PER_TABLE) {
        let _ = writeln!(text, "{}\n", present::table(cases.iter().copied()));
    }
    for (name, reason) in &counted.absent {
        let _ = writeln!(text, "{}: {}", line(name), line(reason));
    }
    text
}

fn write_case(folder: &Path, name: &str, trace: &Trace) -> anyhow::Result<()> {
    let plain = name.replace('/', ".");
    write(&folder.join(format!("{plain}.listing")), &trace.listing())?;
    write(&folder.join(format!("{plain}.folded")), &trace.folded())?;
    if let Some(figure) = Flame::new(&trace.summary.stacks).figure(name) {
        write(&folder.join(format!("{plain}.svg")), &figure.standalone(FLAME_WIDTH, Paper::LightOrDark))?;
    }
    let timeline = json(&serde_json::to_string(&trace.timeline(name, &Model::load(TIMELINE_MODEL)?))?) + "\n";
    write(&folder.join(format!("{plain}.timeline.json")), &timeline)?;
    write(&folder.join(format!("{plain}.tlb")), &tlb_models(trace)?)
}

/// What the built-in TLB models make of the trace, side by side.
fn tlb_models(trace: &Trace) -> anyhow::Result<String> {
    let mut events: Vec<Event> = Vec::new();
    trace.events(&mut events);
    let mut reports = Vec::new();
    for (name, _) in BUILT_IN {
        reports.push((name, WhatIf::AsRecorded.run(&Model::load(name)?, &events)));
    }
    Ok(format!("{}\n", comparison(reports.iter().map(|(name, report)| (*name, report)))))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    write_atomically(path, Flush::Now, |file| file.write_all(block(text).as_bytes()))
        .map(drop)
        .with_context(|| format!("cannot write {}", path.display()))
}
