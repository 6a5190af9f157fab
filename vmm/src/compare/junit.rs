//! A comparison as JUnit's XML, which CI servers show: a test suite for each second run, a test case for each case.

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use crate::compare::condition::{Condition, OfCase};
use crate::compare::present::signed;
use crate::compare::{Comparison, Difference};
use crate::record::run::RunRecord;

/// The XML: a condition that is met is a failure of its case, one that cannot be told is an error.
pub fn junit(
    first: &RunRecord,
    comparisons: &[Comparison],
    conditions: &[Condition],
) -> Result<String, SerializeError> {
    let mut report = Report::new("inkbed compare");
    for (number, comparison) in (2..).zip(comparisons) {
        let experiment = &comparison.second.experiment;
        let name =
            if comparisons.len() == 1 { experiment.clone() } else { format!("{experiment}, run {number}") };
        let mut suite = TestSuite::new(name.as_str());
        suite.add_property(("first guest", comparison.first.guest_sha256.as_str()));
        suite.add_property(("second guest", comparison.second.guest_sha256.as_str()));
        suite.add_property(("second started", comparison.second.started_utc.as_str()));
        for case in &first.cases {
            suite.add_test_case(test_case(&case.name, experiment, comparison, conditions));
        }
        // What no case can tell is no case's fault.
        for condition in conditions.iter().filter(|condition| condition.has_nothing(comparison)) {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(format!("{condition}: no case has this in both runs"));
            suite.add_test_case(of(&condition.to_string(), experiment, status));
        }
        report.add_test_suite(suite);
    }
    report.to_string()
}

fn of(name: &str, experiment: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(format!("inkbed.{experiment}"));
    case
}

fn test_case(name: &str, experiment: &str, comparison: &Comparison, conditions: &[Condition]) -> TestCase {
    let (mut met, mut open) = (Vec::new(), Vec::new());
    for condition in conditions {
        match condition.of_case(comparison, name) {
            OfCase::NotMet => {}
            OfCase::Met(how) => met.push(format!("{condition}: {how}")),
            OfCase::CannotTell(why) => open.push(format!("{condition}: cannot be told, {why}")),
        }
    }
    let differences: Vec<&Difference> =
        comparison.differences.iter().filter(|one| one.case == name).collect();
    let kind = if met.is_empty() { NonSuccessKind::Error } else { NonSuccessKind::Failure };
    met.append(&mut open);
    let status = match met.first() {
        Some(first) => {
            let mut status = TestCaseStatus::non_success(kind);
            status.set_message(first.as_str()).set_description(met.join("\n"));
            status
        }
        None => match not_compared(comparison, name).filter(|_| differences.is_empty()) {
            Some(reason) => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(reason);
                status
            }
            None => TestCaseStatus::success(),
        },
    };
    let mut case = of(name, experiment, status);
    if !differences.is_empty() {
        let lines = differences.into_iter().map(|one| {
            format!("{}: {} before, {} now ({})", one.count, one.first, one.second, signed(one.change()))
        });
        case.set_system_out(lines.collect::<Vec<_>>().join("\n"));
    }
    case
}

/// Why nothing of a case was compared.
fn not_compared<'a>(comparison: &'a Comparison, case: &str) -> Option<&'a str> {
    let has_times = comparison.times.rows.iter().any(|row| row.case == case);
    let whole = comparison.not_compared.iter().find(|one| one.what == case);
    whole.filter(|_| !has_times).map(|one| one.reason.as_str())
}

#[cfg(test)]
#[path = "junit_tests.rs"]
mod tests;
