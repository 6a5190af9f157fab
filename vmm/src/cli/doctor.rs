//! `inkbed doctor`.

use anstyle::Style;

use super::arguments::DoctorArguments;
use super::end::End;
use super::output;
use crate::guest_image::GuestImage;
use crate::host::{Check, HostFacts, Status};

pub(super) fn doctor(arguments: &DoctorArguments) -> anyhow::Result<End> {
    let facts = HostFacts::probe().with_segments(&GuestImage::embedded());
    if arguments.json {
        output::print_json(&facts)?;
    } else {
        output::print_painted(&text(&facts, output::width()), paint)?;
    }
    Ok(if facts.kvm.usable.known().is_some() { End::Success } else { End::NoKvm })
}

fn text(facts: &HostFacts, width: usize) -> String {
    let mut text = format!("{}, Linux {}\n\n", facts.cpu.model, facts.system.kernel_release);
    let name_width = facts.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    for check in &facts.checks {
        text.push_str(&line(check, name_width, width));
    }
    let count = |status| facts.checks.iter().filter(|check| check.status == status).count();
    text.push_str(&format!(
        "\n{} ok, {} limited, {} missing\n",
        count(Status::Ok),
        count(Status::Warning),
        count(Status::Missing),
    ));
    text
}

/// The word at the beginning of a line, and its colour.
fn verdict(status: Status) -> (&'static str, Style) {
    match status {
        Status::Ok => ("ok", output::GOOD),
        Status::Warning => ("limited", output::RESTRICTED),
        Status::Missing => ("missing", output::WRONG),
    }
}

fn paint(line: &str) -> Option<(&str, Style)> {
    let verdicts = [Status::Ok, Status::Warning, Status::Missing].map(verdict);
    verdicts.into_iter().find(|(word, _)| line.starts_with(&format!("{word} ")))
}

fn line(check: &Check, name_width: usize, width: usize) -> String {
    let (verdict, _) = verdict(check.status);
    let head = format!("{verdict:7}  {:name_width$}  ", check.name);
    let indent = " ".repeat(head.chars().count());
    let wrapped = |head: &str, detail: &str| {
        let options = textwrap::Options::new(width).initial_indent(head).subsequent_indent(&indent);
        textwrap::fill(detail, options) + "\n"
    };
    let mut text = wrapped(&head, &check.detail);
    if let Some(remedy) = &check.remedy {
        text.push_str(&wrapped(&indent, &format!("→ {remedy}")));
    }
    text
}
