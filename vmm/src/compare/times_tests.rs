use super::*;
use crate::compare::compare;
use crate::compare::condition::{Condition, Verdict as Judged};
use crate::compare::present;
use crate::host::Timing;
use crate::record::density::ProcessRecord;
use crate::record::run::{HostRecord, MergedRecord, SourceRecord};
use crate::reduce::tests::run_record;

const CASE: &str = "call/user-user/words=0/pcid=off";

/// A run whose launches of each case took so much longer than the case does, a share each.
pub(crate) fn run(launches: &[f64]) -> RunRecord {
    let mut run = run_record();
    run.host.facts = serde_json::json!({
        "cpu": {"hypervisor": "none"},
        "tuning": {"vulnerabilities": {"meltdown": "Not affected"}},
    });
    for case in &mut run.cases {
        let one = case.launches[0].clone();
        let launch = |share: &f64| {
            let mut launch = one.clone();
            launch
                .median_ticks
                .values_mut()
                .for_each(|median| *median = (*median as f64 * 100.0 * share) as u64);
            launch
        };
        case.launches = launches.iter().map(launch).collect();
    }
    run
}

pub(crate) const SIX: [f64; 6] = [1.0, 1.002, 0.999, 1.001, 1.0, 0.998];

pub(crate) fn slower_by(share: f64) -> RunRecord {
    run(&SIX.map(|launch| launch * share))
}

fn case<'a>(run: &'a mut RunRecord, name: &str) -> &'a mut CaseRecord {
    run.cases.iter_mut().find(|case| case.name == name).unwrap()
}

#[test]
fn a_case_that_takes_longer_is_slower_and_no_other() {
    let mut second = run(&SIX);
    case(&mut second, CASE).launches = slower_by(1.03).cases[1].launches.clone();
    let times = Times::between(&run(&SIX), &second);
    assert_eq!((times.rows.len(), times.refused.len()), (5, 0));
    for row in &times.rows {
        let expected = if row.case == CASE { Verdict::Slower } else { Verdict::NoDifferenceFound };
        assert_eq!(row.verdict, expected, "{row:?}");
        assert!(row.low <= row.ratio && row.ratio <= row.high && row.launches == [6, 6], "{row:?}");
    }
    let row = times.rows.iter().find(|row| row.case == CASE).unwrap();
    assert!((row.ratio - 1.03).abs() < 1e-4 && row.low > 1.02 && row.high < 1.04, "{row:?}");
    let back = Times::between(&second, &run(&SIX));
    assert_eq!((back.count(Verdict::Faster), back.count(Verdict::Slower)), (1, 0));
    let text = present::text(&compare(&run(&SIX), &second), 120);
    assert!(text.contains("1 of 5 are slower, 0 faster") && text.contains("+3.00%"), "{text}");
    assert!(present::markdown(&compare(&run(&SIX), &second)).contains("| slower"), "{text}");
}

/// Each makes the second run one whose times are those of something else. Counts are compared all the same.
#[test]
fn what_is_no_time_of_the_same_machine_is_refused_with_the_reason() {
    type Change = fn(&mut RunRecord);
    let changes: [(&str, Change); 10] = [
        ("host is box in the first run, other in the second", |run| run.host.name = "other".to_owned()),
        ("host's CPU, KVM and kernel is a CPU, kvm_x", |run| run.host.summary = "another CPU".to_owned()),
        ("/tuning/vulnerabilities/meltdown of the host", |run| {
            *run.host.facts.pointer_mut("/tuning/vulnerabilities/meltdown").unwrap() =
                "Mitigation: PTI".into();
        }),
        ("/cpu/hypervisor of the host", |run| {
            *run.host.facts.pointer_mut("/cpu/hypervisor").unwrap() = "KVM".into();
        }),
        ("ring 0 is emulated", |run| {
            run.cases.iter_mut().for_each(|case| case.timing = Timing::invalid("ring 0 is emulated (5 ns)"));
        }),
        ("pinned to no CPU in the first run, to CPUs 3", |run| {
            run.experiment.overrides.insert("pin".to_owned(), "3".to_owned());
        }),
        ("times need 4 launches in each run, and the first has 6, the second 2", |run| {
            run.cases.iter_mut().for_each(|case| case.launches.truncate(2));
        }),
        ("measures something else", |run| run.cases.iter_mut().for_each(|case| case.parameters.warm_up += 1)),
        ("lacks a channel", |run| run.cases.iter_mut().for_each(|case| case.ticks.clear())),
        ("of another host", |run| {
            let host = HostRecord {
                name: "far".to_owned(),
                summary: "of another host".to_owned(),
                ..run.host.clone()
            };
            let source = SourceRecord {
                host,
                started_utc: String::new(),
                finished_utc: None,
                resumed: Vec::new(),
                shard: None,
                cases: 5,
            };
            run.merged = Some(MergedRecord { sources: vec![source], findings: Vec::new() });
            run.cases.iter_mut().for_each(|case| case.host = Some("far".to_owned()));
        }),
    ];
    for (reason, change) in changes {
        let mut second = slower_by(1.5);
        change(&mut second);
        let comparison = compare(&run(&SIX), &second);
        let [refused] = &comparison.times.refused[..] else { panic!("{reason}: {:?}", comparison.times) };
        assert!(refused.reason.contains(reason), "{reason}: {}", refused.reason);
        assert_eq!((refused.cases.len(), comparison.times.rows.len()), (5, 0), "{reason}");
        assert!(comparison.counts() > 0, "{reason}");
        let text = present::text(&comparison, 120);
        assert!(
            text.contains("Times are not compared in 5 cases: ") && text.contains("are the same"),
            "{text}"
        );
        let condition: Condition = "ticks>2%".parse().unwrap();
        assert_eq!(condition.judge(&comparison), Judged::CannotTellTimes(Some(refused)), "{reason}");
    }
}

