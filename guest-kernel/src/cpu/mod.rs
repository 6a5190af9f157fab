//! One CPU's record: who runs, which space is resident, who is ready, what was counted, what other CPUs want.
//!
//! Only its own CPU touches it, with three exceptions: anybody may post letters, anybody may read the counters, and whoever
//! has all others stand still ([`crate::smp::world`]) may do everything.

pub mod cause;
pub mod kernel;
pub mod run_queue;

use core::cell::Cell;

use abi::report::Counters;

use crate::arch;
use crate::cpu::cause::{BorrowedTurn, SwitchCells, Switching};
use crate::cpu::kernel::Kernel;
use crate::cpu::run_queue::ReadyQueue;
use crate::ipc::remote;
use crate::object::endpoint::Endpoint;
use crate::object::server::Server;
use crate::object::space::{PRESERVE_TLB, Space};
use crate::object::thread::{State, Thread};
use crate::smp::world;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::mailbox::Mailbox;
use crate::sync::rendezvous::Seat;

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
    /// Identifier of its local APIC.
    pub apic_id: Cell<u32>,
    /// Threads that come home, or bring a message for a server here.
    pub letters: Mailbox<Thread>,
    /// Endpoints here that have got notification bits from other CPUs.
    pub notified: Mailbox<Endpoint>,
    /// Its place where all CPUs but one stand still.
    pub seat: Seat,
    /// A server that has proved stable, and moves into the kernel as soon as this CPU leaves it.
    pub promotion: Cell<Option<&'static Server>>,
    /// Whether it stands still, and what is its own is another CPU's. Only this one touches this and the next two.
    pub stands_still: Cell<bool>,
    /// Interrupts that it has sent while it stood still.
    pub ipis_not_counted: Cell<u64>,
    /// Whether the timer has fired while it stood still.
    pub missed_timer: Cell<bool>,
    /// 1 once the report has what was counted up to the end of the measured part.
    pub end_is_noted: AtomicU32,
    /// The turn that a time slice has taken from a thread here.
    pub borrowed_turn: BorrowedTurn,
}

impl Cpu {
    /// Makes `next` the running thread, and loads its page table exactly if it has one and that is not the resident one
    /// (docs/invariants.md, 2). Counting the switch is the caller's affair.
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

    /// Makes a thread that was blocked ready, or sends it home if it is another CPU's. In that case nobody here may touch
    /// it any more.
    pub fn make_ready(&self, thread: &'static Thread) {
        thread.queued_at.set(None);
        if thread.cpu.get() == self.index.get() {
            thread.is_away.set(false);
            self.ready.push_back(thread);
        } else {
            self.post(thread.cpu.get(), thread);
        }
    }

    /// Gives a thread that is in no queue to another CPU.
    pub fn post(&self, cpu: u32, thread: &'static Thread) {
        self.with_cpu(cpu, |target| target.letters.post(thread));
    }

    /// Gives an endpoint with new notification bits to its CPU.
    pub fn post_notification(&self, endpoint: &'static Endpoint) {
        self.with_cpu(endpoint.cpu.get(), |target| target.notified.post(endpoint));
    }

