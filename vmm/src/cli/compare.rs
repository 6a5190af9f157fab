//! `inkbed compare`.

use super::arguments::{CompareArguments, ComparisonFormat};
use super::end::{End, UsageError};
use super::output::{self, note};
use crate::compare::condition::Verdict;
use crate::compare::times::Row;
use crate::compare::{compare as compare_runs, present, programs};
use crate::printable::line;
use crate::record::store::read_record;

pub(super) fn compare(arguments: &CompareArguments) -> anyhow::Result<End> {
    let (first, second) = (read_record(&arguments.first)?, read_record(&arguments.second)?);
    if let Some(message) = programs::difference(&first, &second).filter(|_| !arguments.allow_programs) {
        let fix = "compare runs of the same programs, or say --allow-programs".to_owned();
        return Err(UsageError { message, fix }.into());
    }
    let comparison = compare_runs(&first, &second);
    match arguments.format {
        ComparisonFormat::Table => output::print(&present::text(&comparison, output::width()))?,
        ComparisonFormat::Markdown => output::print(&present::markdown(&comparison))?,
        ComparisonFormat::Json => output::print_json(&comparison)?,
    }
    let mut end = End::Success;
    for condition in &arguments.fail_if {
        match condition.judge(&comparison) {
            Verdict::NotMet => {}
            Verdict::MetBy(difference) => {
                let (case, from, to) = (line(&difference.case), difference.first, difference.second);
                note!("{condition}: {case} has {to}, {from} before");
                end = End::ConditionMet;
            }
            Verdict::CannotTell(missed) => {
                match missed {
                    Some(one) => {
                        note!("{condition}: cannot be told of {} ({})", line(&one.what), line(&one.reason))
                    }
                    None => note!("{condition}: no case has this count in both runs"),
                }
                end = end.max_with(End::CannotTell);
            }
            Verdict::MetByTime(row) => {
                note!("{condition}: {}", slower(row));
                end = End::ConditionMet;
            }
            Verdict::CannotTellTimes(refused) => {
                match refused {
                    Some(one) => {
                        note!(
                            "{condition}: cannot be told of {} ({})",
                            line(&one.cases[0]),
                            line(&one.reason)
                        )
                    }
                    None => note!("{condition}: the first run has no times"),
                }
                end = end.max_with(End::CannotTell);
            }
        }
    }
    if comparison.counts() == 0 && comparison.times.rows.is_empty() {
        note!("the two runs have no count in common");
        end = End::CannotTell.max_with(end);
    }
    Ok(end)
}

fn slower(row: &Row) -> String {
    let [change, low, high] = [row.ratio, row.low, row.high].map(|ratio| (ratio - 1.0) * 100.0);
    let (case, channel) = (line(&row.case), line(&row.channel));
    format!("{case}: {channel} takes {change:.1} % longer, {low:.1} to {high:.1} %")
}
