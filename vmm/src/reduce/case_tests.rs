//! Tests of the reduction.

use abi::report::SAMPLE_DISTURBED;

use super::*;
use crate::case::Parameters;
use crate::case::tests::parameters;
use crate::lens::Measured;
use crate::machine::guest::Outcome;
use crate::reduce::tests::{case_of, guest_run};
use crate::system::placement::Placement;
use crate::workload::{Call, Directions, Workload};

fn case(workload: &'static dyn Workload) -> Case {
    let server = workload.has(&crate::case::keys::SERVER).then_some(Placement::User);
    Case { name: "x".to_owned(), parameters: Parameters { server, ..parameters(workload) } }
}

fn reduced(case: &Case, launches: &[Result<GuestRun, String>]) -> CaseRecord {
    let launch = |result: &Result<GuestRun, String>| match result.clone() {
        Ok(run) => Measured::from(run).into(),
        Err(reason) => Launch::not_started(reason),
    };
    let launches: Vec<Launch> = launches.iter().map(launch).collect();
    case_of(case, launches, &HostRecord::default())
}

#[test]
fn counters_are_differences_over_all_cpus_and_launches() {
    let mut run = guest_run(vec![10, 20, 30], 6);
    run.cpus.push(run.cpus[0]);
    let record = reduced(&case(&Call), &[Ok(run.clone()), Ok(run)]);
    let loads = record.counters["page_table_loads"];
    assert_eq!((loads.total, loads.per_round_trip), (24, Some(4.0)));
    assert_eq!(record.round_trips, 6);
    assert_eq!(record.expected.agrees, Some(false), "two CPUs with two loads each are one too many");
    assert!(!record.succeeded());
    assert_eq!(record.run_delay_ns, Some(20));
    assert_eq!(record.kvm_stats["exits"], 10);
}

/// A guest with two page-table loads for each of its calls.
fn calls(samples: Vec<u64>) -> GuestRun {
    let loads = 2 * samples.len() as u64;
    guest_run(samples, loads)
}

#[test]
fn disturbed_samples_are_in_every_figure_and_the_others_stand_beside() {
    let record = reduced(&case(&Call), &[Ok(calls(vec![10, SAMPLE_DISTURBED | 9_999, 30]))]);
    let channel = record.ticks["round_trip"];
    assert_eq!((channel.summary.count, channel.summary.median, channel.summary.max), (3, 30, 9_999));
    assert_eq!(channel.median_ns, Some(15.0));
    assert_eq!(channel.undisturbed, Some(Undisturbed { count: 2, median: Some(10) }));
    assert_eq!(record.disturbed_samples, Some(1));
    assert_eq!(record.launches[0].median_ticks["round_trip"], 30);
    assert!(record.succeeded());
}

#[test]
fn when_all_are_disturbed_there_is_no_second_figure() {
    let samples = [10, 20, 30].map(|sample| SAMPLE_DISTURBED | sample).to_vec();
    let record = reduced(&case(&Call), &[Ok(calls(samples))]);
    let channel = record.ticks["round_trip"];
    assert_eq!((channel.summary.median, record.disturbed_samples), (20, Some(3)));
    assert_eq!(channel.undisturbed, Some(Undisturbed { count: 0, median: None }));
    assert_eq!(channel.median_without_others(), None);
}

#[test]
fn where_nobody_tells_no_sample_is_called_undisturbed() {
    let mut silent = calls(vec![10; 3]);
    silent.features &= !feature::STEAL_TIME;
    let record = reduced(&case(&Call), &[Ok(calls(vec![10; 3])), Ok(silent)]);
    assert_eq!((record.ticks["round_trip"].undisturbed, record.disturbed_samples), (None, None));
    assert_eq!(record.ticks["round_trip"].median_without_others(), Some(10));
}

/// 64 CPUs call one server on two host CPUs: all but 43 of 12,800 calls waited for others, as they do.
#[test]
fn those_that_never_wait_do_not_speak_for_all() {
    let file = "tests/data/version-1/samples/scaling.user-user.central.pcid=off.vcpus=64.npy";
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let (samples, _) = crate::record::samples::read_npy(&path).unwrap();
    let mut central = case(&Call);
    central.parameters.samples = 12_800;
    let mut run = calls(samples);
    run.measured_ns = Some(16_000_000_000);
    let record = reduced(&central, &[Ok(run)]);
    let channel = record.ticks["round_trip"];
    assert_eq!((channel.summary.count, channel.summary.median), (12_800, 83_793_082));
    assert_eq!(channel.undisturbed, Some(Undisturbed { count: 43, median: Some(508_242) }));
}

