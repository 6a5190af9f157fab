//! Guests and runs that the tests of several modules share.

use std::collections::BTreeMap;

use abi::report::{Counters, CpuReport, feature};

use crate::case::keys;
use crate::case::tests::parameters;
use crate::case::{Case, Parameters};
use crate::lens::Measured;
use crate::lens::trace::{TraceAbsent, Traced};
use crate::machine::guest::{GuestRun, Outcome};
use crate::record::run::{
    CaseRecord, ExperimentRecord, GuestRecord, HostRecord, RunRecord, RunState, SCHEMA, ToolRecord, VERSION,
};
use crate::reduce::case::{case_record, channels};
use crate::reduce::launch::{Launch, Reduced};
use crate::system::placement::Placement;
use crate::workload::{Call, Empty};

/// A guest that finished with these samples in one channel.
pub(crate) fn guest_run(samples: Vec<u64>, page_table_loads: u64) -> GuestRun {
    let begin = Counters { page_table_loads: 7, ..Counters::default() };
    let round_trips = samples.len() as u64;
    let end = Counters {
        page_table_loads: 7 + page_table_loads,
        page_table_loads_elided: 2 * round_trips - page_table_loads,
        context_switches: 2 * round_trips,
        ipc_fast: 2 * round_trips,
        ..begin
    };
    GuestRun {
        outcome: Outcome::Finished { status: 0 },
        state: abi::report::state::FINISHED,
        features: feature::GLOBAL_PAGES | feature::STEAL_TIME,
        flush: abi::flush::FlushReport::default(),
        round_trips,
        round_trips_announced: Some(round_trips),
        channel_count: 1,
        samples,
        measured_ticks: 1_000_000,
        calls_answered_meanwhile: 0,
        calls_failed: 0,
        frames_in_use: 512,
        cpus: vec![CpuReport { online: 1, begin, end, ..CpuReport::default() }],
        faults: Vec::new(),
        kvm_stats: BTreeMap::from([("exits".to_owned(), 5)]),
        cpu_ns: Some(1_000),
        run_delay_ns: Some(10),
        console: b"booting\nready\n".to_vec(),
        tsc_hz: 2_000_000_000,
        create_ns: 1_000,
        stood_still_ns: 0,
        ran_elsewhere: false,
        kvm_pages: BTreeMap::new(),
        boot_ns: Some(2_000),
        began_at_ns: None,
        measured_ns: Some(3_000),
        pmu: None,
    }
}

/// Why the cases of these tests have no trace.
pub(crate) fn not_traced() -> Traced {
    Err(TraceAbsent::new("not asked for"))
}

fn record(name: &str, parameters: Parameters, median: u64, loads_per_round_trip: u64) -> CaseRecord {
    let samples = vec![median - 10, median - 10, median, median, median + 30, median + 30];
    let run = guest_run(samples, 6 * loads_per_round_trip);
    let parameters = Parameters { samples: 6, ..parameters };
    case_of(
        &Case { name: name.to_owned(), parameters },
        vec![Measured::from(run).into()],
        &HostRecord::default(),
    )
}

/// The record of a case with these launches, which are in no file.
pub(crate) fn case_of(case: &Case, launches: Vec<Launch>, host: &HostRecord) -> CaseRecord {
    let launches: Vec<Reduced> =
        launches.into_iter().map(|launch| Reduced::new(case, launch, None)).collect();
    case_record(case, &launches, channels(case, &launches), &not_traced(), host)
}

/// A small finished run.
pub(crate) fn run_record() -> RunRecord {
    let call = |client, server| {
        Parameters {
            client,
            server: Some(server),
            server_program: Some("null".to_owned()),
            ..parameters(&Call)
        }
        .with(&keys::WORDS, 0)
    };
    let (user, kernel) = (Placement::User, Placement::Kernel);
    let shared = Parameters { same_space: true, warm_up: 77, ..call(user, user) };
    let cases = vec![
        record("empty/user/pcid=off", parameters(&Empty), 50, 0),
        record("call/user-user/words=0/pcid=off", call(user, user), 2_000, 2),
        record("call/user-kernel/words=0/pcid=off", call(user, kernel), 1_000, 0),
        record("call/kernel-user/words=0/pcid=off", call(kernel, user), 1_200, 0),
        record("call/same-space/words=0/pcid=off", shared, 1_500, 0),
    ];
    RunRecord {
        schema: SCHEMA.to_owned(),
        version: VERSION,
        inkbed: ToolRecord { version: "0.1.0".to_owned(), abi_version: 1 },
        experiment: ExperimentRecord {
            name: "ipc".to_owned(),
            question: "What does a call cost?".to_owned(),
            description: None,
            file: "bench-config/ipc.toml".to_owned(),
            file_sha256: "ab".repeat(32),
            quotas: None,
            overrides: BTreeMap::new(),
        },
        started_utc: "2026-01-02T03:04:05Z".to_owned(),
        finished_utc: Some("2026-01-02T03:05:05Z".to_owned()),
        resumed: Vec::new(),
        state: RunState::Finished,
        host: HostRecord {
            name: "box".to_owned(),
            summary: "a CPU, kvm_x".to_owned(),
            ..HostRecord::default()
        },
        guest: GuestRecord {
            sha256: "cd".repeat(32),
            programs_sha256: None,
            kernel_file: None,
            servers_folder: None,
        },
        absent: Vec::new(),
        shard: None,
        merged: None,
        cases_planned: cases.len(),
        launches_planned: cases.len() as u64,
        cases,
    }
}

/// The case with this name.
pub(crate) fn case_named<'a>(run: &'a RunRecord, name: &str) -> &'a CaseRecord {
    run.cases.iter().find(|case| case.name == name).unwrap()
}
