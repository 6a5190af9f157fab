//! Time slices that end in the middle of what is measured: they fail no healthy case, and hide no wrong one.

use abi::plan::flag;
use abi::program::{self, scenario};
use abi::report::feature;
use inkbed::case::Case;
use inkbed::guest_image::GuestImage;
use inkbed::lens::Measured;
use inkbed::lens::trace::TraceAbsent;
use inkbed::machine::guest::{GuestConfig, GuestRun, Outcome, Pin};
use inkbed::record::run::{CaseRecord, HostRecord};
use inkbed::reduce::case::{case_record, channels};
use inkbed::reduce::launch::Reduced;
use inkbed::workload::guest::guest_config;

use crate::harness::{BOTH_PLACES, Place, boot, call, case_of, client, config, counted, scenario, server};

/// Cases in which a server begins while its client is measured, so that a slice can end then: first calls without a warm-up,
/// and servers that are stopped and started again.
const CASES: [&str; 6] = [
    "workload = \"call\"\nserver = \"user\"\nwarm_up = 0\nsamples = 3\n",
    "workload = \"call\"\nserver = \"kernel\"\nwords = 8\nwarm_up = 0\nsamples = 3\n",
    "workload = \"slots\"\nserver = \"user\"\nservers = 3\nwarm_up = 1\nsamples = 30\n",
    "workload = \"slots\"\nserver = \"kernel\"\nservers = 3\nwarm_up = 1\nsamples = 30\n",
    "workload = \"migrate\"\npartners = 0\nmigration = \"restart\"\nwarm_up = 1\nsamples = 15\n",
    "workload = \"migrate\"\npartners = 0\nmigration = \"relocate\"\nwarm_up = 1\nsamples = 15\n",
];

/// Cases with servers that wait for each other, all of which have begun before the first mark.
const COLD_CASES: [&str; 2] = [
    "workload = \"relay\"\nrelay = \"user\"\nserver = \"user\"\nwarm_up = 0\nsamples = 3\n",
    "workload = \"scaling\"\nserving = \"per_cpu\"\nserver = \"user\"\nvcpus = 2\nwarm_up = 0\nsamples = 3\n",
];

/// Slices that end a few times in each start of a server, µs: where ring 0 is emulated an interrupt takes half a millisecond.
const SHORT_SLICES: [u16; 3] = [900, 1_700, 2_900];

/// What a report makes of this guest of a case.
fn reported(case: &Case, run: &GuestRun) -> CaseRecord {
    let not_traced = Err(TraceAbsent::new("not asked for"));
    let launches = [Reduced::new(case, Measured::from(run.clone()).into(), None)];
    case_record(case, &launches, channels(case, &launches), &not_traced, &HostRecord::default())
}

/// A guest of a case, its plan changed.
fn run(case: &Case, change: impl FnOnce(&mut GuestConfig)) -> Option<GuestRun> {
    let mut config = guest_config(&case.parameters, &GuestImage::embedded(), &Pin::None).unwrap();
    change(&mut config);
    boot(&config)
}

fn with_slices(microseconds: u16) -> impl Fn(&mut GuestConfig) {
    move |config| {
        config.plan_flags &= !flag::NO_TIME_SLICES;
        config.plan_flags |= flag::time_slice_microseconds(microseconds);
    }
}

/// Experiments have no time slices, so nothing but messages decides who runs.
#[test]
fn no_timer_interrupt_falls_into_an_experiment() {
    for case in CASES.into_iter().chain(COLD_CASES).map(case_of) {
        let Some(run) = run(&case, |_| ()) else { return };
        let (record, counted) = (reported(&case, &run), counted(&run));
        assert!(record.succeeded(), "{}: {:?} {:?}", case.name, record.outcome, record.agreements);
        assert_eq!(counted.preemptions, 0, "{}", case.name);
        if !case.parameters.workload.nature().has_time_slices {
            assert_eq!(counted.timer_interrupts, 0, "{}", case.name);
        }
        assert_eq!(counted.context_switches_by_lifecycle, 0, "{}", case.name);
    }
}

