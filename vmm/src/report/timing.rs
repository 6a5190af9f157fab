//! Whether cycles are hardware timing.

use super::record::HostRecord;
use crate::experiment::case::Parameters;
use crate::experiment::parameter::{Placement, Workload};

/// KVM's statistic of instructions that it emulated.
const EMULATED_INSTRUCTIONS: &str = "insn_emulation";

/// Emulated instructions per round trip above which the emulator, not the CPU, sets the pace. Hardware virtualization
/// emulates none between the clock reads of a sample; what remains comes from the marks themselves.
const EMULATED_PER_ROUND_TRIP_MAX: f64 = 0.5;

/// Why the cycles of a case are no hardware timing; `None` when they are.
pub fn problem(
    host: &HostRecord,
    case: &Parameters,
    kvm_stats: &std::collections::BTreeMap<String, u64>,
    round_trips: u64,
) -> Option<String> {
    if let Some(problem) = &host.timing_problem
        && !(host.user_timing_is_native && stays_in_user_mode(case))
    {
        return Some(problem.clone());
    }
    let emulated = *kvm_stats.get(EMULATED_INSTRUCTIONS)?;
    let per_round_trip = emulated as f64 / round_trips.max(1) as f64;
    (per_round_trip > EMULATED_PER_ROUND_TRIP_MAX).then(|| {
        format!("KVM emulated {per_round_trip:.1} instructions per round trip: cycle figures are not hardware timing")
    })
}

fn stays_in_user_mode(case: &Parameters) -> bool {
    case.workload == Workload::Empty && case.client != Placement::Kernel
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::tests::parameters;
    use std::collections::BTreeMap;

    fn stats(emulated: u64) -> BTreeMap<String, u64> {
        BTreeMap::from([(EMULATED_INSTRUCTIONS.to_owned(), emulated)])
    }

    #[test]
    fn hardware_is_trusted_until_kvm_emulates() {
        let (host, case) = (HostRecord::default(), parameters(Workload::Call));
        assert_eq!(problem(&host, &case, &BTreeMap::new(), 100), None);
        assert_eq!(problem(&host, &case, &stats(50), 100), None);
        assert!(problem(&host, &case, &stats(5_000), 100).unwrap().contains("50.0 instructions"));
        assert!(problem(&host, &case, &stats(5), 0).is_some());
    }

    #[test]
    fn emulated_ring_0_spoils_all_but_what_stays_in_ring_3() {
        let host = HostRecord {
            timing_problem: Some("ring 0 is emulated".to_owned()),
            user_timing_is_native: true,
            ..HostRecord::default()
        };
        assert!(problem(&host, &parameters(Workload::Call), &stats(0), 100).is_some());
        assert_eq!(problem(&host, &parameters(Workload::Empty), &stats(0), 100), None);
        let in_kernel = Parameters { client: Placement::Kernel, ..parameters(Workload::Empty) };
        assert!(problem(&host, &in_kernel, &stats(0), 100).is_some());
        let emulator = HostRecord { user_timing_is_native: false, ..host };
        assert!(problem(&emulator, &parameters(Workload::Empty), &stats(0), 100).is_some());
    }
}