    /// The CPU that a thread runs on.
    pub fn of(&'static self, thread: &Thread) -> &'static Cpu {
        self.kernel.get().and_then(|kernel| kernel.cpu(thread.cpu.get())).unwrap_or(self)
    }

    /// Posts to another CPU, and interrupts it if it has to be told.
    fn with_cpu(&self, cpu: u32, post: impl FnOnce(&Cpu) -> bool) {
        let Some(target) = self.kernel.get().and_then(|kernel| kernel.cpu(cpu)) else { return };
        if post(target) {
            self.interrupt(target);
        }
    }

    /// Has another CPU look what it is wanted for ([`Cpu::attend`]).
    pub fn interrupt(&self, target: &Cpu) {
        count(&self.counters.ipis);
        arch::interrupt_cpu(target);
    }

    /// Waits for interrupts until `is_done`. One of them may have been for something else: it comes again.
    pub fn wait_until(&self, is_done: impl Fn() -> bool) {
        while !is_done() {
            arch::wait_for_interrupt();
        }
        self.look_again();
    }

    /// Has this CPU interrupted again if it is wanted for anything ([`Cpu::attend`]): whoever has waited for one thing may
    /// have taken the interrupt that was for another.
    pub fn look_again(&self) {
        if self.promotion.get().is_some() || world::is_wanted(self) {
            self.interrupt(self);
        }
    }

    /// Does what other CPUs want of this one: stands still for one of them, takes letters. Its own thread, if one was
    /// running, must have all its state in its context; it runs on only if it is still `current`. False if nothing was
    /// wanted.
    pub fn attend(&'static self) -> bool {
        let stood_still = world::stand_still_if_called(self);
        let promoted = world::promote_now(self);
        if stood_still || promoted {
            self.because_of_lifecycle(|| self.look_at_current_again());
        }
        self.take_letters() || stood_still || promoted
    }

    /// Takes all letters. False if there were none.
    pub fn take_letters(&'static self) -> bool {
        let mut any = false;
        for thread in self.letters.collect() {
            any = true;
            remote::arrive(self, thread);
        }
        for endpoint in self.notified.collect() {
            any = true;
            remote::take_notification(self, endpoint);
        }
        any
    }

    /// While this CPU stood still, its current thread may have ended, gone to another CPU, or moved to another space.
    fn look_at_current_again(&self) {
        let Some(current) = self.current.get() else { return };
        if current.cpu.get() != self.index.get() || current.state.get() != State::Running {
            self.current.set(None);
        } else if let Some(space) = current.space.get()
            && !self.resident.get().is_some_and(|resident| core::ptr::eq(resident, space))
        {
            self.load(space);
        }
    }

    /// Another CPU has interrupted this one, while a thread ran whose registers are in its context. Returns the thread that
    /// runs next.
    pub fn interrupted(&'static self) -> &'static Thread {
        self.attend();
        match self.current.get() {
            Some(current) => self.reschedule(current, None),
            // Its server was stopped or moved meanwhile.
            None => self.because_of_lifecycle(|| self.run_next()),
        }
    }

    /// Decides who runs now, after a system call of `current` that may have blocked it or made others ready, and makes
    /// that thread the running one. `preferred` (the partner that just got a message, ready too) runs before others of
    /// its priority. Waits for an interrupt when nobody can run.
    pub fn reschedule(
        &'static self,
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
            return self.run_next();
        }
        if let Some(preferred) = preferred
            && preferred.state.get() == State::Ready
        {
            self.ready.remove(preferred);
            self.ready.push_front(preferred);
            return self.run_next();
        }
        self.run_next_instead_of(current)
    }

    /// As [`Cpu::run_next`], after `blocked` has left the CPU to whoever is ready, and to nobody in particular. It may be out
    /// of reach.
    pub fn run_next_instead_of(&'static self, blocked: &'static Thread) -> &'static Thread {
        if !self.borrowed_turn.is_with(blocked) {
            return self.run_next();
        }
        let next = self.because_of(&self.counters.by_preemption, || self.run_next());
        self.borrowed_turn.pass(blocked, next);
        next
    }

    /// Takes the first ready thread, waiting for one if need be, and makes it the running one.
    pub fn run_next(&'static self) -> &'static Thread {
        let next = loop {
            if let Some(next) = self.ready.pop() {
                break next;
            }
            if !self.attend() {
                arch::idle(self);
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

    /// Begins a time slice if another thread of the running one's priority is ready: the only case for one. The timer ends it,
    /// unless the plan has it last until the running thread blocks.
    fn arm_timer_if_shared(&self, running: &Thread) {
        let shared = self.ready.occupied() >> running.priority() & 1 != 0;
        let has_end = || self.kernel.get().is_none_or(|kernel| kernel.has_time_slices);
        if shared && !self.ready.set_time_slice(true) && has_end() {
            arch::arm_timer();
        }
    }

    /// The timer has interrupted `current`, whose registers are in its context: another one of its priority gets its
    /// turn. Returns the thread that runs next.
    pub fn time_slice_over(&'static self, current: &'static Thread) -> &'static Thread {
        count(&self.counters.timer_interrupts);
        self.ready.set_time_slice(false);
        if self.ready.occupied() >> current.priority() == 0 {
            return current;
        }
        count(&self.counters.preemptions);
        self.ready.push_back(current);
        let next = self.because_of(&self.counters.by_preemption, || self.run_next());
        self.borrowed_turn.take(current, next);
        next
    }

    /// The timer has interrupted the idle CPU: its slice was that of a thread that has blocked since. While the CPU stands
    /// still its queues are out of reach, so that is only noted.
    pub fn timer_fired_while_idle(&self) {
        if self.stands_still.get() {
            return self.missed_timer.set(true);
        }
        count(&self.counters.timer_interrupts);
        self.ready.set_time_slice(false);
    }

    /// Stops the timer if nobody is ready whom it could serve: its slice was that of a thread that has blocked since.
    pub fn stop_unneeded_timer(&self, running: &Thread) {
        if self.ready.occupied() >> running.priority() == 0 && self.ready.set_time_slice(false) {
            arch::stop_timer(self);
        }
    }
}
