//! How this host is set up where that moves times: frequency, idling, shared cores, mitigations, pages of guests.

use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;

use crate::host::check::{Check, Status};
use crate::host::fact::Fact;
use crate::host::system;

/// The kernel's own words in /sys. Each is absent where the host does not tell, as in most virtual machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TuningFacts {
    /// What sets the frequency of CPU 0.
    pub frequency_driver: Fact<String>,
    /// By which policy.
    pub governor: Fact<String>,
    /// Cores may run faster than their nominal frequency while there is room.
    pub turbo: Fact<bool>,
    /// Two hardware threads share a core.
    pub smt_active: Fact<bool>,
    /// The hardware threads of the core of CPU 0, as a list.
    pub siblings_of_cpu_0: Fact<String>,
    /// What puts idle CPUs to sleep.
    pub idle_driver: Fact<String>,
    /// Into which states, the lightest first.
    pub idle_states: Fact<Vec<IdleState>>,
    /// What the kernel does about each weakness of the processor.
    pub vulnerabilities: Fact<BTreeMap<String, String>>,
    /// KVM's parameter `nx_huge_pages`: pages with code of guests are 4 KiB in the nested page table.
    pub nx_huge_pages: Fact<bool>,
    /// KVM's parameter `tdp_mmu`: the nested page table is changed by many CPUs at once.
    pub tdp_mmu: Fact<bool>,
}

/// A state that an idle CPU may be in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IdleState {
    /// Its name.
    pub name: String,
    /// How long it takes to leave it, microseconds.
    pub exit_latency_us: u64,
    /// It is switched off.
    pub disabled: bool,
}

/// Where the words come from: the host, or a test's sample.
pub(crate) trait Files {
    /// The text of a file below /sys, without the line end.
    fn read(&self, path: &str) -> Fact<String>;
    /// Names in a folder below /sys, in order.
    fn names(&self, folder: &str) -> Fact<Vec<String>>;
}

/// This host's files.
pub(crate) struct Sys;

impl Files for Sys {
    fn read(&self, path: &str) -> Fact<String> {
        system::read(&format!("/sys/{path}"))
    }

    fn names(&self, folder: &str) -> Fact<Vec<String>> {
        let entries = match fs::read_dir(format!("/sys/{folder}")) {
            Ok(entries) => entries,
            Err(error) => return Fact::absent(format_args!("/sys/{folder}: {error}")),
        };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        Fact::Known(names)
    }
}

const CPUS: &str = "devices/system/cpu";

/// Idle states that take longer to leave are told: what waits for another CPU may wait for that, too.
const SLOW_EXIT_US: u64 = 10;

impl TuningFacts {
    pub(crate) fn read(files: &impl Files) -> TuningFacts {
        let cpu = |path: &str| files.read(&format!("{CPUS}/{path}"));
        let kvm =
            |name: &str| files.read(&format!("module/kvm/parameters/{name}")).map(|value| is_on(&value));
        TuningFacts {
            frequency_driver: cpu("cpu0/cpufreq/scaling_driver"),
            governor: cpu("cpu0/cpufreq/scaling_governor"),
            turbo: match cpu("intel_pstate/no_turbo") {
                Fact::Known(off) => Fact::Known(!is_on(&off)),
                Fact::Absent { .. } => cpu("cpufreq/boost").map(|on| is_on(&on)),
            },
            smt_active: cpu("smt/active").map(|active| is_on(&active)),
            siblings_of_cpu_0: cpu("cpu0/topology/thread_siblings_list"),
            idle_driver: cpu("cpuidle/current_driver"),
            idle_states: idle_states(files),
            vulnerabilities: vulnerabilities(files),
            nx_huge_pages: kvm("nx_huge_pages"),
            tdp_mmu: kvm("tdp_mmu"),
        }
    }

    /// The deepest state that CPUs may sleep in, if it takes long to leave.
    fn slow_idle_state(&self) -> Option<&IdleState> {
        let enabled = self.idle_states.known()?.iter().filter(|state| !state.disabled);
        enabled.max_by_key(|state| state.exit_latency_us).filter(|state| state.exit_latency_us > SLOW_EXIT_US)
    }

