//! `inkbed doctor`.

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
        output::print(&text(&facts, output::width()))?;
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
        "\n{} as they should be, {} with a restriction, {} missing\n",
        count(Status::Ok),
        count(Status::Warning),
        count(Status::Missing),
    ));
    text
}

fn line(check: &Check, name_width: usize, width: usize) -> String {
    let verdict = match check.status {
        Status::Ok => "ok     ",
        Status::Warning => "limited",
        Status::Missing => "missing",
    };
    let head = format!("{verdict}  {:name_width$}  ", check.name);
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
