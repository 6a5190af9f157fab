//! The guest's performance counters, against a model of them in the VMM, and against the host's own where it has any.
//!
//! The model counts a known number of instructions for every access to its registers, so that each sequence of accesses
//! has one right result; and where KVM emulates ring 0, it counts the instructions that KVM says it has emulated.

use abi::pmu::SELF_TEST_INSTRUCTIONS;
use abi::program;
use inkbed::lens::pmu::software::model::weight;
use inkbed::lens::pmu::software::{
    Defect, KERNEL_INSTRUCTIONS, SoftwareKind, SoftwarePmu, Source, USER_INSTRUCTIONS,
};
use inkbed::lens::pmu::{self, Event, PmuRequest, PmuResult, Privilege};
use inkbed::lens::{LensRequest, Measured, Reading, measure, perf};
use inkbed::machine::StopFlag;
use inkbed::machine::guest::{GuestConfig, Outcome};

use crate::harness::{Place, Server, call, client, config, server};
use crate::kvm::require_kvm;

const ROUND_TRIPS: u64 = 10;

const KINDS: [SoftwareKind; 5] = [
    SoftwareKind::IntelVersion1,
    SoftwareKind::IntelVersion2,
    SoftwareKind::AmdLegacy,
    SoftwareKind::AmdCore,
    SoftwareKind::AmdPerfmonV2,
];

fn servers() -> [Server; 2] {
    [client(Place::User, call(0), ROUND_TRIPS), server(program::NULL, Place::Kernel)]
}

/// Boots the usual guest, which must finish, and counts what is asked for; `None` where this machine boots none.
fn measure_with(request: &LensRequest) -> Option<Measured> {
    if !require_kvm() {
        return None;
    }
    let config: GuestConfig = config(&servers());
    let measured = measure::run(&config, request, &StopFlag::new().expect("a stop flag"));
    let measured = measured.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(measured.run.outcome, Outcome::Finished { status: 0 }, "{:?}", measured.run.faults);
    Some(measured)
}

fn run(pmu: PmuRequest) -> Option<Measured> {
    measure_with(&pmu.into())
}

fn software(kind: SoftwareKind, source: Source, defect: Option<Defect>, privilege: Privilege) -> PmuRequest {
    PmuRequest::Software(SoftwarePmu { kind, source, defect }, privilege)
}

/// The result with the model; `None` where this KVM cannot have one, which is said.
fn counted(kind: SoftwareKind, source: Source, privilege: Privilege) -> Option<PmuResult> {
    match run(software(kind, source, None, privilege))?.lenses.read(pmu::NAME) {
        Reading::Counted(result) => Some(result),
        Reading::Absent { reason, .. } => {
            assert!(reason.contains("KVM_CAP_X86_USER_SPACE_MSR"), "{kind:?}: {reason}");
            println!("skipped: {reason}");
            None
        }
    }
}

/// How many accesses a counter sees between its start and its stop: with a global switch only the stop, otherwise the
/// start of those behind it, its own stop and the stops of those before it.
fn accesses_while_on(kind: SoftwareKind, counters: usize) -> u64 {
    match kind {
        SoftwareKind::IntelVersion2 | SoftwareKind::AmdPerfmonV2 => 1,
        _ => counters as u64,
    }
}

#[test]
fn every_kind_of_counters_counts_what_it_is_programmed_to_count() {
    for kind in KINDS {
        for privilege in [Privilege::All, Privilege::Kernel, Privilege::User] {
            let Some(result) = counted(kind, Source::Accesses, privilege) else { return };
            let (kernel, user) = match privilege {
                Privilege::All => (KERNEL_INSTRUCTIONS, USER_INSTRUCTIONS),
                Privilege::Kernel => (KERNEL_INSTRUCTIONS, 0),
                Privilege::User => (0, USER_INSTRUCTIONS),
            };
            let accesses = accesses_while_on(kind, result.counters.len());
            for counter in &result.counters {
                let context = format!("{kind:?} {privilege:?} {:?}", counter.event);
                assert_eq!(counter.total, accesses * (kernel + user) * weight(counter.event), "{context}");
                assert_eq!(counter.empty, accesses * kernel * weight(counter.event), "{context}");
                assert_eq!(counter.per_round_trip, counter.total as f64 / ROUND_TRIPS as f64, "{context}");
            }
            assert_eq!(result.source, "software");
        }
    }
}

#[test]
fn each_kind_gives_its_counters_to_the_most_important_events() {
    let expected: [(SoftwareKind, &str, &[Event]); 5] = [
        (SoftwareKind::IntelVersion1, "skylakex", &[Event::Cycles, Event::Instructions]),
        (
            SoftwareKind::IntelVersion2,
            "skylakex",
            &[
                Event::Cycles,
                Event::Instructions,
                Event::DtlbLoadWalks,
                Event::ItlbWalks,
                Event::DtlbStoreWalks,
                Event::ReferenceCycles,
                Event::DtlbSecondLevelHits,
            ],
        ),
        (
            SoftwareKind::AmdLegacy,
            "amdzen3",
            &[Event::Cycles, Event::Instructions, Event::DtlbWalks, Event::ItlbWalks],
        ),
        (
            SoftwareKind::AmdCore,
            "amdzen3",
            &[
                Event::Cycles,
                Event::Instructions,
                Event::DtlbWalks,
                Event::ItlbWalks,
                Event::DtlbSecondLevelHits,
                Event::ItlbSecondLevelHits,
            ],
        ),
        (
            SoftwareKind::AmdPerfmonV2,
            "amdzen4",
            &[
                Event::Cycles,
                Event::Instructions,
                Event::DtlbWalks,
                Event::ItlbWalks,
                Event::ReferenceCycles,
                Event::DtlbSecondLevelHits,
            ],
        ),
    ];
    for (kind, table, events) in expected {
        let Some(result) = counted(kind, Source::Accesses, Privilege::All) else { return };
        let counted: Vec<Event> = result.counters.iter().map(|counter| counter.event).collect();
        assert_eq!((&*result.event_table, counted.as_slice()), (table, events), "{kind:?}");
        assert!(!result.left_out.is_empty(), "what has no counter is named");
    }
}

