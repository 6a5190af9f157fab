//! The lens `kvm`: KVM's own statistics, which the VMM reads at both marks.

use crate::host::HostFacts;
use crate::lens::{Ability, Count, Lens, Seen, What, took_no_part, took_part};
use crate::record::run::LensRecord;

/// Its name.
pub const NAME: &str = "kvm";

/// KVM's statistics.
pub struct Kvm;

impl Lens for Kvm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn ability(&self, host: &HostFacts) -> Ability {
        if host.kvm.capability("BINARY_STATS_FD") > 0 {
            Ability::available(NAME, "KVM's binary statistics of every vCPU")
        } else {
            let reason = "this KVM has no binary statistics";
            Ability::unavailable(NAME, reason, Some("use Linux 5.14 or newer"))
        }
    }

    fn record(&self, seen: &Seen<'_>) -> LensRecord {
        if seen.has_kvm_stats {
            return took_part(None);
        }
        let of_host = seen.host.absent_lenses.get(NAME).cloned();
        took_no_part(of_host.unwrap_or_else(|| "no guest of this case came to its second mark".to_owned()))
    }

    fn count(&self, what: What, seen: &Seen<'_>) -> Count {
        match what {
            What::EmulatedInstructions => Count::of(seen.emulated),
            _ => Count::None,
        }
    }

    fn what_to_check(&self) -> &'static str {
        "KVM's statistic insn_emulation in kvm_stats, and whether this host still emulates all of ring 0"
    }
}
