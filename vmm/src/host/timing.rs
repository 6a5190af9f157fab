//! Whether ticks of the time-stamp counter measured here are time.

use serde::{Deserialize, Serialize};

use crate::host::cpu::CpuFacts;
use crate::host::fact::Fact;
use crate::host::kvm::KvmFacts;
use crate::host::ring0::Ring0Facts;
use crate::host::tuning::TuningFacts;

/// The verdict on times, of a host and of each case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Timing {
    /// Ticks are time of the hardware.
    #[default]
    Valid,
    /// They are, and something makes them scatter, or larger than elsewhere.
    Doubtful {
        /// What.
        reasons: Vec<String>,
    },
    /// They are not: they tell how fast an emulator is, or count something else.
    Invalid {
        /// Why.
        reasons: Vec<String>,
    },
}

impl Timing {
    /// Whether ticks are time.
    pub fn is_time(&self) -> bool {
        !matches!(self, Timing::Invalid { .. })
    }

    /// Why it is not valid without reserve.
    pub fn reasons(&self) -> &[String] {
        match self {
            Timing::Valid => &[],
            Timing::Doubtful { reasons } | Timing::Invalid { reasons } => reasons,
        }
    }

    /// The verdict in one word.
    pub fn name(&self) -> &'static str {
        match self {
            Timing::Valid => "valid",
            Timing::Doubtful { .. } => "doubtful",
            Timing::Invalid { .. } => "invalid",
        }
    }

    /// Valid, unless there are doubts.
    pub fn with_doubts(reasons: Vec<String>) -> Timing {
        if reasons.is_empty() { Timing::Valid } else { Timing::Doubtful { reasons } }
    }

    /// Invalid for one reason.
    pub fn invalid(reason: impl Into<String>) -> Timing {
        Timing::Invalid { reasons: vec![reason.into()] }
    }

    pub(crate) fn decide(
        cpu: &CpuFacts,
        kvm: &KvmFacts,
        tuning: &TuningFacts,
        ring0: &Fact<Ring0Facts>,
    ) -> Timing {
        let measured = match ring0 {
            Fact::Known(measured) => measured,
            Fact::Absent { absent } => {
                return Timing::invalid(format!("no guest could be run to measure it: {absent}"));
            }
        };
        if measured.is_emulated {
            return Timing::invalid(format!(
                "ring 0 is emulated by KVM on this host ({:.0} ns per instruction)",
                measured.ns_per_instruction
            ));
        }
        if measured.tsc_counts_instructions {
            return Timing::invalid(
                "the time-stamp counter of this host advances by one for every instruction (an emulator such as Bochs)",
            );
        }
        let hypervisor = cpu.hypervisor.known().map_or("none", String::as_str);
        if hypervisor == "TCG" {
            return Timing::invalid("this host is itself emulated by QEMU (TCG)");
        }
        let mut doubts = Vec::new();
        if hypervisor != "none" {
            doubts.push(format!(
                "this host is itself a guest of {hypervisor}: exits and interrupts cost more than on bare metal"
            ));
        }
        if cpu.invariant_tsc.known() == Some(&false) {
            doubts.push("the time-stamp counter is not invariant: compare only within one run".to_owned());
        }
        if kvm.nested_paging.known() == Some(&false) {
            doubts.push("nested paging is off: every page-table change of a guest costs an exit".to_owned());
        }
        doubts.extend(tuning.doubts());
        Timing::with_doubts(doubts)
    }
}
