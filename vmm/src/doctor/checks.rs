//! The facts judged: what is as it should be, what restricts, what is missing, each with its remedy.

use crate::host::{Check, Fact, HostFacts, Status, Timing};
use crate::lens::{Ability, Availability};

pub(crate) fn all(facts: &HostFacts, lenses: &[Ability]) -> Vec<Check> {
    let mut checks = vec![device(facts), ring0(facts), timing(facts)];
    checks.push(nested_paging(facts));
    checks.extend(features(facts));
    checks.extend(segments(facts));
    checks.push(vcpus(facts));
    checks.push(clock(facts));
    checks.push(nesting(facts));
    checks.extend(facts.tuning.checks());
    checks.extend(lenses.iter().map(|lens| Check {
        name: format!("lens {}", lens.name),
        status: match lens.availability {
            Availability::Available => Status::Ok,
            Availability::Limited => Status::Warning,
            Availability::Unavailable => Status::Missing,
        },
        detail: lens.reason.clone(),
        remedy: lens.remedy.clone(),
    }));
    checks
}

fn check(name: &str, status: Status, detail: impl Into<String>, remedy: Option<&str>) -> Check {
    Check { name: name.to_owned(), status, detail: detail.into(), remedy: remedy.map(str::to_owned) }
}

fn device(facts: &HostFacts) -> Check {
    match &facts.kvm.usable {
        Fact::Known(_) => {
            let modules = facts.kvm.modules.known().map_or(String::new(), |names| names.join(", "));
            let detail = format!("{}; modules {modules}; {:?}", facts.kvm.device, facts.kvm.vendor);
            check("/dev/kvm", Status::Ok, detail.to_lowercase(), None)
        }
        // The error's text is its remedy.
        Fact::Absent { absent } => {
            check("/dev/kvm", Status::Missing, facts.kvm.device.to_string(), Some(absent))
        }
    }
}

fn ring0(facts: &HostFacts) -> Check {
    match &facts.ring0 {
        Fact::Known(measured) => {
            let how = if measured.is_emulated { "emulated" } else { "native" };
            let emulated = match &measured.emulated_instructions {
                Fact::Known(count) => format!("{count} of {} instructions emulated", measured.instructions),
                Fact::Absent { absent } => absent.clone(),
            };
            let detail = format!("{how}: {emulated}, {:.1} ns each", measured.ns_per_instruction);
            let remedy = measured
                .is_emulated
                .then_some("for hardware timing, run on a machine whose KVM is kvm_intel or kvm_amd");
            check("ring 0", if measured.is_emulated { Status::Warning } else { Status::Ok }, detail, remedy)
        }
        Fact::Absent { absent } => {
            check("ring 0", Status::Missing, absent, Some("make /dev/kvm usable first"))
        }
    }
}

fn timing(facts: &HostFacts) -> Check {
    let reasons = facts.timing.reasons().join("; ");
    match &facts.timing {
        Timing::Valid => check("timing", Status::Ok, "valid: ring 0 runs natively", None),
        Timing::Doubtful { .. } => {
            check("timing", Status::Warning, format!("valid, with doubts: {reasons}"), None)
        }
        Timing::Invalid { .. } => {
            let remedy = "use the counts from here, and take times on real hardware";
            check("timing", Status::Warning, format!("invalid: {reasons}; counts are exact"), Some(remedy))
        }
    }
}

fn nested_paging(facts: &HostFacts) -> Check {
    let name = "nested paging";
    match &facts.kvm.nested_paging {
        Fact::Known(true) => check(name, Status::Ok, "on", None),
        Fact::Known(false) => {
            let detail = "off: every page-table change of a guest costs an exit";
            check(name, Status::Warning, detail, Some("reload the module with npt=1 or ept=1"))
        }
        Fact::Absent { absent } => check(name, Status::Warning, absent, None),
    }
}

