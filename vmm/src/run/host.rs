//! The host, as far as runs depend on it.

use std::collections::BTreeMap;

use crate::case::parameter::Gate;
use crate::case::seconds::Seconds;
use crate::doctor::Diagnosis;
use crate::experiment::check::Limits;
use crate::guest_image::GuestImage;
use crate::host::{Fact, HostFacts, KvmVendor, SegmentFacts};
use crate::lens::Availability;
use crate::machine::MachineError;
use crate::machine::guest::Pin;
use crate::machine::kvm::KvmDevice;
use crate::machine::pin;
use crate::record::run::HostRecord;

/// The guest that was to find out about segments has not said: that is no reason to leave cases out.
#[derive(Debug, thiserror::Error)]
#[error("cannot find out whether programs for 32 bits run here: {reason}")]
pub struct SegmentsUnknown {
    reason: String,
}

/// A host that guests can be run on.
pub struct Host {
    diagnosis: Diagnosis,
    vcpus_max: u32,
    asked_for_segments: bool,
}

impl Host {
    /// Asks the host; an error when it cannot run guests.
    pub fn probe() -> Result<Host, MachineError> {
        let device = KvmDevice::open()?;
        Ok(Host { diagnosis: Diagnosis::probe(), vcpus_max: device.max_vcpus, asked_for_segments: false })
    }

    /// The same with what programs for 32 bits need, which a guest finds out.
    pub fn with_segments(self, image: &GuestImage) -> Result<Host, SegmentsUnknown> {
        let host = Host { diagnosis: self.diagnosis.with_segments(image), asked_for_segments: true, ..self };
        must_be_known(&host.facts().segments)?;
        Ok(host)
    }

    /// The host with what is planned within its limits. Only where cases of programs for 32 bits are among it, a guest is asked what
    /// they need, and it is planned once more.
    pub fn plan<T, E: From<SegmentsUnknown>>(
        self,
        image: &GuestImage,
        plan: impl Fn(&Limits) -> Result<T, E>,
        has_32_bit: impl Fn(&T) -> bool,
    ) -> Result<(Host, T), E> {
        let planned = plan(&self.limits(image.programs()))?;
        if self.asked_for_segments || !has_32_bit(&planned) {
            return Ok((self, planned));
        }
        let host = self.with_segments(image)?;
        let planned = plan(&host.limits(image.programs()))?;
        Ok((host, planned))
    }

    /// What experiments may ask for here. Programs for 32 bits may run as long as nobody has asked a guest.
    pub fn limits(&self, programs: Vec<String>) -> Limits {
        let features = self.facts().kvm.guest_features.known();
        let pcid = match features.is_some_and(|features| features.pcid) {
            true => Ok(()),
            false => Err("KVM on this host offers its guests no PCIDs".to_owned()),
        };
        let (segments, missing_gates) = match &self.facts().segments {
            Fact::Known(facts) => segments(*facts),
            Fact::Absent { absent } if self.asked_for_segments => (Err(absent.clone()), BTreeMap::new()),
            Fact::Absent { .. } => (Ok(()), BTreeMap::new()),
        };
        // Where time is measured the launch is the unit: below six there is no interval. Counts are the same in each.
        let (launches, seconds) =
            if self.facts().timing.is_time() { (6, Some(Seconds::milliseconds(500))) } else { (1, None) };
        Limits {
            pcid,
            segments,
            missing_gates,
            many_guests: Ok(()),
            vcpus_max: self.vcpus_max,
            programs,
            launches,
            seconds,
        }
    }

    /// Everything that it says of itself.
    pub fn facts(&self) -> &HostFacts {
        &self.diagnosis.facts
    }

    /// What results say about the host, where vCPU threads are pinned like this.
    pub fn record(&self, pin: &Pin) -> HostRecord {
        let (ring0, timing) = (self.facts().ring0.known(), &self.facts().timing);
        HostRecord {
            name: name(),
            summary: summary(self.facts()),
            timing_problem: (!timing.is_time()).then(|| timing.reasons().join("; ")),
            timing_doubts: if timing.is_time() { timing.reasons().to_vec() } else { Vec::new() },
            user_timing_is_native: ring0.is_some_and(|ring0| ring0.is_emulated),
            tsc_counts_ends_of_repeats: false,
            tsc_counts_instructions: ring0.is_some_and(|ring0| ring0.tsc_counts_instructions),
            cpus: self.facts().cpu.online_cpus.known().copied().unwrap_or(0),
            usable_cpus: pin::usable_cpus(pin).map_or(0, |cpus| cpus as u32),
            absent_lenses: self
                .diagnosis
                .lenses
                .iter()
                .filter(|lens| lens.availability == Availability::Unavailable)
                .map(|lens| (lens.name.to_owned(), lens.reason.clone()))
                .collect(),
            // Facts are plain data: they can always be written.
            facts: serde_json::to_value(&self.diagnosis).unwrap_or_default(),
        }
    }
}

/// Only the guest's own answer says that cases cannot be run here.
fn must_be_known(segments: &Fact<SegmentFacts>) -> Result<(), SegmentsUnknown> {
    let reason = segments.reason().map(str::to_owned);
    reason.map_or(Ok(()), |reason| Err(SegmentsUnknown { reason }))
}

/// Whether programs for 32 bits can run, and the gates that they do not have.
fn segments(facts: SegmentFacts) -> (Result<(), String>, BTreeMap<Gate, String>) {
    let gates = [
        (Gate::Sysenter, facts.sysenter, "SYSENTER, which only Intel's CPUs have there"),
        (Gate::Syscall, facts.syscall, "SYSCALL, which only AMD's CPUs have there"),
    ];
    let missing = gates.into_iter().filter(|(_, is_there, _)| !is_there);
    let missing =
        missing.map(|(gate, _, what)| (gate, format!("the guest's CPU has in compatibility mode no {what}")));
    let bases = match facts.bases {
        true => Ok(()),
        false => Err(
            "segments with a base are ignored or refused in compatibility mode on this host, as the guest's \
                      kernel has found in ring 3 (inkbed doctor: segment bases)"
                .to_owned(),
        ),
    };
    (bases, missing.collect())
}

pub(super) fn name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "host".to_owned() } else { name.to_owned() }
}

/// `AMD EPYC, kvm pvm, Linux 6.12.0`.
fn summary(facts: &HostFacts) -> String {
    let kvm = match facts.kvm.vendor {
        KvmVendor::Pvm => "KVM with emulated ring 0",
        KvmVendor::Amd => "KVM on SVM",
        KvmVendor::Intel => "KVM on VMX",
        KvmVendor::Unknown => "KVM",
    };
    let release = facts.system.kernel_release.known().map(|release| format!("Linux {release}"));
    let parts = [facts.cpu.model.known().cloned(), Some(kvm.to_owned()), release];
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_failed_is_no_answer() {
        let answer = SegmentFacts { bases: false, limits: false, sysenter: false, syscall: false };
        assert!(must_be_known(&Fact::Known(answer)).is_ok());
        assert!(segments(answer).0.is_err_and(|reason| reason.contains("segment bases")));
        let error = must_be_known(&Fact::absent("hang: the deadline of 60 s passed")).unwrap_err();
        assert!(error.to_string().ends_with("hang: the deadline of 60 s passed"), "{error}");
    }
}
