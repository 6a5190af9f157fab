//! What preemption has added to a record's counts: that is the machine's speed and load, not the round trip's.

use crate::record::run::CaseRecord;

impl CaseRecord {
    /// A counter per round trip, without what preemption has added: that is the machine's speed and load, not the round
    /// trip's.
    pub fn without_preemption(&self, counter: &str) -> Option<f64> {
        let total = |name: &str| self.counters.get(name).map_or(0, |count| count.total);
        let loads = total("page_table_loads_by_preemption");
        let added = match counter {
            "page_table_loads" => loads,
            "page_table_loads_elided" => total("context_switches_by_preemption").saturating_sub(loads),
            "page_table_loads_preserving_tlb" => total("page_table_loads_preserving_tlb_by_preemption"),
            "tlb_full_flushes" => {
                loads.saturating_sub(total("page_table_loads_preserving_tlb_by_preemption"))
            }
            "context_switches" => total("context_switches_by_preemption"),
            _ => 0,
        };
        match added {
            0 => self.per_round_trip(counter),
            _ => Some(total(counter).saturating_sub(added) as f64 / self.round_trips.max(1) as f64),
        }
    }
}