    /// What makes times scatter here, or larger than elsewhere.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let checks = self.checks().into_iter().filter(|check| check.status == Status::Warning);
        checks.map(|check| format!("{}: {}", check.name, check.detail)).collect()
    }

    /// The facts judged. What the host does not tell of is passed over: most of it is not there.
    pub(crate) fn checks(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut judge = |name: &str, is_steady: bool, detail: String, remedy: &str| {
            let status = if is_steady { Status::Ok } else { Status::Warning };
            let remedy = (!is_steady).then(|| remedy.to_owned());
            checks.push(Check { name: name.to_owned(), status, detail, remedy });
        };
        if let Fact::Known(governor) = &self.governor {
            let remedy = "sudo cpupower frequency-set -g performance";
            judge("frequency governor", governor == "performance", governor.clone(), remedy);
        }
        if let Fact::Known(turbo) = self.turbo {
            let detail = if turbo { "on: a core's frequency depends on what the others do" } else { "off" };
            judge("turbo", !turbo, detail.to_owned(), TURBO_REMEDY);
        }
        if let Fact::Known(active) = self.smt_active {
            let detail = if active { "two threads share each core" } else { "off" };
            let remedy = "leave each core's second thread idle, or echo off | sudo tee /sys/devices/system/cpu/smt/control";
            judge("SMT", !active, detail.to_owned(), remedy);
        }
        if let Some(state) = self.slow_idle_state() {
            let IdleState { name, exit_latency_us, .. } = state;
            let detail =
                format!("{name} takes {exit_latency_us} µs to leave, which waits for other CPUs include");
            judge("idle states", false, detail, "sudo cpupower idle-set -D 10");
        } else if let Fact::Known(driver) = &self.idle_driver {
            judge("idle states", true, format!("{driver}, none that takes long to leave"), "");
        }
        if let Fact::Known(split) = self.nx_huge_pages {
            let detail = match split {
                true => "guests' code is on 4 KiB pages of the nested page table (nx_huge_pages)",
                false => "KVM splits no huge pages of guests",
            };
            let remedy = "reload kvm with nx_huge_pages=off, if this machine runs no guests of others";
            judge("nested pages", !split, detail.to_owned(), remedy);
        }
        if let Fact::Known(vulnerabilities) = &self.vulnerabilities {
            let mitigated = vulnerabilities.iter().filter(|(_, text)| text.contains("Mitigation"));
            let names: Vec<&str> = mitigated.map(|(name, _)| name.as_str()).collect();
            let detail = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            judge("mitigations", true, format!("{detail}; what they cost is part of times"), "");
        }
        checks
    }
}

const TURBO_REMEDY: &str = "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo, or echo 0 | sudo tee \
                            /sys/devices/system/cpu/cpufreq/boost";

fn is_on(text: &str) -> bool {
    matches!(text, "1" | "Y")
}

fn idle_states(files: &impl Files) -> Fact<Vec<IdleState>> {
    let folder = format!("{CPUS}/cpu0/cpuidle");
    files.names(&folder).map(|names| {
        let state = |name: &String| {
            let read = |file: &str| files.read(&format!("{folder}/{name}/{file}")).known().cloned();
            Some(IdleState {
                name: read("name")?,
                exit_latency_us: read("latency")?.parse().ok()?,
                disabled: read("disable").is_some_and(|text| text != "0"),
            })
        };
        let mut states: Vec<IdleState> = names.iter().filter_map(state).collect();
        states.sort_by_key(|state| state.exit_latency_us);
        states
    })
}

fn vulnerabilities(files: &impl Files) -> Fact<BTreeMap<String, String>> {
    let folder = format!("{CPUS}/vulnerabilities");
    files.names(&folder).map(|names| {
        let text = |name: String| {
            let text = files.read(&format!("{folder}/{name}")).known().cloned()?;
            Some((name, text))
        };
        names.into_iter().filter_map(text).collect()
    })
}

#[cfg(test)]
#[path = "tuning_tests.rs"]
pub(crate) mod tests;
