//! Tests of running, with a stand-in for KVM.

use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::*;
use crate::case::tests::image;
use crate::experiment::check::Limits;
use crate::experiment::expand::{Experiment, expand};
use crate::experiment::file::ExperimentFile;
use crate::experiment::overrides::Overrides;
use crate::machine::guest::GuestRun;
use crate::record::outcome::OutcomeRecord;
use crate::record::run::HostRecord;
use crate::record::samples::read_npy;
use crate::record::store::{RECORD_FILE, read_record};
use crate::reduce::guest::Times;
use crate::reduce::tests::{guest_run, run_record};
use crate::report::FORMS;
use crate::run::resume::{Found, find};
use crate::run::so_far::is_due;
use crate::run::until::Until;

const FILE: &str = "# Why?\nname = \"x\"\nquestion = \"Why?\"\n\
    [[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = [\"user\", \"kernel\"]\nwords = [0, 4]\nlaunches = 2\npcid = \"off\"\n";

fn experiment() -> Experiment {
    let file = ExperimentFile::parse(Path::new("x.toml"), FILE.to_owned()).unwrap();
    expand(&file, &Overrides::default(), &Limits::any_host()).unwrap()
}

/// Ends the n-th guest as the function says.
struct Script<F> {
    guests: RefCell<usize>,
    script: F,
}

impl<F: Fn(usize, &GuestConfig) -> Result<GuestRun, MachineError>> GuestRunner for Script<F> {
    fn run(&self, config: &GuestConfig, _lenses: &LensRequest) -> Result<Measured, MachineError> {
        let index = *self.guests.borrow();
        *self.guests.borrow_mut() += 1;
        (self.script)(index, config).map(Measured::from)
    }

    fn trace(
        &self,
        config: &GuestConfig,
        _models: &[Model],
    ) -> Result<(trace::Summary, Vec<TlbReport>), TraceError> {
        let index = *self.guests.borrow();
        let run = (self.script)(index, config)?;
        match run.outcome {
            Outcome::Finished { .. } => Err(TraceError::NoRoundTrip),
            outcome => Err(TraceError::Outcome(Box::new(outcome))),
        }
    }

    fn run_many(
        &self,
        config: &GuestConfig,
        lenses: &LensRequest,
        pins: &[Pin],
        _quotas: Option<&Quotas>,
    ) -> Result<Vec<Guest>, FleetError> {
        let guest = |result| Guest {
            result,
            times: Times { began_at_ns: Some(1_000), ..Times::default() },
            memory: None,
            user_ns: 0,
            system_ns: 0,
            cgroup: None,
        };
        let run = |_: &Pin| match GuestRunner::run(self, config, lenses) {
            Ok(Measured { run, .. }) => guest(Ok(Ended { run, lenses: LensReadings::default() })),
            Err(error) => guest(Err(Lost::Died(error.to_string()))),
        };
        Ok(pins.iter().map(run).collect())
    }
}

/// Reads the folder after every case, as somebody would who finds it after a crash.
struct Reader<'a> {
    folder: &'a Path,
    seen: Vec<usize>,
}

impl Observer for Reader<'_> {
    fn launch_begins(&mut self, _case: &Case) {
        let record = read_record(self.folder).unwrap();
        assert_eq!(record.state, RunState::Running);
        self.seen.push(record.launches_done() as usize);
    }

    fn case_ended(&mut self, case: &CaseRecord) {
        let record = read_record(self.folder).unwrap();
        let read = record.cases.iter().find(|other| other.name == case.name).unwrap();
        assert!(read.is_complete() && read.launches == case.launches);
        for launch in &case.launches {
            let file = launch.samples_file.as_ref();
            assert!(file.is_none_or(|file| self.folder.join(file).exists()));
        }
    }
}

fn run(
    folder: &Path,
    script: impl Fn(usize, &GuestConfig) -> Result<GuestRun, MachineError>,
) -> (Result<(), StoreError>, RunRecord, Vec<usize>) {
    run_cases(folder, experiment().cases, script)
}