#[test]
fn channels_are_columns() {
    let mut run = guest_run(vec![30, 10, 20, 60, 20, 40], 0);
    (run.channel_count, run.round_trips, run.round_trips_announced) = (3, 2, Some(2));
    let mut two = case(&Directions);
    two.parameters.samples = 2;
    let record = reduced(&two, &[Ok(run)]);
    let median = |name: &str| record.ticks[name].summary.median;
    let written = serde_json::to_value(&record).unwrap();
    let names: Vec<&str> = written["ticks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|channel| channel["channel"].as_str().unwrap())
        .collect();
    assert_eq!(names, Directions.channels(), "a list, in the order of the columns");
    assert_eq!(record.launches[0].median_ticks.keys().collect::<Vec<_>>(), Directions.channels());
    assert_eq!((median("round_trip"), median("client_to_server"), median("server_to_client")), (30, 10, 20));
}

#[test]
fn a_guest_that_claims_nonsense_is_recorded_all_the_same() {
    let mut run = guest_run(vec![1, 2, 3, 4, 5], 0);
    (run.channel_count, run.round_trips) = (2, u64::MAX);
    run.cpus[0].begin.ipc_fast = u64::MAX;
    run.cpus[0].end.ipc_slow = u64::MAX;
    let record = reduced(&case(&Call), &[Ok(run.clone()), Ok(run.clone())]);
    assert!(record.ticks.is_empty());
    assert!(matches!(record.outcome, OutcomeRecord::Corrupt { .. }));
    assert_eq!(record.counters["ipc_fast"].total, 0);
    run.channel_count = u32::MAX;
    assert!(reduced(&case(&Call), &[Ok(run)]).ticks.is_empty());
}

#[test]
fn the_first_failure_is_the_cases_outcome() {
    let good = guest_run(vec![10; 3], 6);
    let bad = GuestRun { outcome: Outcome::Deadlock, ..guest_run(vec![], 0) };
    let record = reduced(&case(&Call), &[Ok(good), Ok(bad), Err("no memory".to_owned())]);
    assert_eq!(record.outcome, OutcomeRecord::Deadlock);
    assert_eq!(record.launches.len(), 3);
    assert_eq!(record.launches[0].console_tail, None);
    assert_eq!(record.launches[1].console_tail.as_deref(), Some("booting\nready"));
    assert_eq!(record.launches[2].outcome, OutcomeRecord::NotStarted { reason: "no memory".to_owned() });
    assert_eq!(record.ticks["round_trip"].summary.count, 3, "what was measured stays");
}

#[test]
fn a_case_without_a_guest_has_nothing_instead_of_zeros() {
    let record = reduced(&case(&Call), &[Err("no kvm".to_owned())]);
    assert!(record.ticks.is_empty());
    assert_eq!(
        (record.expected.agrees, record.kvm_exits_per_round_trip, record.run_delay_ns),
        (None, None, None)
    );
    assert_eq!(record.per_round_trip("page_table_loads"), None);
}

#[test]
fn what_cannot_be_counted_is_absent_with_the_reason() {
    let mut run = guest_run(vec![10; 3], 6);
    run.kvm_stats.clear();
    let record = reduced(&case(&Call), &[Ok(run)]);
    assert!(record.lenses["tsc"].available && record.lenses["kernel"].available);
    for lens in ["kvm", "pmu", "perf", "trace"] {
        assert!(!record.lenses[lens].available && record.lenses[lens].reason.is_some(), "{lens}");
    }
}

#[test]
fn a_guest_is_overcommitted_when_its_threads_have_too_few_cpus_whatever_the_host_has() {
    let mut two = case(&Call);
    two.parameters.vcpus = 2;
    let is_overcommitted = |cpus, usable_cpus| {
        let host = HostRecord { cpus, usable_cpus, ..HostRecord::default() };
        case_of(&two, vec![Measured::from(guest_run(vec![10; 3], 6)).into()], &host).is_overcommitted
    };
    assert!(is_overcommitted(64, 1), "pinned to one");
    assert!(!is_overcommitted(64, 2));
    assert!(is_overcommitted(1, 0) && !is_overcommitted(2, 0), "a record of old");
    assert!(!is_overcommitted(0, 0), "nothing is known");
}