/// Features that change what a placement costs, or that guests use for protection.
fn features(facts: &HostFacts) -> Vec<Check> {
    let Some(features) = facts.kvm.guest_features.known() else { return Vec::new() };
    let list = [
        ("PCID", features.pcid, "cases with pcid = \"on\" cannot run here"),
        ("INVPCID", features.invpcid, "the guest flushes by CR3 instead"),
        ("SMEP", features.smep, "the guest runs without it"),
        ("SMAP", features.smap, "the guest runs without it"),
        ("1 GiB pages", features.gibibyte_pages, "the physical map uses 2 MiB pages"),
        ("x2APIC", features.x2apic, "at most 255 vCPUs"),
        ("TSC deadline", features.tsc_deadline, "the guest uses the local APIC's counter instead"),
    ];
    let judge = |(name, is_there, otherwise): (&str, bool, &str)| {
        let name = format!("guest {name}");
        if is_there {
            check(&name, Status::Ok, "offered to guests", None)
        } else {
            let remedy = "no remedy on this host: KVM does not offer it (KVM_GET_SUPPORTED_CPUID)";
            check(&name, Status::Warning, format!("not offered to guests: {otherwise}"), Some(remedy))
        }
    };
    list.into_iter().map(judge).collect()
}

/// What small spaces need, where somebody has asked.
fn segments(facts: &HostFacts) -> Vec<Check> {
    let Some(segments) = facts.segments.known() else {
        let reason = facts.segments.reason().unwrap_or_default();
        let was_tried = !reason.starts_with("not asked") && facts.kvm.usable.known().is_some();
        return was_tried
            .then(|| check("segment bases", Status::Missing, reason, None))
            .into_iter()
            .collect();
    };
    const REMEDY: &str = "run on a machine whose KVM is kvm_intel or kvm_amd";
    if !segments.bases {
        let detail =
            "ignored or refused in compatibility mode: cases with `small` or `large` cannot run here";
        return vec![check("segment bases", Status::Warning, detail, Some(REMEDY))];
    }
    let gates = [("SYSENTER", segments.sysenter), ("SYSCALL", segments.syscall)];
    let gates: Vec<&str> =
        gates.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect();
    let gates = if gates.is_empty() { String::new() } else { format!(" and {}", gates.join(", ")) };
    let bases = format!("honoured in compatibility mode, which INT{gates} lead out of");
    let limits = if segments.limits {
        check("segment limits", Status::Ok, "enforced: small spaces are protected from 32-bit programs", None)
    } else {
        let detail = "not checked: small spaces work, but nothing keeps a program within its own";
        check(
            "segment limits",
            Status::Warning,
            detail,
            Some("an emulator (QEMU's TCG) checks none; a processor does"),
        )
    };
    vec![check("segment bases", Status::Ok, bases, None), limits]
}

fn vcpus(facts: &HostFacts) -> Check {
    match (&facts.kvm.max_vcpus, &facts.cpu.online_cpus) {
        (Fact::Known(limit), online) => {
            let detail = format!("up to {limit} in one guest, on {online} host CPUs");
            check("vCPUs", Status::Ok, detail, None)
        }
        (Fact::Absent { absent }, _) => {
            check("vCPUs", Status::Missing, absent, Some("make /dev/kvm usable first"))
        }
    }
}

fn clock(facts: &HostFacts) -> Check {
    let rate = facts.ring0.clone().and_then(|measured| measured.tsc_khz);
    let clocksource = &facts.system.clocksource;
    let is_invariant = facts.cpu.invariant_tsc.known() == Some(&true);
    let kind = if is_invariant { "invariant" } else { "not invariant" };
    let detail = format!("{rate} kHz, {kind}; Linux tells the time by {clocksource}");
    let is_trusted = clocksource.known().is_some_and(|name| name == "tsc" || name == "kvm-clock");
    if is_invariant && is_trusted {
        return check("time-stamp counter", Status::Ok, detail, None);
    }
    let remedy = "use a host whose clock source is tsc (see dmesg for why Linux rejects it)";
    check("time-stamp counter", Status::Warning, detail, Some(remedy))
}

/// Whether this host is a guest itself.
fn nesting(facts: &HostFacts) -> Check {
    match facts.cpu.hypervisor.known().map(String::as_str) {
        Some("none") => check("nesting", Status::Ok, "this host is no guest itself", None),
        Some(hypervisor) => {
            let detail = format!("this host is itself a guest of {hypervisor}");
            check("nesting", Status::Warning, detail, Some("take times on bare metal"))
        }
        None => check("nesting", Status::Warning, facts.cpu.hypervisor.to_string(), None),
    }
}