fn run_cases(
    folder: &Path,
    cases: Vec<Case>,
    script: impl Fn(usize, &GuestConfig) -> Result<GuestRun, MachineError>,
) -> (Result<(), StoreError>, RunRecord, Vec<usize>) {
    run_within(None, None, folder, cases, script)
}

fn run_within(
    trace_budget: Option<Duration>,
    until: Option<Until>,
    folder: &Path,
    cases: Vec<Case>,
    script: impl Fn(usize, &GuestConfig) -> Result<GuestRun, MachineError>,
) -> (Result<(), StoreError>, RunRecord, Vec<usize>) {
    let results = ResultsFolder::create(folder, false, FORMS).unwrap();
    let mut record = RunRecord { cases: Vec::new(), host: HostRecord::default(), ..run_record() };
    (record.state, record.finished_utc) = (RunState::Running, None);
    if let Some(until) = until {
        record.experiment.overrides.insert("until".to_owned(), until.precision.to_string());
    }
    let guests = Script { guests: RefCell::new(0), script };
    let (image, pin) = (image(), Pin::None);
    let runner = Runner {
        guests: &guests,
        image: &image,
        pin: &pin,
        quotas: None,
        trace_budget,
        until,
        results: &results,
    };
    let mut reader = Reader { folder, seen: Vec::new() };
    let outcome = runner.run(&cases, &mut record, &mut reader);
    (outcome, record, reader.seen)
}

fn good(config: &GuestConfig) -> GuestRun {
    let samples: Vec<u64> = (0..config.sample_capacity).map(|index| 1_000 + index).collect();
    let between_user_spaces = config.servers.iter().all(|server| server.placement == 0);
    let loads = if between_user_spaces { 2 * samples.len() as u64 } else { 0 };
    guest_run(samples, loads)
}

#[test]
fn when_the_time_for_traces_is_used_up_cases_are_measured_without() {
    let mut cases = experiment().cases;
    cases.iter_mut().for_each(|case| case.parameters.trace_round_trips = 4);
    let reasons = |budget: Option<Duration>| {
        let folder = tempfile::tempdir().unwrap();
        let (_, record, _) =
            run_within(budget, None, folder.path(), cases.clone(), |_, config| Ok(good(config)));
        assert_eq!((record.cases.len(), record.failures().count()), (4, 0));
        record.cases.iter().map(|case| case.lenses["trace"].reason.clone().unwrap()).collect::<Vec<_>>()
    };
    assert!(reasons(Some(Duration::ZERO)).iter().all(|reason| reason.contains("used up")));
    let within = [None, Some(Duration::from_secs(3_600))];
    assert!(within.into_iter().flat_map(reasons).all(|reason| reason.contains("no complete round trip")));
}

#[test]
fn every_launch_is_on_the_disk_before_the_next_begins() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, record, seen) = run(folder.path(), |_, config| Ok(good(config)));
    outcome.unwrap();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!((record.launches_done(), record.launches_planned), (8, 8));
    assert_eq!((record.cases.len(), record.state), (4, RunState::Finished));
    assert_eq!(record.failures().count(), 0);
    assert_eq!(record, read_record(folder.path()).unwrap());
    assert_eq!(std::fs::read_dir(folder.path().join("samples")).unwrap().count(), 8, "one file per launch");
}

#[test]
fn a_case_that_fails_is_recorded_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, record, _) = run(folder.path(), |index, config| match index {
        // The second case in the first round, the third one in the second, which goes backwards.
        1 => Ok(GuestRun { outcome: Outcome::DriverDied, ..guest_run(vec![], 0) }),
        5 => Err(MachineError::Internal("test")),
        _ => Ok(good(config)),
    });
    outcome.unwrap();
    let names: Vec<_> = record.failures().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["call/user-user/words=4/pcid=off", "call/user-kernel/words=0/pcid=off"]);
    assert_eq!(record.cases.len(), 4);
}