#[test]
fn another_guest_or_another_number_of_samples_is_no_reason() {
    let mut second = slower_by(1.5);
    second.guest.sha256 = "ef".repeat(32);
    second.cases.iter_mut().for_each(|case| case.parameters.samples *= 2);
    second.cases.iter_mut().for_each(|case| case.launches.truncate(5));
    let times = Times::between(&run(&SIX), &second);
    assert_eq!((times.count(Verdict::Slower), times.refused.len()), (5, 0));
}

/// A limit within the interval is not passed for sure.
#[test]
fn a_condition_is_met_if_all_of_an_interval_is_above_its_limit() {
    let (first, mut second) = (run(&SIX), run(&SIX));
    case(&mut second, CASE).launches = slower_by(1.03).cases[1].launches.clone();
    let comparison = compare(&first, &second);
    let judge = |condition: &str| condition.parse::<Condition>().unwrap().judge(&comparison);
    assert!(matches!(judge("ticks>2%"), Judged::MetByTime(row) if row.case == CASE));
    assert_eq!(judge("ticks>3%"), Judged::NotMet);
    assert_eq!(judge("ticks>2.99%"), Judged::NotMet, "the ratio is 3.00 %, its interval begins below");
    assert_eq!(judge("instructions>0"), Judged::CannotTell(None), "no trace");

    // One case that cannot be told leaves it open, unless another meets it.
    let mut lacks = second.clone();
    lacks.cases.retain(|case| !case.name.starts_with("empty"));
    let comparison = compare(&first, &lacks);
    let judge = |condition: &str| condition.parse::<Condition>().unwrap().judge(&comparison);
    assert!(matches!(judge("ticks>2%"), Judged::MetByTime(_)));
    assert!(
        matches!(judge("ticks>9%"), Judged::CannotTellTimes(Some(one)) if one.reason.contains("only the first"))
    );
    let mut without = first.clone();
    without.cases.iter_mut().for_each(|case| case.ticks.clear());
    let comparison = compare(&without, &second);
    assert_eq!("ticks>2%".parse::<Condition>().unwrap().judge(&comparison), Judged::CannotTellTimes(None));
}

/// What a case failed in is no time, and a failed first run is held against nothing.
#[test]
fn cases_that_failed_have_no_times() {
    let (first, mut second) = (run(&SIX), run(&SIX));
    case(&mut second, CASE).expected.agrees = Some(false);
    let times = Times::between(&first, &second);
    assert_eq!((times.rows.len(), times.refused[0].cases.len()), (4, 1));
    assert!(Times::between(&second, &first).refused.is_empty());
}

/// Guests at once share the host, so all of them are one launch.
#[test]
fn guests_at_once_are_one_launch() {
    let of_guests = |guests: u32, share: f64| {
        let mut run = run(&SIX.map(|launch| launch * share));
        let case = case(&mut run, CASE);
        let launches = (0..).zip(&case.launches).flat_map(|(number, launch)| {
            (0..guests).map(move |guest| {
                let mut launch = launch.clone();
                // Guests differ much, and all their launches alike.
                launch.median_ticks.values_mut().for_each(|median| *median += u64::from(guest) * *median);
                launch.process = Some(ProcessRecord { guest, launch: number, ..ProcessRecord::default() });
                launch
            })
        });
        let launches = launches.collect();
        case.launches = launches;
        run
    };
    let times = Times::between(&of_guests(4, 1.0), &of_guests(4, 1.03));
    let row = times.rows.iter().find(|row| row.case == CASE).unwrap();
    assert_eq!((row.launches, row.verdict), ([6, 6], Verdict::Slower));
    assert!((row.ratio - 1.03).abs() < 1e-3 && row.high < 1.04, "{row:?}");
}

/// Samples beyond a number are kept in bins, whose middles are no finer figures than the bins are wide.
#[test]
fn figures_of_histograms_are_as_coarse_as_their_bins() {
    let with = |round_trips: u64, share: f64| {
        let mut run = run(&[share; 6]);
        run.cases
            .iter_mut()
            .flat_map(|case| &mut case.launches)
            .for_each(|launch| launch.round_trips = round_trips);
        run
    };
    let width = |round_trips| {
        let times = Times::between(&with(round_trips, 1.0), &with(round_trips, 1.001));
        times.rows.iter().find(|row| row.case == CASE).map(|row| row.high - row.low).unwrap()
    };
    assert!(width(30_000) > 10.0 * width(300), "{} {}", width(30_000), width(300));
}

#[test]
fn different_programs_of_ones_own_are_told() {
    use crate::compare::programs::difference;
    let (first, mut second) = (run(&SIX), run(&SIX));
    second.guest.sha256 = "another kernel".to_owned();
    second.guest.programs_sha256 = Some("another build".to_owned());
    assert_eq!(difference(&first, &second), None, "built in, both come with the kernel");
    second.guest.servers_folder = Some("mine".to_owned());
    let told = difference(&first, &second).unwrap();
    assert!(
        told.contains("the first run has built-in ones, the second those of mine (SHA-256 another buil)"),
        "{told}"
    );
    let same = RunRecord { guest: second.guest.clone(), ..first.clone() };
    assert_eq!(difference(&same, &second), None);
    second.guest.sha256 = "a third kernel".to_owned();
    assert_eq!(difference(&same, &second), None, "the programs are the same");
    second.guest.programs_sha256 = None;
    assert!(difference(&same, &second).is_some(), "nobody knows");
}
