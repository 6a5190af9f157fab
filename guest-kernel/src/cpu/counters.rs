//! What a CPU counts.

use abi::report::Counters;

use super::cause::{SwitchCells, Switching};
use crate::sync::atomic::{AtomicU64, Ordering};

/// A counter that its own CPU changes, without a lock, and that any CPU may read.
#[derive(Default)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Its value.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds to it.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0.store(self.get().wrapping_add(amount), Ordering::Relaxed);
    }
}

/// Exact counters; see [`Counters`] for what each means.
#[derive(Default)]
#[repr(C)]
#[expect(missing_docs, reason = "documented in abi::report::Counters")]
pub struct CounterCells {
    /// Thread switches other than those of [`CounterCells::ipc_fast`].
    pub switches_slow: Counter,
    pub page_table_loads: Counter,
    pub page_table_loads_preserving_tlb: Counter,
    /// Full flushes other than those by page-table loads.
    pub tlb_full_flushes_alone: Counter,
    pub invlpg: Counter,
    pub frames_taken: Counter,
    pub frames_given_back: Counter,
    pub pages_remapped: Counter,
    pub ipc_fast: Counter,
    pub ipc_slow: Counter,
    pub ipc_remote: Counter,
    pub ipc_direct: Counter,
    pub system_calls_not_ipc: Counter,
    pub ipis: Counter,
    pub standstills: Counter,
    pub shootdowns: Counter,
    pub timer_interrupts: Counter,
    pub faults: Counter,
    pub restarts: Counter,
    pub promotions: Counter,
    pub demotions: Counter,
    pub threads_ended: Counter,
    pub segment_loads: Counter,
    /// Time slices that ended a thread's turn.
    pub preemptions: Counter,
    /// Of the switches and page-table loads, those of preemption.
    pub by_preemption: SwitchCells,
    /// Of the switches and page-table loads, those of servers that start, stop, end or move.
    pub by_lifecycle: SwitchCells,
}

/// Adds one to a counter.
#[inline]
pub fn count(counter: &Counter) {
    counter.add(1);
}

impl CounterCells {
    /// Switches and page-table loads, for whatever reason. Each fast IPC is one switch.
    pub fn switching(&self) -> Switching {
        Switching {
            switches: self.ipc_fast.get().wrapping_add(self.switches_slow.get()),
            loads: self.page_table_loads.get(),
            loads_preserving_tlb: self.page_table_loads_preserving_tlb.get(),
        }
    }

    /// The counters as the report has them. The hot path counts as little as it can: each fast IPC is one switch, a switch
    /// either loads a page table or elides the load, a load either flushes the TLB or preserves it, and a system call is an
    /// IPC or not.
    pub fn snapshot(&self) -> Counters {
        let Switching { switches, loads, loads_preserving_tlb: preserving } = self.switching();
        let (preemption, lifecycle) = (self.by_preemption.get(), self.by_lifecycle.get());
        let (fast, slow, direct) = (self.ipc_fast.get(), self.ipc_slow.get(), self.ipc_direct.get());
        Counters {
            page_table_loads: loads,
            page_table_loads_elided: switches.wrapping_sub(loads),
            page_table_loads_preserving_tlb: preserving,
            segment_loads: self.segment_loads.get(),
            tlb_full_flushes: self.tlb_full_flushes_alone.get().wrapping_add(loads).wrapping_sub(preserving),
            invlpg: self.invlpg.get(),
            frames_taken: self.frames_taken.get(),
            frames_given_back: self.frames_given_back.get(),
            pages_remapped: self.pages_remapped.get(),
            context_switches: switches,
            ipc_fast: fast,
            ipc_slow: slow,
            ipc_remote: self.ipc_remote.get(),
            ipc_direct: direct,
            system_calls: fast
                .wrapping_add(slow)
                .wrapping_add(direct)
                .wrapping_add(self.system_calls_not_ipc.get()),
            ipis: self.ipis.get(),
            standstills: self.standstills.get(),
            shootdowns: self.shootdowns.get(),
            timer_interrupts: self.timer_interrupts.get(),
            faults: self.faults.get(),
            restarts: self.restarts.get(),
            promotions: self.promotions.get(),
            demotions: self.demotions.get(),
            threads_ended: self.threads_ended.get(),
            preemptions: self.preemptions.get(),
            context_switches_by_preemption: preemption.switches,
            page_table_loads_by_preemption: preemption.loads,
            page_table_loads_preserving_tlb_by_preemption: preemption.loads_preserving_tlb,
            context_switches_by_lifecycle: lifecycle.switches,
            page_table_loads_by_lifecycle: lifecycle.loads,
            page_table_loads_preserving_tlb_by_lifecycle: lifecycle.loads_preserving_tlb,
        }
    }
}