#[test]
fn an_interruption_keeps_every_launch_that_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, record, _) = run(folder.path(), |index, config| {
        let mut run = good(config);
        if index == 6 {
            run.outcome = Outcome::Interrupted;
        }
        Ok(run)
    });
    outcome.unwrap();
    assert_eq!((record.launches_done(), record.state), (6, RunState::Interrupted));
    let done: Vec<u64> = record.cases.iter().map(CaseRecord::launches_done).collect();
    assert_eq!(done, [1, 1, 2, 2], "the second round goes backwards");
    assert_eq!(read_record(folder.path()).unwrap().state, RunState::Interrupted);
}

#[test]
fn a_failed_write_ends_the_run_and_leaves_the_earlier_cases() {
    let folder = tempfile::tempdir().unwrap();
    let samples = folder.path().join("samples");
    let (outcome, _, _) = run(folder.path(), |index, config| {
        if index == 2 {
            std::fs::remove_dir_all(&samples).unwrap();
        }
        Ok(good(config))
    });
    assert!(matches!(outcome, Err(StoreError::Io { .. })));
    assert_eq!(read_record(folder.path()).unwrap().cases.len(), 2);
}

#[test]
fn a_guest_that_dies_is_reported_by_its_index_and_the_others_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut cases = experiment().cases;
    cases.truncate(1);
    (cases[0].parameters.guests, cases[0].parameters.launches) = (Some(3), 1);
    let (outcome, record, _) = run_cases(folder.path(), cases, |index, config| match index {
        1 => Err(MachineError::Internal("test")),
        _ => Ok(good(config)),
    });
    outcome.unwrap();
    let case = &record.cases[0];
    let density = case.density.as_ref().unwrap();
    assert_eq!((density.guests, density.finished, density.failed), (3, 2, 1));
    assert!(matches!(case.outcome, OutcomeRecord::Lost { .. }) && !case.succeeded());
    let dead = case.launches.iter().position(|launch| !launch.outcome.is_success()).unwrap();
    assert_eq!(case.launches[dead].process.as_ref().unwrap().guest, 1);
    assert_eq!(case.ticks["round_trip"].summary.count, 600, "what the others measured stays");
    assert_eq!(std::fs::read_dir(folder.path().join("samples")).unwrap().count(), 2, "one file per guest");
    assert!(folder.path().join("guests.csv").exists());
}

#[test]
fn of_many_round_trips_the_file_has_each_so_many_th_and_the_record_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut cases = experiment().cases;
    cases.truncate(1);
    cases[0].parameters.samples = 50_000;
    let (outcome, record, _) = run_cases(folder.path(), cases, |_, config| {
        let mut run = good(config);
        run.measured_ns = Some(1_000_000_000);
        Ok(run)
    });
    outcome.unwrap();
    assert_eq!(record.failures().count(), 0);
    let (case, launch) = (&record.cases[0], &record.cases[0].launches[1]);
    assert_eq!((launch.samples_every, case.ticks["round_trip"].summary.count), (Some(3), 100_000));
    let (samples, _) = read_npy(&folder.path().join(launch.samples_file.as_ref().unwrap())).unwrap();
    assert_eq!((samples.len(), &samples[..3]), (16_667, [1_000, 1_003, 1_006].as_slice()));
}

#[test]
fn figures_are_made_anew_so_rarely_that_all_times_cost_what_the_last_ones_do() {
    // What is looked at, launches, when figures are made anew as they become due.
    let looked_at = |launches: usize| {
        let mut over = 0;
        let due = |count: &usize| {
            let is_due = is_due(over, *count);
            over = if is_due { *count } else { over };
            is_due
        };
        (1..=launches).filter(due).sum::<usize>()
    };
    assert_eq!(looked_at(20), 210, "each time");
    for launches in [100, 1_000, 10_000] {
        assert!(looked_at(launches) <= 10 * launches + 210, "{launches}: {}", looked_at(launches));
    }
}