/// The rule holds for messages whatever the timer does, and one load more is found beside any number of preemptions.
#[test]
fn slices_that_end_in_a_round_trip_add_only_what_is_theirs() {
    let (mut preemptions, mut is_emulated) = (0, false);
    for case in CASES.map(case_of) {
        for slice in SHORT_SLICES {
            let Some(mut run) = run(&case, with_slices(slice)) else { return };
            is_emulated |= run.flush.source == abi::flush::source::RING_0_EMULATED;
            let (record, counted) = (reported(&case, &run), counted(&run));
            let what = format!("{} with slices of {slice} µs: {counted:?}", case.name);
            assert!(record.succeeded(), "{what}: {:?}, {:?}", record.outcome, record.agreements);
            preemptions += counted.preemptions;
            run.cpus[0].end.page_table_loads += 1;
            assert!(!reported(&case, &run).succeeded(), "{what}, and one load more");
        }
    }
    if preemptions < 10 && !is_emulated {
        println!(
            "skipped: where ring 0 is native a start of a server takes less than a slice; {preemptions} ended"
        );
        return;
    }
    assert!(preemptions >= 10, "only {preemptions} in all: the slices are too long to say anything");
}

/// A client in user space that calls a server in this place, beside a thread that spins.
fn beside_a_spinner(place: Place, round_trips: u64, withheld_features: u64) -> Option<GuestRun> {
    let driver = client(Place::User, call(0), round_trips);
    let spinner = scenario(Place::User, scenario::SPIN, 1 << 40).with(|plan| plan.flags = 0);
    let mut config = config(&[driver, server(program::NULL, place), spinner.reaching(&[])]);
    config.plan_flags = flag::time_slice_microseconds(SHORT_SLICES[1]);
    config.withheld_features = withheld_features;
    boot(&config)
}

/// The same with as many round trips as it takes for two slices to end: where ring 0 is native, hundreds of calls are over before
/// one is.
fn until_slices_end(place: Place, withheld_features: u64) -> Option<(GuestRun, u64)> {
    let mut round_trips = 400;
    loop {
        let run = beside_a_spinner(place, round_trips, withheld_features)?;
        if counted(&run).preemptions >= 2 || round_trips >= 200_000 {
            return Some((run, round_trips));
        }
        round_trips *= 8;
    }
}

/// Time slices end whatever timer there is: by a deadline, or by a count, in registers or in memory.
#[test]
fn every_kind_of_timer_ends_time_slices() {
    let kinds = [feature::TSC_DEADLINE, feature::X2APIC, feature::TSC_DEADLINE | feature::X2APIC];
    for withheld in kinds {
        let Some((run, _)) = until_slices_end(Place::User, withheld) else { return };
        assert_eq!(run.outcome, Outcome::Finished { status: 0 });
        assert_eq!(run.features & withheld, 0);
        assert!(counted(&run).preemptions >= 2, "{withheld:#x}");
    }
}

/// A spinner beside client and server takes turns from both of them, all the time; what they load by messages stays.
#[test]
fn a_busy_neighbour_changes_nothing_that_messages_count() {
    for place in BOTH_PLACES {
        let Some((run, round_trips)) = until_slices_end(place, 0) else { return };
        assert_eq!(run.outcome, Outcome::Finished { status: 0 });
        let counted = counted(&run);
        let by_messages = counted.page_table_loads - counted.page_table_loads_by_preemption;
        assert_eq!(counted.page_table_loads_by_lifecycle, 0);
        assert!(counted.preemptions >= 2, "{counted:?}");
        assert_eq!(counted.context_switches_by_preemption, counted.preemptions, "nobody blocks on a turn");
        match place {
            Place::User => assert_eq!(by_messages, 2 * round_trips, "{counted:?}"),
            // A server in the kernel that gets its turn back has nothing loaded; its answer does that.
            _ => assert!(by_messages <= counted.preemptions, "{counted:?}"),
        }
    }
}
