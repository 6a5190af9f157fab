//! `inkbed compare`.

use super::arguments::{CompareArguments, ComparisonFormat};
use super::end::{End, UsageError};
use super::output::{self, note};
use crate::compare::condition::{Condition, Verdict};
use crate::compare::matrix::{self, Matrix, matrix};
use crate::compare::present_times::slower;
use crate::compare::{Comparison, junit, peers, present, programs};
use crate::printable::line;
use crate::record::run::RunRecord;
use crate::record::store::{StoreError, read_record};

pub(super) fn compare(arguments: &CompareArguments) -> anyhow::Result<End> {
    let runs = arguments.runs.iter().map(|folder| read_record(folder));
    let runs: Vec<RunRecord> = runs.collect::<Result<_, StoreError>>()?;
    if arguments.peers {
        return peers(arguments.format, &runs);
    }
    let Some((first, others)) = runs.split_first().filter(|(_, others)| !others.is_empty()) else {
        let message = "one run is compared with nothing".to_owned();
        return Err(UsageError { message, fix: "name two runs or more, or say --peers".to_owned() }.into());
    };
    let mut differing = others.iter().filter_map(|other| programs::difference(first, other));
    if let Some(message) = differing.next().filter(|_| !arguments.allow_programs) {
        let fix = "compare runs of the same programs, or say --allow-programs".to_owned();
        return Err(UsageError { message, fix }.into());
    }
    let matrix = matrix(first, others);
    print(arguments, first, &matrix)?;
    let mut end = End::Success;
    for (number, comparison) in (2..).zip(&matrix.comparisons) {
        let whose = if others.len() == 1 { String::new() } else { format!("run {number}: ") };
        for condition in &arguments.fail_if {
            end = judge(condition, comparison, &whose, end);
        }
        if comparison.counts() == 0 && comparison.times.rows.is_empty() {
            note!("{whose}the two runs have no count in common");
            end = End::CannotTell.max_with(end);
        }
    }
    Ok(end)
}

/// One run beside other kernels.
fn peers(format: ComparisonFormat, runs: &[RunRecord]) -> anyhow::Result<End> {
    let usage = |message: &str, fix: &str| UsageError { message: message.to_owned(), fix: fix.to_owned() };
    let [run] = runs else {
        return Err(usage("--peers shows one run beside other kernels", "name one run").into());
    };
    let beside = peers::beside(run);
    match format {
        ComparisonFormat::Table => output::print(&peers::text(&beside, output::width()))?,
        ComparisonFormat::Markdown => output::print(&peers::markdown(&beside))?,
        ComparisonFormat::Json => output::print_json(&beside)?,
        ComparisonFormat::Junit => {
            return Err(usage("--peers has no condition that could fail", "choose another --format").into());
        }
    }
    if beside.own.is_empty() {
        note!("the run has no call with a message as short as those of other kernels");
        return Ok(End::CannotTell);
    }
    Ok(End::Success)
}

/// Two runs are shown with the parts that differ, more of them as a matrix.
fn print(arguments: &CompareArguments, first: &RunRecord, matrix: &Matrix) -> anyhow::Result<()> {
    let width = output::width();
    match (arguments.format, &matrix.comparisons[..]) {
        (ComparisonFormat::Table, [only]) => output::print(&present::text(only, width)),
        (ComparisonFormat::Table, _) => output::print(&matrix::text(matrix, width)),
        (ComparisonFormat::Markdown, [only]) => output::print(&present::markdown(only)),
        (ComparisonFormat::Markdown, _) => output::print(&matrix::markdown(matrix)),
        (ComparisonFormat::Junit, comparisons) => {
            output::print(&junit::junit(first, comparisons, &arguments.fail_if)?)
        }
        (ComparisonFormat::Json, [only]) => output::print_json(only),
        (ComparisonFormat::Json, _) => output::print_json(matrix),
    }
}

/// How the command ends that ended so before this condition.
fn judge(condition: &Condition, comparison: &Comparison, whose: &str, end: End) -> End {
    let cannot_tell = |why: String| {
        note!("{whose}{condition}: {why}");
        end.max_with(End::CannotTell)
    };
    let of = |what: &str, reason: &str| format!("cannot be told of {} ({})", line(what), line(reason));
    match condition.judge(comparison) {
        Verdict::NotMet => end,
        Verdict::MetBy(difference) => {
            let (case, from, to) = (line(&difference.case), difference.first, difference.second);
            note!("{whose}{condition}: {case} has {to}, {from} before");
            End::ConditionMet
        }
        Verdict::MetByTime(row) => {
            note!("{whose}{condition}: {}: {}", line(&row.case), slower(row));
            End::ConditionMet
        }
        Verdict::CannotTell(Some(one)) => cannot_tell(of(&one.what, &one.reason)),
        Verdict::CannotTell(None) => cannot_tell("no case has this count in both runs".to_owned()),
        Verdict::CannotTellTimes(Some(one)) => cannot_tell(of(&one.cases[0], &one.reason)),
        Verdict::CannotTellTimes(None) => cannot_tell("the first run has no times".to_owned()),
    }
}
