//! Damaged records.

use crate::report::ticks::Ticks;
use std::fs;

use proptest::prelude::*;

use crate::damage::{config, damaged, hits};
use crate::record::run::RunRecord;
use crate::record::store::{RECORD_FILE, read_record};
use crate::reduce::tests::run_record;
use crate::report::{csv, guests_csv, table};

fn show_in_every_form(run: &RunRecord) {
    for width in [60, 110] {
        table::render(run, width, Ticks::All);
        table::render(run, width, Ticks::Meaningful);
    }
    table::render_markdown(run, Ticks::All);
    csv::write_csv(&mut std::io::sink(), run).unwrap();
    guests_csv::write_guests_csv(&mut std::io::sink(), run).unwrap();
}

#[test]
fn a_record_with_the_greatest_of_all_numbers_is_shown() {
    let mut run = run_record();
    for case in &mut run.cases {
        (case.round_trips, case.disturbed_samples) = (u64::MAX, Some(u64::MAX));
        case.counters.values_mut().for_each(|count| count.total = u64::MAX);
        case.launches.iter_mut().for_each(|launch| launch.stood_still_ns = Some(u64::MAX));
    }
    show_in_every_form(&run);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn damaged_records_are_survived(hits in hits(40_000)) {
        let folder = tempfile::tempdir().unwrap();
        let stored = serde_json::to_vec_pretty(&run_record()).unwrap();
        for intact in [include_bytes!("../../tests/data/results.json").as_slice(), &stored] {
            fs::write(folder.path().join(RECORD_FILE), damaged(intact, &hits)).unwrap();
            if let Ok(run) = read_record(folder.path()) {
                show_in_every_form(&run);
            }
        }
    }
}
