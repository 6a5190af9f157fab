//! Conditions under which a comparison fails: `instructions>0`, `page_table_loads>=1`, `ticks>2%`.

use std::fmt;
use std::str::FromStr;

use crate::case::suggest::suggest;
use crate::compare::count::{self, Count};
use crate::compare::present_times::slower;
use crate::compare::times::{Refused, Row};
use crate::compare::{Comparison, Difference, NotCompared};

/// What times are called in a condition.
pub const TICKS: &str = "ticks";

/// A condition on the change from the first run to the second, of any case.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    quantity: Quantity,
    /// Whether a change that equals the limit meets it as well.
    includes_limit: bool,
    limit: f64,
    /// The limit is a share of the first run's count, in per cent.
    is_percent: bool,
}

/// What may not change so much.
#[derive(Clone, Copy, Debug)]
enum Quantity {
    Count(&'static Count),
    /// The time of any channel.
    Ticks,
}

/// What became of a condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict<'a> {
    /// No case meets it.
    NotMet,
    /// The case that meets it by the largest change.
    MetBy(&'a Difference),
    /// The second run lacks this count of a case that has it in the first one; or, without a case, neither run has it.
    CannotTell(Option<&'a NotCompared>),
    /// The row of times whose interval begins farthest above the limit.
    MetByTime(&'a Row),
    /// Times of a case could not be compared; or, without a reason, the first run has none.
    CannotTellTimes(Option<&'a Refused>),
}

/// What became of a condition in one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfCase {
    /// The case does not meet it.
    NotMet,
    /// It does: how.
    Met(String),
    /// Nobody knows: why.
    CannotTell(String),
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Condition, String> {
        let wrong =
            || format!("`{text}` is no condition; write for example instructions>0 or instructions>2%");
        let (name, rest) = text.split_once('>').ok_or_else(wrong)?;
        let (includes_limit, rest) = rest.strip_prefix('=').map_or((false, rest), |rest| (true, rest));
        let (is_percent, number) =
            rest.trim().strip_suffix('%').map_or((false, rest.trim()), |number| (true, number.trim()));
        let limit: f64 = number.parse().map_err(|_| wrong())?;
        if !limit.is_finite() {
            return Err(wrong());
        }
        if limit < 0.0 || includes_limit && limit == 0.0 {
            return Err(format!("`{text}` is met where nothing changes; write a limit above that"));
        }
        let quantity = Quantity::named(name.trim())?;
        if matches!(quantity, Quantity::Ticks) && !is_percent {
            return Err(format!("`{text}` is no condition: a limit of times is a share, such as ticks>2%"));
        }
        Ok(Condition { quantity, includes_limit, limit, is_percent })
    }
}

impl OfCase {
    fn of(met: Option<String>, open: impl FnOnce() -> Option<String>) -> OfCase {
        match met.map(OfCase::Met) {
            Some(met) => met,
            None => open().map_or(OfCase::NotMet, OfCase::CannotTell),
        }
    }
}

impl Quantity {
    fn named(name: &str) -> Result<Quantity, String> {
        if name == TICKS {
            return Ok(Quantity::Ticks);
        }
        count::named(name).map(Quantity::Count).ok_or_else(|| {
            let known = suggest(name, count::ALL.iter().map(|count| count.name).chain([TICKS]));
            format!("there is no count `{name}`: {known}")
        })
    }

    fn name(self) -> &'static str {
        match self {
            Quantity::Count(count) => count.name,
            Quantity::Ticks => TICKS,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.includes_limit { ">=" } else { ">" };
        let unit = if self.is_percent { "%" } else { "" };
        write!(formatter, "{}{sign}{}{unit}", self.quantity.name(), self.limit)
    }
}

impl Condition {
    /// Whether a comparison meets it.
    pub fn judge<'a>(&self, comparison: &'a Comparison) -> Verdict<'a> {
        match self.quantity {
            Quantity::Count(count) => self.judge_count(count, comparison),
            Quantity::Ticks => self.judge_times(comparison),
        }
    }

    /// Whether no case could meet it, as neither run, or not the first, has what it is about.
    pub fn has_nothing(&self, comparison: &Comparison) -> bool {
        matches!(self.judge(comparison), Verdict::CannotTell(None) | Verdict::CannotTellTimes(None))
    }

    /// Whether one case of a comparison meets it.
    pub fn of_case(&self, comparison: &Comparison, case: &str) -> OfCase {
        match self.quantity {
            Quantity::Count(count) => {
                let mut of_case = comparison.differences.iter().filter(|one| one.case == case);
                let met = of_case.find(|one| one.count == count.name && self.is_met_by(self.change(one)));
                let missed = || comparison.missing(case, count.name).map(|one| one.reason.clone());
                let how = |one: &Difference| format!("{} instead of {}", one.second, one.first);
                OfCase::of(met.map(how), missed)
            }
            Quantity::Ticks => {
                let of_case = comparison.times.rows.iter().filter(|row| row.case == case);
                let met = of_case.filter(|row| self.is_met_by(row.low_percent()));
                let refused = || {
                    let mut refused = comparison.times.refused.iter();
                    refused
                        .find(|one| one.cases.iter().any(|name| name == case))
                        .map(|one| one.reason.clone())
                };
                OfCase::of(met.max_by(|one, other| one.low.total_cmp(&other.low)).map(slower), refused)
            }
        }
    }

    fn judge_count<'a>(&self, count: &Count, comparison: &'a Comparison) -> Verdict<'a> {
        let of_count = comparison.differences.iter().filter(|difference| difference.count == count.name);
        let met = of_count.filter(|difference| self.is_met_by(self.change(difference)));
        let largest = met.max_by(|one, other| self.change(one).total_cmp(&self.change(other)));
        match largest {
            Some(difference) => Verdict::MetBy(difference),
            None => match comparison.not_compared.iter().find(|one| one.missed.contains(&count.name)) {
                Some(missed) => Verdict::CannotTell(Some(missed)),
                None if comparison.compared.contains_key(count.name) => Verdict::NotMet,
                None => Verdict::CannotTell(None),
            },
        }
    }

    /// A time is above the limit if the whole of its interval is.
    fn judge_times<'a>(&self, comparison: &'a Comparison) -> Verdict<'a> {
        let times = &comparison.times;
        let met = times.rows.iter().filter(|row| self.is_met_by(row.low_percent()));
        match met.max_by(|one, other| one.low.total_cmp(&other.low)) {
            Some(row) => Verdict::MetByTime(row),
            None if times.refused.is_empty() && !times.rows.is_empty() => Verdict::NotMet,
            None => Verdict::CannotTellTimes(times.refused.first()),
        }
    }

    fn change(&self, difference: &Difference) -> f64 {
        match self.is_percent {
            false => difference.change(),
            // From nothing to something is more than any share of nothing.
            true if difference.first == 0.0 => difference.change() * f64::INFINITY,
            true => difference.change() / difference.first * 100.0,
        }
    }

    fn is_met_by(&self, change: f64) -> bool {
        change > self.limit || self.includes_limit && change == self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_and_said_again() {
        for text in ["instructions>0", "page_table_loads>=1", "path_instructions>2.5%", "ticks>2%"] {
            assert_eq!(text.parse::<Condition>().unwrap().to_string(), text);
        }
        assert_eq!(" ipc_fast > 3 ".parse::<Condition>().unwrap().to_string(), "ipc_fast>3");
    }

    #[test]
    fn what_is_wrong_with_a_condition_is_said_with_the_fix() {
        for text in
            ["", "instructions", "instructions<1", "instructions>", "instructions>x", "instructions>inf"]
        {
            assert!(text.parse::<Condition>().unwrap_err().contains("instructions>0"), "{text}");
        }
        for text in ["instructions>=0", "instructions>-1"] {
            assert!(text.parse::<Condition>().unwrap_err().contains("where nothing changes"), "{text}");
        }
        assert!("ticks>100".parse::<Condition>().unwrap_err().contains("ticks>2%"));
        let wrong = "instruction>0".parse::<Condition>().unwrap_err();
        assert!(wrong.contains("did you mean `instructions`?"), "{wrong}");
    }
}
