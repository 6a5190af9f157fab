//! Whether cycle figures measured here are hardware timing.

use serde::Serialize;

use crate::host::cpu::CpuFacts;
use crate::host::fact::Fact;
use crate::host::ring0::Ring0Facts;

/// The verdict, to be printed with every figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// Cycle figures are hardware timing.
    pub valid: bool,
    /// Why not; or what to bear in mind.
    pub reason: String,
}

impl Timing {
    pub(crate) fn decide(cpu: &CpuFacts, ring0: &Fact<Ring0Facts>) -> Timing {
        let invalid = |reason: String| Timing { valid: false, reason };
        let measured = match ring0 {
            Fact::Known(measured) => measured,
            Fact::Absent { absent } => {
                return invalid(format!("no guest could be run to measure it: {absent}"));
            }
        };
        if measured.is_emulated {
            return invalid(format!(
                "ring 0 is emulated by KVM on this host ({:.0} ns per instruction): cycle figures are not hardware \
                 timing; counts are exact",
                measured.ns_per_instruction
            ));
        }
        if measured.tsc_counts_instructions {
            return invalid(
                "the time-stamp counter of this host counts instructions exactly (an emulator such as Bochs): \
                 differences are instruction counts, not time"
                    .to_owned(),
            );
        }
        let hypervisor = cpu.hypervisor.known().map_or("none", String::as_str);
        if hypervisor == "TCG" {
            return invalid(
                "this host is itself emulated by QEMU (TCG): cycle figures are an emulator's; counts are exact"
                    .to_owned(),
            );
        }
        let mut notes = vec!["ring 0 runs natively".to_owned()];
        if hypervisor != "none" {
            notes.push(format!(
                "this host is itself a guest of {hypervisor}: exits and interrupts cost more than on bare metal"
            ));
        }
        if cpu.invariant_tsc.known() == Some(&false) {
            notes.push("the time-stamp counter is not invariant: compare only within one run".to_owned());
        }
        Timing { valid: true, reason: notes.join("; ") }
    }
}