/// However a run ends, what its figures are over is what it has.
#[test]
fn figures_are_over_all_launches_at_the_end() {
    for interrupted_at in [None, Some(27)] {
        let folder = tempfile::tempdir().unwrap();
        let mut cases = experiment().cases;
        cases.truncate(1);
        cases[0].parameters.launches = 30;
        let (outcome, record, _) = run_cases(folder.path(), cases, |index, config| {
            let mut run = good(config);
            if Some(index) == interrupted_at {
                run.outcome = Outcome::Interrupted;
            }
            Ok(run)
        });
        outcome.unwrap();
        let launches = interrupted_at.unwrap_or(30) as u64;
        assert_eq!(record.launches_done(), launches);
        assert_eq!(record.cases[0].ticks["round_trip"].summary.count, 300 * launches);
    }
}

/// What a launch writes while the run is under way does not grow with the cases and launches before it.
#[test]
fn a_launch_writes_what_is_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut cases = experiment().cases;
    cases.truncate(2);
    cases.iter_mut().for_each(|case| case.parameters.launches = 20);
    let begun = std::cell::OnceCell::new();
    let (outcome, record, _) = run_cases(folder.path(), cases, |_, config| {
        // A record that is written anew is another file.
        let inode = std::fs::metadata(folder.path().join("results.json")).unwrap().ino();
        assert_eq!(begun.get_or_init(|| inode), &inode);
        Ok(good(config))
    });
    outcome.unwrap();
    assert_eq!(record.launches_done(), 40);

    let lines = |launches: u32| {
        let folder = tempfile::tempdir().unwrap();
        let mut cases = experiment().cases;
        cases.truncate(2);
        cases.iter_mut().for_each(|case| case.parameters.launches = launches);
        // The run is stopped before the record is written at its end.
        let samples = folder.path().join("samples");
        let _ = run_cases(folder.path(), cases, |index, config| {
            if index as u32 + 1 == 2 * launches {
                std::fs::remove_dir_all(&samples).unwrap();
            }
            Ok(good(config))
        });
        std::fs::read_to_string(folder.path().join("launches.jsonl")).unwrap()
    };
    let long = lines(20);
    let lengths: Vec<usize> = long.lines().map(str::len).collect();
    assert_eq!(lengths.len(), 39);
    // The last launch of a case leaves nothing to go on with.
    let (_, others) = lengths.split_last().unwrap();
    let (least, most) = (others.iter().min().unwrap(), others.iter().max().unwrap());
    assert!(most - least < least / 2, "{lengths:?}");
}

/// Copies what is there at this moment: what a killed run leaves.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// Goes on with the run in this folder. Each guest does what it would have done.
/// `index`: the number of the first one.
fn go_on(
    folder: &Path,
    cases: &[Case],
    until: Option<Until>,
    index: usize,
    script: impl Fn(usize, &GuestConfig) -> Result<GuestRun, MachineError>,
) -> (RunRecord, usize) {
    let results = ResultsFolder::reopen(folder, FORMS).unwrap().unwrap();
    let mut now = RunRecord { cases: Vec::new(), host: HostRecord::default(), ..run_record() };
    if let Some(until) = until {
        now.experiment.overrides.insert("until".to_owned(), until.precision.to_string());
    }
    let Found::Stopped(resumed) = find(&results, &now, cases, until.as_ref()).unwrap() else {
        panic!("it is finished")
    };
    let guests = Script { guests: RefCell::new(index), script };
    let (image, pin) = (image(), Pin::None);
    let runner = Runner {
        guests: &guests,
        image: &image,
        pin: &pin,
        quotas: None,
        trace_budget: None,
        until,
        results: &results,
    };
    let mut record = resumed.record;
    runner.go_on(resumed.before, cases, &mut record, &mut Reader { folder, seen: Vec::new() }).unwrap();
    assert_eq!(read_record(folder).unwrap(), record);
    (record, guests.guests.into_inner())
}

