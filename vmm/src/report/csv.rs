//! `results.csv`: one line per case and channel, for spreadsheets and plotting programs.

use std::io::{self, Write};

use abi::report::COUNTER_NAMES;

use crate::case::parameter::{Fault, Gate, HandlerShape, Migration, Reached, Serving};
use crate::printable::line;
use crate::record::channel::ChannelRecord;
use crate::record::run::{CaseRecord, RunRecord};
use crate::tlb::Counts;

/// Columns before the counters.
const COLUMNS: [&str; 53] = [
    "case",
    "workload",
    "client",
    "relay",
    "server",
    "other_client",
    "same_space",
    "transfer",
    "words",
    "client_pages",
    "server_pages",
    "servers",
    "moved",
    "partners",
    "migration",
    "flush",
    "fault",
    "demote_after",
    "promote_after",
    "serving",
    "shape",
    "handlers_per_cpu",
    "target",
    "slot_bytes",
    "gate",
    "pcid",
    "vcpus",
    "huge_pages",
    "guests",
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
const LAST_COLUMNS: [&str; 11] = [
    "kvm_exits_per_round_trip",
    "other_calls_answered_meanwhile_per_round_trip",
    "other_calls_failed_per_round_trip",
    "round_trips_per_second",
    "guest_memory_bytes",
    "overcommitted",
    "traced_path_instructions",
    "traced_instructions",
    "tlb_model",
    "tlb_model_first_level_misses",
    "tlb_model_walks",
];

/// Writes all cases. What was not measured is an empty field. Counters are per round trip.
pub fn write_csv(writer: &mut dyn Write, run: &RunRecord) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(writer);
    let counters = COUNTER_NAMES.iter().map(|name| format!("{name}_per_round_trip"));
    let last = LAST_COLUMNS.iter().map(|name| (*name).to_owned());
    csv.write_record(COLUMNS.iter().map(|name| (*name).to_owned()).chain(counters).chain(last))?;
    for case in &run.cases {
        if case.ticks.is_empty() {
            csv.write_record(row(case, None).iter().map(|cell| line(cell).into_owned()))?;
        }
        for channel in &case.ticks {
            csv.write_record(row(case, Some(channel)).iter().map(|cell| line(cell).into_owned()))?;
        }
    }
    csv.flush()
}

fn text<T: ToString>(value: Option<T>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn row(case: &CaseRecord, channel: Option<(&String, &ChannelRecord)>) -> Vec<String> {
    let parameters = &case.parameters;
    let summary = |field: fn(&ChannelRecord) -> u64| text(channel.map(|(_, channel)| field(channel)));
    let interval = channel.and_then(|(_, channel)| channel.summary.interval);
    let undisturbed = channel.and_then(|(_, channel)| channel.undisturbed);
    let density = case.density.as_ref();
    let mut row = vec![
        case.name.clone(),
        parameters.workload.to_string(),
        parameters.client.to_string(),
        text(parameters.relay),
        text(parameters.server),
        text(parameters.other_client),
        parameters.same_space.to_string(),
        parameters.transfer.to_string(),
        text(parameters.words),
        text(parameters.client_pages),
        text(parameters.server_pages),
        text(parameters.servers),
        text(parameters.moved),
        text(parameters.partners),
        text(parameters.migration.map(Migration::name)),
        parameters.flush.name().to_owned(),
        text(parameters.fault.map(Fault::name)),
        text(parameters.demote_after),
        text(parameters.promote_after),
        text(parameters.serving.map(Serving::name)),
        text(parameters.shape.map(HandlerShape::name)),
        text(parameters.handlers_per_cpu),
        text(parameters.target.map(Reached::name)),
        text(parameters.slot_bytes),
        text(parameters.gate.map(Gate::name)),
        if parameters.pcid { "on" } else { "off" }.to_owned(),
        parameters.vcpus.to_string(),
        parameters.huge_pages.name().to_owned(),
        text(parameters.guests),
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
    ];
    row.extend(COUNTER_NAMES.iter().map(|name| text(case.per_round_trip(name))));
    row.push(text(case.kvm_exits_per_round_trip));
    row.push(text(case.other_calls.and_then(|calls| calls.answered_meanwhile.per_round_trip)));
    row.push(text(case.other_calls.and_then(|calls| calls.failed.per_round_trip)));
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
        assert_eq!(width, COLUMNS.len() + COUNTER_NAMES.len() + LAST_COLUMNS.len());
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), run_record().cases.len());
        assert!(rows.iter().all(|row| row.len() == width));
        let call = rows.iter().find(|row| &row[0] == "call/user-user/words=0/pcid=off").unwrap();
        assert_eq!((&call[1], &call[34], &call[COLUMNS.len()]), ("call", "2000", "2"));
    }
}
