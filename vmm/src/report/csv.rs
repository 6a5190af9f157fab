//! `results.csv`: one line per case and channel, for spreadsheets and plotting programs.

use std::io::{self, Write};

use abi::report::COUNTER_NAMES;

use crate::case::key::Key;
use crate::printable::line;
use crate::record::channel::ChannelRecord;
use crate::record::run::{CaseRecord, RunRecord};
use crate::tlb::Counts;

/// Columns between what is set and the counters.
const COLUMNS: [&str; 24] = [
    "outcome",
    "round_trips",
    "channel",
    "samples",
    "min_ticks",
    "median_ticks",
    "median_ci95_low_ticks",
    "median_ci95_high_ticks",
    "p90_ticks",
    "p99_ticks",
    "max_ticks",
    "mean_ticks",
    "undisturbed_samples",
    "undisturbed_median_ticks",
    "median_ns",
    "ratio_to_all_user",
    "ratio_to_lone_guest",
    "overlap_of_guests",
    "round_trips_per_second_at_once",
    "fairness",
    "empty_pair_median_ticks",
    "timing",
    "disturbed_samples",
    "raw_samples_every",
];

/// Columns behind the counters.
const LAST_COLUMNS: [&str; 15] = [
    "kvm_exits_per_round_trip",
    "other_calls_answered_meanwhile_per_round_trip",
    "other_calls_failed_per_round_trip",
    "requests_per_round_trip",
    "page_table_loads_per_request",
    "page_table_loads_saved",
    "round_trips_per_second",
    "guest_memory_bytes",
    "overcommitted",
    "traced_path_instructions",
    "traced_instructions",
    "tlb_model",
    "tlb_model_first_level_misses",
    "tlb_model_walks",
    "host",
];

/// Writes all cases. What was not measured is an empty field. Counters are per round trip.
pub fn write_csv(writer: &mut dyn Write, run: &RunRecord) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(writer);
    let counters = COUNTER_NAMES.iter().map(|name| format!("{name}_per_round_trip"));
    let last = LAST_COLUMNS.iter().map(|name| (*name).to_owned());
    let first = ["case", "workload"].map(str::to_owned);
    let set = settings().map(|key| key.recorded().to_owned());
    let middle = COLUMNS.iter().map(|name| (*name).to_owned());
    csv.write_record(first.into_iter().chain(set).chain(middle).chain(counters).chain(last))?;
    for case in &run.cases {
        if case.ticks.is_empty() {
            csv.write_record(row(run, case, None).iter().map(|cell| line(cell).into_owned()))?;
        }
        for channel in &case.ticks {
            csv.write_record(row(run, case, Some(channel)).iter().map(|cell| line(cell).into_owned()))?;
        }
    }
    csv.flush()
}

/// What is set, a column for each key.
fn settings() -> impl Iterator<Item = &'static Key> {
    crate::workload::keys().iter().copied().filter(|key| key.in_csv)
}

fn text<T: ToString>(value: Option<T>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn row(run: &RunRecord, case: &CaseRecord, channel: Option<(&String, &ChannelRecord)>) -> Vec<String> {
    let parameters = &case.parameters;
    let summary = |field: fn(&ChannelRecord) -> u64| text(channel.map(|(_, channel)| field(channel)));
    let interval = channel.and_then(|(_, channel)| channel.summary.interval);
    let undisturbed = channel.and_then(|(_, channel)| channel.undisturbed);
    let density = case.density.as_ref();
    let mut row = vec![case.name.clone(), parameters.workload.to_string()];
    row.extend(settings().map(|key| key.plain_text(parameters)));
    row.extend([
        case.outcome.to_string(),
        case.round_trips.to_string(),
        text(channel.map(|(name, _)| name)),
        summary(|channel| channel.summary.count),
        summary(|channel| channel.summary.min),
        summary(|channel| channel.summary.median),
        text(interval.map(|interval| interval.low)),
        text(interval.map(|interval| interval.high)),
        summary(|channel| channel.summary.p90),
        summary(|channel| channel.summary.p99),
        summary(|channel| channel.summary.max),
        summary(|channel| channel.summary.mean),
        text(undisturbed.map(|undisturbed| undisturbed.count)),
        text(undisturbed.and_then(|undisturbed| undisturbed.median)),
        text(channel.and_then(|(_, channel)| channel.median_ns)),
        text(channel.and_then(|(_, channel)| channel.ratio_to_all_user)),
        text(channel.and_then(|(_, channel)| channel.ratio_to_lone_guest)),
        text(density.and_then(|density| density.overlap)),
        text(density.and_then(|density| density.round_trips_per_second)),
        text(density.and_then(|density| density.fairness)),
        text(case.empty_pair_median_ticks),
        case.timing.name().to_owned(),
        text(case.disturbed_samples),
        text(case.launches.iter().filter_map(|launch| launch.samples_every).max()),
    ]);
    row.extend(COUNTER_NAMES.iter().map(|name| text(case.per_round_trip(name))));
    row.push(text(case.kvm_exits_per_round_trip));
    row.push(text(case.other_calls.and_then(|calls| calls.answered_meanwhile.per_round_trip)));
    row.push(text(case.other_calls.and_then(|calls| calls.failed.per_round_trip)));
    let replayed = case.replayed.as_ref();
    row.push(text(replayed.map(|of| of.requests)));
    row.push(text(replayed.and_then(|of| of.page_table_loads_per_request)));
    row.push(text(replayed.and_then(|of| of.page_table_loads_saved)));
    row.push(text(case.round_trips_per_second));
    row.push(case.guest_memory_bytes.to_string());
    row.push(case.is_overcommitted.to_string());
    let traced = crate::report::traced::steady(case).ok();
    row.push(text(traced.as_ref().map(|traced| traced.counts.path_instructions)));
    row.push(text(traced.as_ref().map(|traced| traced.counts.instructions)));
    let model = case.tlb_models.first();
    let steady = model.and_then(|report| report.steady.as_ref()).map(Counts::total);
    row.push(text(model.map(|report| &report.model)));
    row.push(text(steady.map(|total| total.first_level_misses)));
    row.push(text(steady.map(|total| total.walks)));
    row.push(case.host.as_ref().unwrap_or(&run.host.name).clone());
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reduce::tests::run_record;

    #[test]
    fn every_row_has_every_column() {
        let mut file = Vec::new();
        write_csv(&mut file, &run_record()).unwrap();
        let mut reader = csv::Reader::from_reader(file.as_slice());
        let width = reader.headers().unwrap().len();
        let before_counters = 2 + settings().count() + COLUMNS.len();
        assert_eq!(width, before_counters + COUNTER_NAMES.len() + LAST_COLUMNS.len());
        let columns = reader.headers().unwrap().clone();
        let place = |name: &str| columns.iter().position(|column| column == name).unwrap();
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), run_record().cases.len());
        assert!(rows.iter().all(|row| row.len() == width));
        let call = rows.iter().find(|row| &row[0] == "call/user-user/words=0/pcid=off").unwrap();
        assert_eq!((&call[1], &call[place("median_ticks")], &call[before_counters]), ("call", "2000", "2"));
    }
}