/// The self-test must not expect an instruction too many or too few, or it would refuse every real counter. Where KVM
/// emulates ring 0 it knows how many there are.
#[test]
fn the_self_test_knows_how_many_instructions_it_executes() {
    for kind in KINDS {
        let Some(run) = run(software(kind, Source::EmulatedInstructions, None, Privilege::Kernel)) else {
            return;
        };
        match run.lenses.read::<PmuResult>(pmu::NAME) {
            Reading::Counted(result) => {
                let instructions = result.counter(Event::Instructions).expect("instructions are counted");
                assert_eq!(instructions.self_tests, [SELF_TEST_INSTRUCTIONS; 2], "{kind:?}");
                println!("{kind:?}: {} instructions per round trip in ring 0", instructions.per_round_trip);
                let accesses = accesses_while_on(kind, result.counters.len());
                assert!(instructions.empty < 50 * accesses, "{kind:?}: {}", instructions.empty);
                assert!(instructions.per_round_trip > 50.0, "{kind:?}: {}", instructions.per_round_trip);
            }
            Reading::Absent { reason, .. } => {
                let emulated = run.run.kvm_stats.get("insn_emulation").copied().unwrap_or(0);
                assert!(
                    emulated < SELF_TEST_INSTRUCTIONS,
                    "{emulated} instructions were emulated, but: {reason}"
                );
                println!("skipped: ring 0 is not emulated here, so nobody knows its instructions");
            }
        }
    }
}

#[test]
fn counters_that_do_not_count_as_they_should_give_no_figures() {
    let cases = [
        (Defect::Deaf, "selector reads 0x0"),
        (Defect::Stuck, "counted 0 of"),
        (Defect::DiesAtBegin, "after the case: counted 0 of"),
        (Defect::Overcounts, &format!("counted {} of", SELF_TEST_INSTRUCTIONS + SELF_TEST_INSTRUCTIONS / 4)),
        (Defect::Narrow, "ran over its end"),
        (Defect::NeverStops, "while it was stopped"),
    ];
    for (defect, expected) in cases {
        for kind in [SoftwareKind::IntelVersion1, SoftwareKind::AmdLegacy, SoftwareKind::AmdCore] {
            let Some(run) = run(software(kind, Source::Accesses, Some(defect), Privilege::All)) else {
                return;
            };
            let reading = run.lenses.of(pmu::NAME);
            let Reading::Absent { reason, .. } = reading else {
                panic!("{kind:?} {defect:?}: {reading:?}");
            };
            if reason.contains("KVM_CAP_X86_USER_SPACE_MSR") {
                println!("skipped: {reason}");
                return;
            }
            assert!(reason.contains(expected), "{kind:?} {defect:?}: {reason}");
        }
    }
}

/// Asked for or not: the case itself is the same, and a guest without counters says why there are none.
#[test]
fn the_hosts_own_counters_are_used_where_there_are_any() {
    let Some(run) = run(PmuRequest::Host(Privilege::All)) else { return };
    assert_eq!(run.run.round_trips, ROUND_TRIPS);
    match run.lenses.read::<PmuResult>(pmu::NAME) {
        Reading::Counted(result) => {
            let instructions = result.counter(Event::Instructions).expect("instructions are counted");
            assert!(instructions.per_round_trip > 50.0);
        }
        Reading::Absent { reason, remedy } => {
            println!("no counters: {reason}");
            assert!(remedy.is_some_and(|remedy| !remedy.is_empty()), "{reason}");
        }
    }
}

#[test]
fn what_is_not_asked_for_is_absent() {
    let Some(run) = measure_with(&LensRequest::default()) else { return };
    assert_eq!(run.lenses.of(pmu::NAME), Reading::absent("not asked for"));
    assert_eq!(run.lenses.of(perf::NAME), Reading::absent("not asked for"));
}

#[test]
fn the_host_counts_the_guest_where_it_can() {
    let request = LensRequest::only(perf::NAME, serde_json::Value::Null);
    let Some(run) = measure_with(&request) else { return };
    assert_eq!(run.lenses.of(pmu::NAME), Reading::absent("not asked for"));
    match run.lenses.of(perf::NAME) {
        Reading::Counted(result) => assert!(result["counts"]["cycles"].as_u64() > Some(0)),
        Reading::Absent { reason, remedy } => {
            println!("no counters: {reason}");
            assert!(remedy.is_some(), "{reason}");
        }
    }
}
