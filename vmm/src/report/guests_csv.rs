//! `guests.csv`: one line per guest of the cases with many at once.

use std::io::{self, Write};

use crate::printable::line;
use crate::record::density::ProcessRecord;
use crate::record::run::{CaseRecord, LaunchRecord, RunRecord};

/// Its name in the folder of a run.
pub(super) const FILE: &str = "guests.csv";

/// Columns of every guest; the medians of the channels follow as `<channel>_median_ticks` in a column of their own each.
const COLUMNS: [&str; 23] = [
    "case",
    "guests",
    "launch",
    "guest",
    "outcome",
    "round_trips",
    "entered_ns",
    "created_ns",
    "started_ns",
    "first_mark_ns",
    "guest_rss_bytes",
    "guest_pss_bytes",
    "guest_huge_bytes",
    "overhead_pss_bytes",
    "overhead_rss_bytes",
    "page_table_bytes",
    "measured_ns",
    "measured_cpu_ns",
    "run_delay_ns",
    "round_trips_per_second",
    "user_ns",
    "system_ns",
    "throttled_us",
];

/// Whether any case had guests in processes of their own.
pub fn has_guests(run: &RunRecord) -> bool {
    run.cases.iter().any(|case| case.density.is_some())
}

/// Writes all guests. What was not measured is an empty field.
pub fn write_guests_csv(writer: &mut dyn Write, run: &RunRecord) -> io::Result<()> {
    let mut channels: Vec<&str> = Vec::new();
    for name in run.cases.iter().flat_map(|case| case.parameters.workload.channels()) {
        if !channels.contains(name) {
            channels.push(name);
        }
    }
    let mut csv = csv::Writer::from_writer(writer);
    let medians = channels.iter().map(|name| format!("{name}_median_ticks"));
    csv.write_record(COLUMNS.iter().map(|name| (*name).to_owned()).chain(medians))?;
    for case in &run.cases {
        for launch in &case.launches {
            if let Some(process) = &launch.process {
                csv.write_record(
                    row(case, launch, process, &channels).iter().map(|cell| line(cell).into_owned()),
                )?;
            }
        }
    }
    csv.flush()
}

fn text<T: ToString>(value: Option<T>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn row(case: &CaseRecord, launch: &LaunchRecord, process: &ProcessRecord, channels: &[&str]) -> Vec<String> {
    let memory = process.memory.as_ref();
    let mut row = vec![
        case.name.clone(),
        text(case.parameters.guests),
        process.launch.to_string(),
        process.guest.to_string(),
        launch.outcome.to_string(),
        launch.round_trips.to_string(),
        text(process.entered_ns),
        text(process.created_ns),
        text(process.started_ns),
        text(process.first_mark_ns),
        text(memory.map(|memory| memory.guest_rss_bytes)),
        text(memory.map(|memory| memory.guest_pss_bytes)),
        text(memory.map(|memory| memory.guest_huge_bytes)),
        text(memory.map(|memory| memory.overhead_pss_bytes)),
        text(memory.map(|memory| memory.overhead_rss_bytes)),
        text(memory.map(|memory| memory.page_table_bytes)),
        text(launch.measured_ns),
        text(process.measured_cpu_ns),
        text(process.run_delay_ns),
        text(process.round_trips_per_second),
        process.user_ns.to_string(),
        process.system_ns.to_string(),
        text(process.cgroup.map(|cgroup| cgroup.throttled_us)),
    ];
    row.extend(channels.iter().map(|name| text(launch.median_ticks.get(*name))));
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reduce::tests::run_record;

    #[test]
    fn every_guest_has_a_row_with_every_column() {
        let mut run = run_record();
        assert!(!has_guests(&run));
        run.cases[1].density = Some(Default::default());
        run.cases[1].launches[0].process = Some(ProcessRecord { guest: 3, ..ProcessRecord::default() });
        assert!(has_guests(&run));
        let mut file = Vec::new();
        write_guests_csv(&mut file, &run).unwrap();
        let mut reader = csv::Reader::from_reader(file.as_slice());
        let headers = reader.headers().unwrap().clone();
        assert_eq!(&headers[COLUMNS.len()], "empty_pair_median_ticks");
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!((rows.len(), rows[0].len()), (1, headers.len()));
        assert_eq!((&rows[0][3], &rows[0][4]), ("3", "finished"));
    }
}
