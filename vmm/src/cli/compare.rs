//! `inkbed compare`.

use super::arguments::{CompareArguments, ComparisonFormat};
use super::end::End;
use super::output::{self, note};
use crate::compare::condition::Verdict;
use crate::compare::{compare as compare_runs, present};
use crate::printable::line;
use crate::record::store::read_record;

pub(super) fn compare(arguments: &CompareArguments) -> anyhow::Result<End> {
    let (first, second) = (read_record(&arguments.first)?, read_record(&arguments.second)?);
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
        }
    }
    if comparison.counts() == 0 {
        note!("the two runs have no count in common");
        end = End::CannotTell.max_with(end);
    }
    Ok(end)
}
