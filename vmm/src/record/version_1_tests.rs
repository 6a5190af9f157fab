//! Tests of reading old records: one of this project's own, from before disturbed samples were in the figures.

use crate::report::ticks::Ticks;
use std::fs;
use std::path::PathBuf;

use super::*;
use crate::record::density::{DensityRecord, ProcessRecord};
use crate::record::run::RunRecord;
use crate::record::store::{RECORD_FILE, read_record};
use crate::reduce::tests::{case_named, run_record};
use crate::report::table::{FILE_WIDTH, render};

const CENTRAL: &str = "scaling/user-user/central/pcid=off/vcpus=64";
const ACROSS: &str = "latency/user-user/across/pcid=off/vcpus=2";
const DIRECTIONS: &str = "directions/kernel-kernel/pcid=off";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/version-1")
}

/// The record without its raw samples.
fn without_samples() -> RunRecord {
    let alone = tempfile::tempdir().unwrap();
    fs::copy(folder().join(RECORD_FILE), alone.path().join(RECORD_FILE)).unwrap();
    read_record(alone.path()).unwrap()
}

/// 43 of 12,800 calls had not waited for another CPU; their median was printed as that of all.
#[test]
fn what_all_samples_show_is_the_headline() {
    let run = read_record(&folder()).unwrap();
    let case = case_named(&run, CENTRAL);
    let channel = case.ticks["round_trip"];
    assert_eq!((channel.summary.median, channel.summary.count), (83_793_082, 12_800));
    assert_eq!((channel.undisturbed, case.disturbed_samples), (None, None), "the old marks tell no cause");
    assert_eq!(case.launches[0].median_ticks["round_trip"], 83_793_082);
    let interval = channel.summary.interval.unwrap();
    assert!(interval.low <= 83_793_082 && 83_793_082 <= interval.high && channel.summary.p99 > interval.high);
    let text = render(&run, FILE_WIDTH, Ticks::All);
    assert!(text.contains("83,793,082") && text.contains("12,800") && !text.contains("508,242"), "{text}");
}

#[test]
fn channels_come_in_the_order_of_the_columns() {
    let run = read_record(&folder()).unwrap();
    let case = case_named(&run, DIRECTIONS);
    let names: Vec<&String> = case.ticks.keys().collect();
    assert_eq!(names, ["round_trip", "client_to_server", "server_to_client"]);
    assert!(case.ticks["round_trip"].summary.median > case.ticks["client_to_server"].summary.median);
    assert_eq!(case.launches[0].median_ticks.keys().collect::<Vec<_>>(), names);
    assert!(case.ticks["round_trip"].median_ns.is_some());
}

#[test]
fn figures_that_were_over_all_samples_need_no_samples() {
    let (with, without) = (read_record(&folder()).unwrap(), without_samples());
    let channel = |run: &RunRecord| case_named(run, ACROSS).ticks["round_trip"];
    assert_eq!(channel(&with), channel(&without));
    assert_eq!(channel(&with).summary.count, 200);
}

#[test]
fn figures_that_cannot_be_had_are_absent_with_the_reason() {
    let run = without_samples();
    let case = case_named(&run, CENTRAL);
    assert!(case.ticks.is_empty());
    assert!(case.ticks_absent_reason.as_ref().unwrap().contains("not beside it"));
    let text = render(&run, FILE_WIDTH, Ticks::All);
    assert!(text.contains("No ticks of") && !text.contains("508,242"), "{text}");
}

/// Every record in the repository, whatever its version.
/// 64 guests that never measured all at once were said to make 334,525 round trips/s on 2 CPUs.
#[test]
fn sums_of_rates_are_no_throughput() {
    let read_with = |guests: u32, began_at_ns: [u64; 2]| {
        let mut run = run_record();
        run.cases.truncate(1);
        let case = &mut run.cases[0];
        case.density = Some(DensityRecord {
            guests,
            round_trips_per_second: Some(334_525.0),
            fairness: Some(0.9),
            fastest_to_slowest: Some(62.0),
            overlap: Some(0.9),
            ..DensityRecord::default()
        });
        case.launches.push(case.launches[0].clone());
        for (launch, began_at_ns) in case.launches.iter_mut().zip(began_at_ns) {
            launch.measured_ns = Some(1_000);
            launch.process =
                Some(ProcessRecord { began_at_ns: Some(began_at_ns), ..ProcessRecord::default() });
        }
        let mut old = serde_json::to_value(&run).unwrap();
        old["version"] = 1.into();
        old["cases"][0]["cycles"] = json!({});
        let run = read(old, &folder()).unwrap();
        assert_eq!(render(&run, FILE_WIDTH, Ticks::All).contains("334,525"), guests == 1);
        run.cases[0].density.clone().unwrap()
    };
    let many = read_with(2, [0, 500]);
    assert_eq!((many.round_trips_per_second, many.fairness, many.fastest_to_slowest), (None, None, None));
    assert_eq!((many.not_at_once, many.overlap), (Some(NotAtOnce::AddedUp), Some(0.5)));
    assert_eq!(read_with(2, [0, 1_000]).overlap, Some(0.0));
    assert_eq!(read_with(1, [0, 0]).round_trips_per_second, Some(334_525.0));
}

#[test]
fn all_reference_runs_can_be_shown() {
    let results = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../results");
    let records = fs::read_dir(results).unwrap().map(|entry| entry.unwrap().path());
    let records: Vec<PathBuf> = records.filter(|folder| folder.join(RECORD_FILE).exists()).collect();
    assert!(records.len() > 10, "only {} records", records.len());
    for folder in records {
        let run = read_record(&folder).unwrap_or_else(|error| panic!("{error}"));
        assert!(!render(&run, FILE_WIDTH, Ticks::All).is_empty());
    }
}
