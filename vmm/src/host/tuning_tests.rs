//! Hosts of three kinds, by what their /sys says.

use super::*;

/// Lines of `path: text`, below devices/system/cpu unless the path begins with `module`.
struct Sample(&'static str);

impl Sample {
    fn entries(&self) -> impl Iterator<Item = (String, &'static str)> {
        let entry = |line: &'static str| {
            let (path, text) = line.split_once(": ")?;
            let path = path.trim();
            let path = if path.starts_with("module") { path.to_owned() } else { format!("{CPUS}/{path}") };
            Some((path, text))
        };
        self.0.lines().filter_map(entry)
    }
}

impl Files for Sample {
    fn read(&self, path: &str) -> Fact<String> {
        let entry = self.entries().find(|(known, _)| known == path);
        entry.map_or_else(
            || Fact::absent(format_args!("{path}: none")),
            |(_, text)| Fact::Known(text.to_owned()),
        )
    }

    fn names(&self, folder: &str) -> Fact<Vec<String>> {
        let below = self.entries().filter_map(|(path, _)| {
            let rest = path.strip_prefix(folder)?.strip_prefix('/')?;
            rest.split('/').next().map(str::to_owned)
        });
        let mut names: Vec<String> = below.collect();
        names.dedup();
        if names.is_empty() { Fact::absent(format_args!("{folder}: none")) } else { Fact::Known(names) }
    }
}

const INTEL_DESKTOP: Sample = Sample(
    "cpu0/cpufreq/scaling_driver: intel_pstate
     cpu0/cpufreq/scaling_governor: powersave
     intel_pstate/no_turbo: 0
     smt/active: 1
     cpu0/topology/thread_siblings_list: 0-1
     cpuidle/current_driver: intel_idle
     cpu0/cpuidle/state0/name: POLL
     cpu0/cpuidle/state0/latency: 0
     cpu0/cpuidle/state0/disable: 0
     cpu0/cpuidle/state1/name: C1E
     cpu0/cpuidle/state1/latency: 10
     cpu0/cpuidle/state1/disable: 0
     cpu0/cpuidle/state2/name: C8
     cpu0/cpuidle/state2/latency: 200
     cpu0/cpuidle/state2/disable: 0
     vulnerabilities/itlb_multihit: KVM: Mitigation: Split huge pages
     vulnerabilities/meltdown: Not affected
     vulnerabilities/spectre_v2: Mitigation: Enhanced / Automatic IBRS; IBPB: conditional
     module/kvm/parameters/nx_huge_pages: Y
     module/kvm/parameters/tdp_mmu: Y",
);

const AMD_SERVER: Sample = Sample(
    "cpu0/cpufreq/scaling_driver: acpi-cpufreq
     cpu0/cpufreq/scaling_governor: performance
     cpufreq/boost: 0
     smt/active: 0
     cpu0/topology/thread_siblings_list: 0
     cpuidle/current_driver: acpi_idle
     cpu0/cpuidle/state0/name: POLL
     cpu0/cpuidle/state0/latency: 0
     cpu0/cpuidle/state0/disable: 0
     cpu0/cpuidle/state1/name: C1
     cpu0/cpuidle/state1/latency: 1
     cpu0/cpuidle/state1/disable: 0
     cpu0/cpuidle/state2/name: C2
     cpu0/cpuidle/state2/latency: 800
     cpu0/cpuidle/state2/disable: 1
     vulnerabilities/spec_rstack_overflow: Mitigation: Safe RET
     module/kvm/parameters/nx_huge_pages: N
     module/kvm/parameters/tdp_mmu: Y",
);

const VIRTUAL_MACHINE: Sample = Sample(
    "smt/active: 0
     cpuidle/current_driver: haltpoll
     cpu0/cpuidle/state0/name: POLL
     cpu0/cpuidle/state0/latency: 0
     cpu0/cpuidle/state1/name: haltpoll idle
     cpu0/cpuidle/state1/latency: 1",
);

/// A host that is set up for measuring.
pub(crate) fn steady() -> TuningFacts {
    TuningFacts::read(&AMD_SERVER)
}

fn warnings(sample: &Sample) -> Vec<String> {
    let checks = TuningFacts::read(sample).checks().into_iter();
    let warnings: Vec<Check> = checks.filter(|check| check.status == Status::Warning).collect();
    assert!(warnings.iter().all(|check| check.remedy.is_some()), "each has a remedy: {warnings:?}");
    warnings.into_iter().map(|check| check.name).collect()
}

#[test]
fn a_desktop_is_full_of_doubts() {
    let facts = TuningFacts::read(&INTEL_DESKTOP);
    assert_eq!((facts.turbo.known(), facts.smt_active.known()), (Some(&true), Some(&true)));
    assert_eq!(facts.siblings_of_cpu_0.known().unwrap(), "0-1");
    assert_eq!(facts.idle_states.known().unwrap().len(), 3);
    assert_eq!(
        warnings(&INTEL_DESKTOP),
        ["frequency governor", "turbo", "SMT", "idle states", "nested pages"]
    );
    assert!(facts.doubts().iter().any(|doubt| doubt.contains("C8 takes 200 µs")), "{:?}", facts.doubts());
    let mitigations = facts.checks().into_iter().find(|check| check.name == "mitigations").unwrap();
    assert!(mitigations.detail.starts_with("itlb_multihit, spectre_v2;"), "{mitigations:?}");
}

#[test]
fn a_server_that_is_set_up_for_measuring_has_none() {
    let facts = TuningFacts::read(&AMD_SERVER);
    assert_eq!(facts.turbo, Fact::Known(false));
    assert!(facts.idle_states.known().unwrap()[2].disabled, "C2 is switched off");
    assert_eq!(facts.doubts(), [""; 0]);
    assert_eq!(facts.checks().len(), 6, "what is well is told, too");
}

#[test]
fn a_virtual_machine_tells_little_and_that_is_no_doubt() {
    let facts = TuningFacts::read(&VIRTUAL_MACHINE);
    assert!(facts.governor.reason().is_some() && facts.turbo.reason().is_some());
    assert!(facts.vulnerabilities.reason().is_some());
    assert_eq!(warnings(&VIRTUAL_MACHINE), [""; 0]);
}

#[test]
fn this_host_can_be_asked() {
    let facts = TuningFacts::read(&Sys);
    assert!(facts.checks().iter().all(|check| !check.detail.is_empty()));
}
