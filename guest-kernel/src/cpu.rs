//! One CPU's record: who runs, which space is resident, who is ready, what was counted.

use core::cell::Cell;

use abi::report::Counters;

use crate::arch;
use crate::endpoint::Endpoint;
use crate::kernel::Kernel;
use crate::schedule::ReadyQueue;
use crate::space::{PRESERVE_TLB, Space};
use crate::thread::{State, Thread};

/// Exact counters, as cells; see [`Counters`] for what each means.
#[derive(Default)]
#[repr(C)]
#[expect(missing_docs, reason = "documented in abi::report::Counters")]
pub struct CounterCells {
    /// Thread switches other than those of [`CounterCells::ipc_fast`].
    pub switches_slow: Cell<u64>,
    pub page_table_loads: Cell<u64>,
    pub page_table_loads_preserving_tlb: Cell<u64>,
    /// Full flushes other than those by page-table loads.
    pub tlb_full_flushes_alone: Cell<u64>,
    pub invlpg: Cell<u64>,
    pub frames_taken: Cell<u64>,
    pub frames_given_back: Cell<u64>,
    pub pages_remapped: Cell<u64>,
    pub ipc_fast: Cell<u64>,
    pub ipc_slow: Cell<u64>,
    pub ipc_direct: Cell<u64>,
    pub system_calls_not_ipc: Cell<u64>,
    pub ipis: Cell<u64>,
    pub timer_interrupts: Cell<u64>,
    pub faults: Cell<u64>,
    pub restarts: Cell<u64>,
    pub promotions: Cell<u64>,
    pub demotions: Cell<u64>,
}

/// Adds one to a counter.
#[inline]
pub fn count(counter: &Cell<u64>) {
    counter.set(counter.get().wrapping_add(1));
}

impl CounterCells {
    /// The counters as the report has them. The hot path counts as little as it can: each fast IPC is one switch, a switch
    /// either loads a page table or elides the load, a load either flushes the TLB or preserves it, and a system call is an
    /// IPC or not.
    pub fn snapshot(&self) -> Counters {
        let loads = self.page_table_loads.get();
        let preserving = self.page_table_loads_preserving_tlb.get();
        let switches = self.ipc_fast.get().wrapping_add(self.switches_slow.get());
        let (fast, slow, direct) = (self.ipc_fast.get(), self.ipc_slow.get(), self.ipc_direct.get());
        Counters {
            page_table_loads: loads,
            page_table_loads_elided: switches.wrapping_sub(loads),
            page_table_loads_preserving_tlb: preserving,
            tlb_full_flushes: self.tlb_full_flushes_alone.get().wrapping_add(loads).wrapping_sub(preserving),
            invlpg: self.invlpg.get(),
            frames_taken: self.frames_taken.get(),
            frames_given_back: self.frames_given_back.get(),
            pages_remapped: self.pages_remapped.get(),
            context_switches: switches,
            ipc_fast: fast,
            ipc_slow: slow,
            ipc_direct: direct,
            system_calls: fast
                .wrapping_add(slow)
                .wrapping_add(direct)
                .wrapping_add(self.system_calls_not_ipc.get()),
            ipis: self.ipis.get(),
            timer_interrupts: self.timer_interrupts.get(),
            faults: self.faults.get(),
            restarts: self.restarts.get(),
            promotions: self.promotions.get(),
            demotions: self.demotions.get(),
        }
    }
}

/// A CPU. All zero (as its memory is at boot) means: nobody runs, nobody is ready, nothing was counted.
#[derive(Default)]
#[repr(C)]
pub struct Cpu {
    /// Its own address, for assembly that reaches it through GS.
    pub this: Cell<Option<&'static Cpu>>,
    /// The thread that runs, or ran last before the CPU went idle.
    pub current: Cell<Option<&'static Thread>>,
    /// Where the kernel's stack ends: the stack pointer of kernel code that starts afresh.
    pub kernel_stack_end: Cell<u64>,
    /// The user space whose page table is loaded; `None` until the first is.
    pub resident: Cell<Option<&'static Space>>,
    /// The endpoint of the server whose direct entry the current thread is running, so that a fault is laid at the
    /// right door.
    pub direct: Cell<Option<&'static Endpoint>>,
    /// Index of this CPU, 0 for the first.
    pub index: Cell<u32>,
    /// What was counted.
    pub counters: CounterCells,
    /// Threads that could run here.
    pub ready: ReadyQueue,
    /// What all CPUs share.
    pub kernel: Cell<Option<&'static Kernel>>,
}

