//! The second table of cases with many guests at once: what they cost the host, and how they fared together.

use super::format;
use super::grid::{Column, KEEP};
use super::section::Section;
use crate::record::density::{DensityRecord, Spread};
use crate::record::run::CaseRecord;

/// The section of the cases of one name; `None` where their guests had no processes of their own.
pub(super) fn section(name: &str, cases: &[&CaseRecord]) -> Option<Section> {
    let rows: Vec<(&CaseRecord, &DensityRecord)> =
        cases.iter().filter_map(|case| Some((*case, case.density.as_ref()?))).collect();
    if rows.is_empty() {
        return None;
    }
    let column = |heading: &str, rank: u8, cell: &dyn Fn(&CaseRecord, &DensityRecord) -> String| Column {
        heading: heading.to_owned(),
        cells: rows.iter().map(|(case, density)| cell(case, density)).collect(),
        is_number: true,
        rank,
    };
    let spread = |value: Option<Spread>, text: fn(u64) -> String| match value {
        Some(Spread { median, max }) if text(median) == text(max) => text(max),
        Some(Spread { median, max }) => format!("{} / {}", text(median), text(max)),
        None => String::new(),
    };
    let number =
        |value: Option<f64>, digits: usize| value.map_or(String::new(), |value| format!("{value:.digits$}"));
    let percent = |value: Option<f64>| match value {
        // Nothing at all is something else than a little.
        Some(value) if value > 0.0 && value < 0.005 => "<1%".to_owned(),
        Some(value) => format!("{:.0}%", value * 100.0),
        None => String::new(),
    };
    let workload = rows[0].0.parameters.workload;
    let mut columns = vec![
        column("guests", KEEP, &|_, density| density.guests.to_string()),
        column("vCPUs", KEEP, &|case, _| case.parameters.vcpus.to_string()),
        column("huge pages", KEEP, &|case, _| case.parameters.huge_pages.name().to_owned()),
        column(workload.way(), KEEP, &|case, _| format::placements(&case.parameters)),
        column("round\ntrips", KEEP, &|case, _| format::grouped(case.round_trips)),
        column("first output\nms", KEEP, &|_, density| spread(density.started_ns, milliseconds)),
        column("first mark\nms", 5, &|_, density| spread(density.first_mark_ns, milliseconds)),
        column("guest\nmemory MiB", 4, &|_, density| spread(density.guest_rss_bytes, mebibytes)),
        column("overhead\n(PSS), KiB", KEEP, &|_, density| spread(density.overhead_pss_bytes, kibibytes)),
        column("all memory\n(PSS), MiB", 2, &|_, density| {
            density.total_pss_bytes.map_or(String::new(), mebibytes)
        }),
        column("measured\ntogether", KEEP, &|_, density| percent(density.overlap)),
        column("round\ntrips/s", 7, &|_, density| {
            let rate = density.round_trips_per_second.map(|rate| format::grouped(rate.round() as u64));
            rate.unwrap_or_else(|| none(density))
        }),
        column("fairness", KEEP, &|_, density| {
            density.fairness.map_or_else(|| none(density), |_| number(density.fairness, 3))
        }),
        column("fastest by\nslowest", 3, &|_, density| number(density.fastest_to_slowest, 2)),
        column("CPUs\nbusy", 8, &|_, density| number(density.busy_cpus, 2)),
        column("steal\ntime", 9, &|_, density| percent(density.steal)),
        column("failed", KEEP, &|_, density| match density.failed {
            0 => String::new(),
            failed => failed.to_string(),
        }),
    ];
    // The first table's heading tells what all cases have in common.
    let settings = 1..4;
    let tells = |(index, column): (usize, &Column)| match settings.contains(&index) {
        true => column.cells.iter().any(|cell| *cell != column.cells[0]),
        false => column.cells.iter().any(|cell| !cell.is_empty()),
    };
    columns =
        columns.iter().enumerate().filter(|pair| tells(*pair)).map(|(_, column)| column.clone()).collect();
    let heading = format!(
        "{name}, all guests together · two figures are median / maximum; times begin with the process"
    );
    Some(Section { name: format!("{name}-guests"), heading, columns })
}

/// Instead of a figure that there cannot be; the notes say why.
fn none(density: &DensityRecord) -> String {
    density.not_at_once.map_or(String::new(), |_| "–".to_owned())
}

fn milliseconds(ns: u64) -> String {
    let ms = ns as f64 / 1e6;
    if ms < 100.0 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

fn kibibytes(bytes: u64) -> String {
    format::grouped(bytes / 1024)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reduce::tests::run_record;
    use crate::statistics::at_once::NotAtOnce;

    #[test]
    fn one_row_for_each_number_of_guests() {
        let mut run = run_record();
        assert!(section("call", &run.cases.iter().collect::<Vec<_>>()).is_none());
        let density = |guests, failed| DensityRecord {
            guests,
            failed,
            started_ns: Some(Spread { median: 4_200_000, max: 250_000_000 }),
            overhead_pss_bytes: Some(Spread { median: 1 << 20, max: 1 << 20 }),
            fairness: (guests == 1).then_some(0.98765),
            not_at_once: (guests > 1).then_some(NotAtOnce::NoOverlap),
            overlap: Some(if guests > 1 { 0.0 } else { 1.0 }),
            steal: Some(0.5),
            ..DensityRecord::default()
        };
        run.cases[1].density = Some(density(1, 0));
        run.cases[2].density = Some(density(64, 2));
        let section = section("call", &run.cases.iter().collect::<Vec<_>>()).unwrap();
        let cells = |heading: &str| {
            let column = section.columns.iter().find(|column| column.heading == heading);
            column.unwrap_or_else(|| panic!("no column {heading}")).cells.join("|")
        };
        assert_eq!(cells("guests"), "1|64");
        assert_eq!(cells("first output\nms"), "4.2 / 250|4.2 / 250");
        assert_eq!(cells("overhead\n(PSS), KiB"), "1,024|1,024");
        assert_eq!((cells("fairness").as_str(), cells("steal\ntime").as_str()), ("0.988|–", "50%|50%"));
        assert_eq!(
            (cells("round\ntrips/s").as_str(), cells("measured\ntogether").as_str()),
            ("|–", "100%|0%")
        );
        let mut narrow = section.columns.clone();
        let left_out = crate::report::grid::fit(&mut narrow, 10);
        assert!(!left_out.iter().any(|heading| heading == "measured together"), "{left_out:?}");
        assert_eq!(cells("failed"), "|2");
        assert!(
            section.columns.iter().all(|column| column.heading != "all memory\n(PSS), MiB"),
            "nothing to show"
        );
    }
}