/// Three launches of four cases, of which one has two guests at once: 15 guests, of which 12 launches.
fn cases_with_a_crowd() -> Vec<Case> {
    let mut cases = experiment().cases;
    cases.iter_mut().for_each(|case| case.parameters.launches = 3);
    cases[1].parameters.guests = Some(2);
    cases
}

/// The record without what it says of when it ran.
fn as_uninterrupted(record: RunRecord, whole: &RunRecord) -> RunRecord {
    RunRecord {
        resumed: Vec::new(),
        finished_utc: whole.finished_utc.clone(),
        started_utc: whole.started_utc.clone(),
        ..record
    }
}

/// Wherever a run is killed, and however often, it becomes what it would have become.
#[test]
fn a_killed_run_goes_on_to_the_same_record() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let cases = cases_with_a_crowd();
    let (outcome, whole, seen) = run_cases(&at("whole"), cases.clone(), |index, config| {
        copy(&at("whole"), &at(&index.to_string()));
        Ok(good(config))
    });
    outcome.unwrap();
    assert_eq!((whole.failures().count(), seen.len()), (0, 12));
    for guest in 0..15 {
        let killed = at(&guest.to_string());
        let done = read_record(&killed).unwrap().launches_done();
        if guest % 2 == 0 && done > 0 {
            // It was killed while it wrote.
            let journal = killed.join("launches.jsonl");
            let text = std::fs::read(&journal).unwrap();
            std::fs::write(&journal, [&text[..], &text[..100]].concat()).unwrap();
        }
        let (record, guests) = go_on(&killed, &cases, None, 0, |_, config| Ok(good(config)));
        assert_eq!(record.resumed.iter().map(|at| at.launches_done).collect::<Vec<_>>(), [done]);
        assert!(guests <= 15 - guest + 1, "{guests} guests after {guest}: only what is missing runs");
        assert_eq!(record.state, RunState::Finished);
        assert_eq!(as_uninterrupted(record, &whole), whole, "killed at guest {guest}");
        for file in std::fs::read_dir(at("whole").join("samples")).unwrap() {
            let name = file.unwrap().file_name();
            let read = |folder: &Path| std::fs::read(folder.join("samples").join(&name)).unwrap();
            assert_eq!(read(&killed), read(&at("whole")));
        }
        assert!(killed.join("table.txt").exists() && !killed.join("launches.jsonl").exists());
    }
}

/// A case goes on until its interval is narrow, or until the limit; so it does if the run is killed meanwhile.
#[test]
fn launches_are_added_until_the_interval_is_narrow() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut cases = experiment().cases;
    cases.truncate(3);
    (cases[0].parameters.samples, cases[2].parameters.launches) = (20, 8);
    let until = Some(Until { precision: "ci<1%".parse().unwrap(), launches_max: 30 });
    // Launches of the first case scatter by far more than that, those of the others not at all.
    let script = |index: usize, config: &GuestConfig| {
        let mut run = good(config);
        let is_first = config.sample_capacity == 20;
        run.samples
            .iter_mut()
            .for_each(|sample| *sample += if is_first { index as u64 % 3 * 100 } else { 0 });
        Ok(run)
    };
    let (outcome, whole, _) = run_within(None, until, &at("whole"), cases.clone(), |index, config| {
        if index % 7 == 0 {
            copy(&at("whole"), &at(&index.to_string()));
        }
        script(index, config)
    });
    outcome.unwrap();
    let launches: Vec<u64> = whole.cases.iter().map(CaseRecord::launches_done).collect();
    assert_eq!((launches, whole.launches_planned, whole.failures().count()), (vec![30, 6, 8], 44, 0));
    let table = std::fs::read_to_string(at("whole").join("table.txt")).unwrap();
    let wide = "ci<1% was not reached in 1 of 3 cases: call/user-user/words=0/pcid=off.";
    assert!(table.replace("\n  ", " ").contains(wide), "{table}");
    for case in &whole.cases {
        assert_eq!(case.ticks["round_trip"].summary.count, case.round_trips, "figures are over all launches");
        let files: std::collections::BTreeSet<_> =
            case.launches.iter().map(|launch| launch.samples_file.as_ref().unwrap()).collect();
        assert_eq!(files.len(), case.launches.len(), "each launch has its own file");
    }
    for index in (0..44).step_by(7) {
        let (record, guests) = go_on(&at(&index.to_string()), &cases, until, index, script);
        assert_eq!(guests, 44, "killed at {index}");
        assert_eq!(as_uninterrupted(record, &whole), whole, "killed at guest {index}");
    }
}