impl Cpu {
    /// Makes `next` the running thread, and loads its page table exactly if it has one and that is not the resident one
    /// (DESIGN.md, invariant 2). Counting the switch is the caller's affair.
    #[inline]
    pub fn switch_to(&self, next: &'static Thread) {
        next.state.set(State::Running);
        self.current.set(Some(next));
        if let Some(space) = next.space.get()
            && !self.resident.get().is_some_and(|resident| core::ptr::eq(resident, space))
        {
            self.load(space);
        }
    }

    #[inline]
    fn load(&self, space: &'static Space) {
        let value = space.take_load_value();
        self.resident.set(Some(space));
        count(&self.counters.page_table_loads);
        if value & PRESERVE_TLB != 0 {
            count(&self.counters.page_table_loads_preserving_tlb);
        }
        arch::load_page_table(value);
    }

    /// Makes a thread that was blocked ready.
    pub fn make_ready(&self, thread: &'static Thread) {
        self.ready.push_back(thread);
    }

    /// Decides who runs now, after a system call of `current` that may have blocked it or made others ready, and makes
    /// that thread the running one. `preferred` (the partner that just got a message, ready too) runs before others of
    /// its priority. Waits for an interrupt when nobody can run.
    pub fn reschedule(
        &self,
        current: &'static Thread,
        preferred: Option<&'static Thread>,
    ) -> &'static Thread {
        if current.state.get() == State::Running {
            let higher = self.ready.occupied() >> current.priority() >> 1;
            if higher == 0 {
                self.arm_timer_if_shared(current);
                return current;
            }
            self.ready.push_front(current);
        }
        if let Some(preferred) = preferred
            && preferred.state.get() == State::Ready
        {
            self.ready.remove(preferred);
            self.ready.push_front(preferred);
        }
        self.run_next()
    }

    /// Takes the first ready thread, waiting for one if need be, and makes it the running one.
    pub fn run_next(&self) -> &'static Thread {
        let next = loop {
            match self.ready.pop() {
                Some(next) => break next,
                None => arch::idle(self),
            }
        };
        // Whoever interrupts or ends its call and goes on without another in between was not switched away from.
        if self.current.get().is_some_and(|current| core::ptr::eq(current, next)) {
            next.state.set(State::Running);
        } else {
            count(&self.counters.switches_slow);
            self.switch_to(next);
        }
        self.arm_timer_if_shared(next);
        next
    }

    /// Arms the timer if another thread of the running one's priority is ready: the only case for a time slice.
    fn arm_timer_if_shared(&self, running: &Thread) {
        let shared = self.ready.occupied() >> running.priority() & 1 != 0;
        if shared && !self.ready.set_time_slice(true) {
            arch::arm_timer();
        }
    }

    /// The timer has interrupted `current`, whose registers are in its context: another one of its priority gets its
    /// turn. Returns the thread that runs next.
    pub fn time_slice_over(&self, current: &'static Thread) -> &'static Thread {
        count(&self.counters.timer_interrupts);
        self.ready.set_time_slice(false);
        if self.ready.occupied() >> current.priority() == 0 {
            return current;
        }
        self.ready.push_back(current);
        self.run_next()
    }

    /// The timer has interrupted the idle CPU: its slice was that of a thread that has blocked since.
    pub fn timer_fired_while_idle(&self) {
        count(&self.counters.timer_interrupts);
        self.ready.set_time_slice(false);
    }

    /// Stops the timer if nobody is ready whom it could serve: its slice was that of a thread that has blocked since.
    pub fn stop_unneeded_timer(&self, running: &Thread) {
        if self.ready.occupied() >> running.priority() == 0 && self.ready.set_time_slice(false) {
            arch::stop_timer();
        }
    }
}
