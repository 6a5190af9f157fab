//! Traces as tables.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, Width};

use crate::lens::trace::Summary;
use crate::lens::trace::counts::Counts;
use crate::lens::trace::phase::Phase;

/// Widest column of a case, characters: names are broken to fit.
const CASE_WIDTH: u16 = 20;

/// Widest table, characters.
const TABLE_WIDTH: u16 = 160;

/// Several cases side by side: a column for each, a row for each count.
pub fn table<'a>(cases: impl IntoIterator<Item = (&'a str, &'a Summary)>) -> Table {
    let cases: Vec<(&str, &Summary)> = cases.into_iter().collect();
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(TABLE_WIDTH);
    table.set_header(
        ["per round trip".to_owned()].into_iter().chain(cases.iter().map(|(name, _)| heading(name))),
    );
    let mut row = |label: &str, value: &dyn Fn(&Summary) -> String, is_optional: bool| {
        let values: Vec<String> = cases.iter().map(|(_, summary)| value(summary)).collect();
        if !is_optional || values.iter().any(|value| value != "0") {
            table.add_row([label.to_owned()].into_iter().chain(values));
        }
    };
    row("instructions", &instructions, false);
    row("  of kernel and stubs", &count(|counts| counts.path_instructions), false);
    for phase in Phase::ALL.into_iter().filter(|phase| *phase != Phase::Detour) {
        let value =
            move |summary: &Summary| summary.counts.phases.get(&phase).copied().unwrap_or(0).to_string();
        row(&format!("  {}", phase.name()), &value, true);
    }
    // Several of them: a migration among calls, say.
    let longest = cases.iter().map(|(_, summary)| summary.system_calls.len()).max().unwrap_or(0);
    for index in 0..if longest > 1 { longest } else { 0 } {
        row(
            &format!("client's system call {}", index + 1),
            &move |summary| system_call(summary, index),
            false,
        );
    }
    row("ring 0", &count(|counts| counts.ring_0), false);
    row("ring 3", &count(|counts| counts.ring_3), false);
    row("thread switches", &count(|counts| counts.context_switches), false);
    for index in 0..Counts::default().kinds.named().len() {
        let (label, _) = Counts::default().kinds.named()[index];
        let is_optional = index != 0; // page-table loads are what this is all about
        row(label, &count(move |counts| counts.kinds.named()[index].1), is_optional);
    }
    row("kernel code, bytes", &count(|counts| counts.footprint.kernel.code_bytes), false);
    row("kernel code, cache lines", &count(|counts| counts.footprint.kernel.code_lines), false);
    row("kernel data, cache lines", &count(|counts| counts.footprint.kernel.data_lines), false);
    row("servers' code, cache lines", &count(|counts| counts.footprint.servers.code_lines), false);
    row("servers' data, cache lines", &count(|counts| counts.footprint.servers.data_lines), false);
    row("pages", &count(|counts| counts.footprint.page_count()), false);
    row("round trips with other lines or pages", &|summary| summary.varying_footprint.to_string(), true);
    row("(SYSCALL detour)", &|summary| summary.detour_instructions.to_string(), true);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
        column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(CASE_WIDTH)));
    }
    table
}

/// One part of a case's name on each line.
fn heading(name: &str) -> String {
    name.replace('/', "\n").replace(", ", "\n")
}

fn count(field: impl Fn(&Counts) -> u64) -> impl Fn(&Summary) -> String {
    move |summary| field(&summary.counts).to_string()
}

/// A system call of the client with its instructions.
fn system_call(summary: &Summary, index: usize) -> String {
    summary.system_calls.get(index).map_or(String::new(), |call| match call.times {
        1 => format!("{} {}", call.name, call.instructions),
        times => format!("{times} {} {}", call.name, call.instructions),
    })
}

/// One number where all round trips are the same, else the range and how many differ.
fn instructions(summary: &Summary) -> String {
    let least = summary.counts.instructions;
    match summary.varying {
        0 => least.to_string(),
        varying => {
            format!("{least} to {} ({varying} of {} vary)", summary.instructions_max, summary.round_trips)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lens::trace::system_calls::SystemCall;

    #[test]
    fn a_table_has_a_column_for_each_case_and_only_rows_with_something_in_them() {
        let counts = Counts { instructions: 206, path_instructions: 200, ..Counts::default() };
        let steady = Summary {
            round_trips: 4,
            counts,
            instructions_max: 206,
            varying: 0,
            varying_footprint: 0,
            detour_instructions: 38,
            stacks: std::collections::BTreeMap::new(),
            system_calls: Vec::new(),
            clock_ticks: None,
            clock_repeats: None,
            between_marks: Counts::default(),
            detour_between_marks: 0,
        };
        let moving = [("MIGRATE", 17, 52_000), ("CALL", 1, 206)];
        let system_calls = moving.map(|(name, times, instructions)| SystemCall {
            name: name.to_owned(),
            times,
            instructions,
        });
        let varying = Summary {
            varying: 3,
            instructions_max: 210,
            system_calls: system_calls.into(),
            ..steady.clone()
        };
        let text = table([("call/user-user", &steady), ("a, 0 words", &varying)]).to_string();
        assert!(text.contains("user-user") && text.contains("0 words"), "{text}");
        assert!(text.contains("206 to 210"), "{text}");
        assert!(text.contains("17 MIGRATE 52000") && text.contains("CALL 206"), "{text}");
        assert!(text.contains("page-table loads") && text.contains("(SYSCALL detour)"), "{text}");
        assert!(!text.contains("WRMSR") && !text.contains("slow path"), "{text}");
    }
}
