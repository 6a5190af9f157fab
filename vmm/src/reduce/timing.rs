//! Whether the ticks of a case are time.

use std::collections::BTreeMap;

use crate::case::Parameters;
use crate::case::workload::Does;
use crate::host::Timing;
use crate::record::run::HostRecord;

/// KVM's statistic of instructions that it emulated.
const EMULATED_INSTRUCTIONS: &str = "insn_emulation";

/// Emulated instructions per round trip above which the emulator, not the CPU, sets the pace. Hardware virtualization
/// emulates none between the clock reads of a sample; what remains comes from the marks themselves.
const EMULATED_PER_ROUND_TRIP_MAX: f64 = 0.5;

/// The verdict on the ticks of a case: by the host that it ran on, and by what KVM did meanwhile.
pub fn judge(
    host: &HostRecord,
    case: &Parameters,
    kvm_stats: &BTreeMap<String, u64>,
    round_trips: u64,
) -> Timing {
    if let Some(problem) = &host.timing_problem
        && !(host.user_timing_is_native && stays_in_user_mode(case))
    {
        return Timing::invalid(problem);
    }
    let emulated = kvm_stats.get(EMULATED_INSTRUCTIONS).copied().unwrap_or(0);
    let per_round_trip = emulated as f64 / round_trips.max(1) as f64;
    if per_round_trip > EMULATED_PER_ROUND_TRIP_MAX {
        return Timing::invalid(format!("KVM emulated {per_round_trip:.1} instructions per round trip"));
    }
    Timing::with_doubts(host.timing_doubts.clone())
}

fn stays_in_user_mode(case: &Parameters) -> bool {
    case.workload.nature().does == Does::ReadsClock && !case.client.is_in_kernel()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::tests::parameters;
    use crate::system::placement::Placement;
    use crate::workload::{Call, Empty};
    fn stats(emulated: u64) -> BTreeMap<String, u64> {
        BTreeMap::from([(EMULATED_INSTRUCTIONS.to_owned(), emulated)])
    }

    #[test]
    fn hardware_is_trusted_until_kvm_emulates() {
        let (host, case) = (HostRecord::default(), parameters(&Call));
        assert_eq!(judge(&host, &case, &BTreeMap::new(), 100), Timing::Valid);
        assert_eq!(judge(&host, &case, &stats(50), 100), Timing::Valid);
        let spoilt = judge(&host, &case, &stats(5_000), 100);
        assert!(!spoilt.is_time() && spoilt.reasons()[0].contains("50.0 instructions"), "{spoilt:?}");
        assert!(!judge(&host, &case, &stats(5), 0).is_time());
        let doubtful = HostRecord { timing_doubts: vec!["turbo".to_owned()], ..host };
        assert_eq!(
            judge(&doubtful, &case, &stats(50), 100),
            Timing::Doubtful { reasons: vec!["turbo".to_owned()] }
        );
    }

    #[test]
    fn emulated_ring_0_spoils_all_but_what_stays_in_ring_3() {
        let host = HostRecord {
            timing_problem: Some("ring 0 is emulated".to_owned()),
            user_timing_is_native: true,
            ..HostRecord::default()
        };
        assert!(!judge(&host, &parameters(&Call), &stats(0), 100).is_time());
        assert_eq!(judge(&host, &parameters(&Empty), &stats(0), 100), Timing::Valid);
        let in_kernel = Parameters { client: Placement::Kernel, ..parameters(&Empty) };
        assert!(!judge(&host, &in_kernel, &stats(0), 100).is_time());
        let emulator = HostRecord { user_timing_is_native: false, ..host };
        assert!(!judge(&emulator, &parameters(&Empty), &stats(0), 100).is_time());
    }
}
