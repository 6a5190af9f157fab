//! `inkbed doctor`.

use anstyle::Style;

use super::arguments::DoctorArguments;
use super::end::End;
use super::output;
use crate::doctor::Diagnosis;
use crate::guest_image::GuestImage;
use crate::host::{Check, Status};

pub(super) fn doctor(arguments: &DoctorArguments) -> anyhow::Result<End> {
    let diagnosis = Diagnosis::probe().with_segments(&GuestImage::embedded());
    if arguments.json {
        output::print_json(&diagnosis)?;
    } else {
        output::print_painted(&text(&diagnosis, output::width()), paint)?;
    }
    Ok(if diagnosis.facts.kvm.usable.known().is_some() { End::Success } else { End::NoKvm })
}

fn text(diagnosis: &Diagnosis, width: usize) -> String {
    let Diagnosis { facts, checks, .. } = diagnosis;
    let mut text = format!("{}, Linux {}\n\n", facts.cpu.model, facts.system.kernel_release);
    let name_width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    for check in checks {
        text.push_str(&line(check, name_width, width));
    }
    let count = |status| checks.iter().filter(|check| check.status == status).count();
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