#[test]
fn an_interrupted_run_goes_on_and_has_no_tables_until_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let cases = cases_with_a_crowd();
    let (_, record, _) = run_cases(folder.path(), cases.clone(), |index, config| {
        let outcome = if index == 6 { Outcome::Interrupted } else { Outcome::Finished { status: 0 } };
        Ok(GuestRun { outcome, ..good(config) })
    });
    assert_eq!((record.state, record.launches_done()), (RunState::Interrupted, 5));
    let table = || std::fs::read_to_string(folder.path().join("table.txt")).unwrap();
    assert!(table().contains("Interrupted"));
    let (record, guests) = go_on(folder.path(), &cases, None, 0, |_, config| Ok(good(config)));
    assert_eq!((record.launches_done(), record.resumed.len(), guests), (12, 1, 9));
    assert!(!table().contains("Interrupted"));
    let results = ResultsFolder::reopen(folder.path(), FORMS).unwrap().unwrap();
    assert!(matches!(find(&results, &record, &cases, None), Ok(Found::Finished(same)) if *same == record));
}

#[test]
fn what_was_begun_otherwise_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let cases = cases_with_a_crowd();
    let samples = folder.path().join("samples");
    let _ = run_cases(folder.path(), cases.clone(), |index, config| {
        if index == 4 {
            std::fs::remove_dir_all(&samples).unwrap();
        }
        Ok(good(config))
    });
    let before = std::fs::read(folder.path().join(RECORD_FILE)).unwrap();
    let results = ResultsFolder::reopen(folder.path(), FORMS).unwrap().unwrap();
    let now = RunRecord { cases: Vec::new(), host: HostRecord::default(), ..run_record() };
    type Change = fn(&mut RunRecord);
    let changes: [(&str, Change); 6] = [
        ("SHA-256 of the experiment file was abab", |run| run.experiment.file_sha256 = "0".to_owned()),
        ("the option `samples` was not set, now 7", |run| {
            run.experiment.overrides.insert("samples".to_owned(), "7".to_owned());
        }),
        ("SHA-256 of the guest was cdcd", |run| run.guest.sha256 = "0".to_owned()),
        ("host was , now other", |run| run.host.name = "other".to_owned()),
        ("ABI version was 1, now 2", |run| run.inkbed.abi_version = 2),
        ("/tuning of the host was null, now {\"smt_active\":true}", |run| {
            run.host.facts = serde_json::json!({"tuning": {"smt_active": true}});
        }),
    ];
    for (reason, change) in changes {
        let mut other = now.clone();
        change(&mut other);
        let error = find(&results, &other, &cases, None).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let mut fewer = cases.clone();
    fewer.remove(0);
    let error = find(&results, &now, &fewer, None).unwrap_err().to_string();
    assert!(error.contains("the case call/user-user/words=4"), "{error}");
    assert_eq!(std::fs::read(folder.path().join(RECORD_FILE)).unwrap(), before);
}

#[test]
fn pinned_guests_share_the_cpus_out() {
    let list = |cpus: &[usize]| Pin::List(cpus.to_vec());
    assert_eq!(pins(&list(&[1, 3, 5]), 3, 1), [list(&[1, 3, 5]), list(&[3, 5, 1]), list(&[5, 1, 3])]);
    assert_eq!(pins(&list(&[1, 3]), 2, 2), [list(&[1, 3]), list(&[1, 3])]);
    assert_eq!(pins(&Pin::None, 2, 4), [Pin::None, Pin::None]);
}
