//! The pure parts of probing, and the probe itself on whatever host this is.

use std::io;

use iced_x86::{Decoder, DecoderOptions, Mnemonic};
use kvm_bindings::{CpuId, kvm_cpuid_entry2};

use super::cpu::{CpuFacts, count_list};
use super::kvm::decode_features;
use super::ring0::{self, Ring0Facts};
use super::system::{chosen, memory_field};
use super::*;

fn ring0(is_emulated: bool, tsc_counts_instructions: bool) -> Fact<Ring0Facts> {
    Fact::Known(Ring0Facts {
        is_emulated,
        instructions: 10_000,
        emulated_instructions: Fact::absent("a test"),
        ns_per_instruction: 1500.0,
        tsc_counts_instructions,
        tsc_khz: Fact::Known(2_000_000),
    })
}

fn cpu(hypervisor: &str) -> CpuFacts {
    CpuFacts {
        hypervisor: Fact::Known(hypervisor.to_owned()),
        invariant_tsc: Fact::Known(true),
        ..CpuFacts::probe()
    }
}

/// The verdict on a host that is set up for measuring.
fn decide(hypervisor: &str, ring0: &Fact<Ring0Facts>) -> Timing {
    let cpu = cpu(hypervisor);
    let kvm = KvmFacts { nested_paging: Fact::Known(true), ..KvmFacts::probe(&cpu, ring0) };
    Timing::decide(&cpu, &kvm, &tuning::tests::steady(), ring0)
}

#[test]
fn timing_is_valid_only_on_real_hardware() {
    assert_eq!(decide("none", &ring0(false, false)), Timing::Valid);
    let nested = decide("KVM", &ring0(false, false));
    assert!(nested.is_time() && nested.reasons()[0].contains("guest of KVM"), "{nested:?}");
    let cases = [
        ("none", ring0(true, false), "emulated by KVM"),
        ("none", ring0(false, true), "advances by one for every instruction"),
        ("TCG", ring0(false, false), "QEMU"),
        ("none", Fact::absent("no device"), "no device"),
    ];
    for (hypervisor, ring0, reason) in cases {
        let timing = decide(hypervisor, &ring0);
        assert!(!timing.is_time() && timing.reasons()[0].contains(reason), "{timing:?}");
    }
}

#[test]
fn the_probes_program_is_what_its_comments_say() {
    let code = ring0::program();
    let mnemonics: Vec<Mnemonic> = Decoder::new(64, &code, DecoderOptions::NONE)
        .into_iter()
        .map(|instruction| instruction.mnemonic())
        .collect();
    assert!(!mnemonics.contains(&Mnemonic::INVALID));
    let count = |wanted: Mnemonic| mnemonics.iter().filter(|mnemonic| **mnemonic == wanted).count();
    assert_eq!((count(Mnemonic::Rdtsc), count(Mnemonic::Dec), count(Mnemonic::Jne)), (6, 3, 3));
    // The instructions of each loop besides its turns, which ring0.rs counts on.
    assert_eq!(mnemonics.len() as u64, 3 * (ring0::LOOP_EXTRA_INSTRUCTIONS + 2) + 1);
    assert_eq!(mnemonics.last(), Some(&Mnemonic::Out));
}

#[test]
fn only_a_counter_of_instructions_is_taken_for_one() {
    assert!(ring0::counts_instructions(4_006, 4_006, 2_006));
    assert!(!ring0::counts_instructions(4_006, 4_007, 2_006), "not the same twice");
    assert!(!ring0::counts_instructions(2_006, 2_006, 1_006), "one tick for two instructions");
}

#[test]
#[expect(clippy::float_cmp, reason = "whole numbers")]
fn an_instruction_takes_time_even_if_a_loop_was_disturbed() {
    assert_eq!(ring0::ticks_per_instruction(4_006, 2_006), 1.0);
    assert_eq!(ring0::ticks_per_instruction(4_000, 9_000), 1.0, "interrupted in the short loop");
}

#[test]
fn texts_of_proc_and_sys() {
    assert_eq!(count_list("0-3,5"), Fact::Known(5));
    assert_eq!(count_list("0"), Fact::Known(1));
    assert!(count_list("3-0").known().is_none() && count_list("").known().is_none());
    assert_eq!(chosen("always [madvise] never").known().unwrap(), "madvise");
    assert!(chosen("madvise").reason().is_some());
    assert_eq!(memory_field("MemTotal:  2048 kB\nMemFree: 1 kB\n", "MemTotal:"), Fact::Known(2 << 20));
    assert!(memory_field("", "MemTotal:").reason().is_some());
}

#[test]
fn features_of_guests() {
    let entry = |function, eax, ebx, ecx, edx| kvm_cpuid_entry2 {
        function,
        eax,
        ebx,
        ecx,
        edx,
        ..Default::default()
    };
    let intel = [
        entry(1, 0, 0, 1 << 17 | 1 << 21, 0),
        entry(7, 0, 1 << 10 | 1 << 7, 0, 0),
        entry(0xa, 0x0802, 0, 0, 0),
    ];
    let features = decode_features(&CpuId::from_entries(&intel).unwrap());
    assert!(features.pcid && features.invpcid && features.smep && features.x2apic && !features.smap);
    assert_eq!((features.pmu_version, features.pmu_counters), (2, 8));
    let amd = [entry(0x8000_0001, 0, 0, 1 << 23, 1 << 26)];
    let features = decode_features(&CpuId::from_entries(&amd).unwrap());
    assert!(features.gibibyte_pages && !features.pcid);
    assert_eq!((features.pmu_version, features.pmu_counters), (1, 6));
    assert_eq!(decode_features(&CpuId::new(0).unwrap()), GuestFeatures::default());
}

#[test]
fn errors_of_perf_name_their_cause() {
    let denied = perf::explain(&io::Error::from_raw_os_error(libc::EACCES), Some(3));
    assert!(denied.contains("perf_event_paranoid is 3"), "{denied}");
    assert!(perf::explain(&io::Error::from_raw_os_error(libc::ENOENT), None).contains("no hardware counter"));
}
