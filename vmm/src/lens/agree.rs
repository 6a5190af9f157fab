//! Agreement: what several lenses have counted of one thing must be equal, or the case has failed.

use std::collections::BTreeMap;
use std::fmt;

use crate::lens::{ALL, Count, Seen, What, kernel, trace};
use crate::printable::grouped;
use crate::record::agreement::AgreementRecord;

/// What the placement says, beside what lenses count.
pub const RULE: &str = "rule";

/// What to look at first when the rule is what differs.
const RULE_TO_CHECK: &str = "the rule of the resident space for this placement (vmm: system/rule.rs)";

/// Every comparison that can be made, most important first.
pub fn agreements(seen: &Seen<'_>) -> Vec<AgreementRecord> {
    if seen.round_trips == 0 {
        return Vec::new();
    }
    What::ALL.into_iter().filter_map(|what| agreement(what, seen)).chain(of_traced_guest(seen)).collect()
}

/// `None` where fewer than two have counted: one alone agrees with itself.
fn agreement(what: What, seen: &Seen<'_>) -> Option<AgreementRecord> {
    let round_trips = if what == What::ClockToClock { 1 } else { seen.round_trips };
    let rule = seen.rule_loads.filter(|_| what == What::PageTableLoads);
    let mut counts: Vec<(&str, u64)> =
        rule.map(|loads| (RULE, loads.saturating_mul(round_trips))).into_iter().collect();
    let (mut per_one, mut slacks, mut first) = (None, Vec::new(), None);
    for lens in ALL {
        if let Count::Counted { total, per_round_trip, slack } = lens.count(what, seen) {
            counts.push((lens.name(), total));
            slacks.extend(slack);
            per_one = per_one.or(per_round_trip);
            first = first.or(Some(total));
        }
    }
    if counts.len() < 2 {
        return None;
    }
    let quotient = first.unwrap_or(0) as f64 / round_trips as f64;
    let row = AgreementRecord::new(what.name(), &counts, round_trips, per_one.unwrap_or(quotient));
    Some(slacks.into_iter().fold(row, |row, (slack, reason)| row.with_slack(slack, reason)))
}

/// Where the traced guest's own counters do not agree with its trace.
fn of_traced_guest(seen: &Seen<'_>) -> Option<AgreementRecord> {
    let found = seen.traced.as_ref().err()?.disagreement.as_ref()?;
    let what = format!("{} of the traced guest", found.what);
    let counts = [(kernel::NAME, found.counted), (trace::NAME, found.traced)];
    let quotient = found.counted as f64 / found.round_trips.max(1) as f64;
    Some(AgreementRecord::new(&what, &counts, found.round_trips, quotient))
}

/// What cannot be compared although others have counted it, each time with the reason.
pub fn not_compared(seen: &Seen<'_>) -> Vec<String> {
    if seen.round_trips == 0 {
        return Vec::new();
    }
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for what in What::ALL {
        let counts: Vec<Count> = ALL.iter().map(|lens| lens.count(what, seen)).collect();
        if counts.iter().any(|count| matches!(count, Count::Counted { .. })) {
            for count in counts {
                if let Count::NotComparable(reason) = count {
                    by_reason.entry(reason).or_default().push(what.name());
                }
            }
        }
    }
    by_reason.into_iter().map(|(reason, names)| format!("{}: {reason}", names.join(", "))).collect()
}

/// Where to look first, if they do not agree: at the one that differs from all others, or at each.
pub fn what_to_check(row: &AgreementRecord) -> String {
    let differs = |name: &&String| {
        let others = || row.counts.iter().filter(|(other, _)| other != name).map(|(_, count)| *count);
        let agree = others().max().zip(others().min()).is_some_and(|(most, least)| most - least <= row.slack);
        row.counts.len() > 2 && agree
    };
    let names: Vec<&String> = match row.counts.keys().find(differs) {
        Some(name) => vec![name],
        None => row.counts.keys().collect(),
    };
    let hint = |name: &str| {
        let lens = ALL.iter().find(|lens| lens.name() == name).map(|lens| lens.what_to_check());
        lens.or_else(|| (name == RULE).then_some(RULE_TO_CHECK))
    };
    let hints = names.into_iter().filter_map(|name| Some(format!("{name}: {}", hint(name)?)));
    hints.collect::<Vec<_>>().join("; ")
}

/// A comparison in one line, with what to check where its counts differ.
pub struct InWords<'a>(pub &'a AgreementRecord);

impl fmt::Display for InWords<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = self.0;
        let counts = row.counts.iter().map(|(lens, count)| format!("{} by {lens}", grouped(*count)));
        let counts: Vec<String> = counts.collect();
        write!(formatter, "{}: {}", row.what, counts.join(", "))?;
        if let Some(reason) = &row.slack_reason {
            write!(formatter, " (may differ by {}: {reason})", grouped(row.slack))?;
        }
        if !row.agrees {
            write!(formatter, "; check {}", what_to_check(row))?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "agree_tests.rs"]
pub(crate) mod tests;
