//! CPUs: who runs, which space is resident, who is ready, what was counted, what other CPUs want.
//!
//! A [`Cpu`] belongs to the code that it executes, and so does all that is reached through a `&Cpu`, with one exception: whoever
//! has stopped all other CPUs ([`world::Alone`]) may use all of them. What others may touch at any time is a part of its own, the
//! [`port::CpuPort`].

pub mod cause;
pub mod counters;
pub mod kernel;
pub mod offset;
pub mod port;
pub mod run_queue;
pub mod tlb;
#[allow(unsafe_code)]
pub mod world;

use core::cell::Cell;
use core::ptr;

use cause::BorrowedTurn;
use counters::{CounterCells, count};
use kernel::Kernel;
use port::CpuPort;
use run_queue::RunQueue;

use crate::arch;
use crate::object::endpoint::Endpoint;
use crate::object::server::Server;
use crate::object::space::{PRESERVE_TLB, Space};
use crate::object::thread::Thread;

/// A CPU. All zero (as its memory is at boot) means: nobody runs, nobody is ready, nothing was counted.
#[derive(Default)]
#[repr(C)]
pub struct Cpu {
    /// Its own address, for assembly that reaches it through GS.
    this: Cell<Option<&'static Cpu>>,
    /// The thread that runs, or ran last before the CPU went idle.
    current: Cell<Option<&'static Thread>>,
    /// Where the kernel's stack ends: the stack pointer of kernel code that starts afresh.
    kernel_stack_end: Cell<u64>,
    /// The user space whose page table is loaded; `None` until the first is.
    resident: Cell<Option<&'static Space>>,
    /// The endpoint of the server whose direct entry the current thread is running: a fault is that server's.
    direct: Cell<Option<&'static Endpoint>>,
    /// What other CPUs may touch.
    port: CpuPort,
    /// Threads that could run here.
    ready: RunQueue,
    /// What all CPUs share.
    kernel: Cell<Option<&'static Kernel>>,
    /// A server that has proved stable, and moves into the kernel as soon as this CPU leaves it.
    promotion: Cell<Option<&'static Server>>,
    /// Whether it has stopped, and what is its own is another CPU's. Only this one touches this and the next two.
    has_stopped: Cell<bool>,
    /// Interrupts that it has sent while it had stopped.
    ipis_not_counted: Cell<u64>,
    /// Whether the timer has fired while it had stopped.
    missed_timer: Cell<bool>,
    /// The turn that a time slice has taken from a thread here.
    borrowed_turn: BorrowedTurn,
}

impl Cpu {
    /// Says which CPU it is. Once, on itself.
    pub fn set_up(&'static self, index: u32, kernel_stack_end: u64) {
        self.this.set(Some(self));
        self.port.set_index(index);
        self.kernel_stack_end.set(kernel_stack_end);
    }

    /// Says what its local APIC is called.
    pub fn set_apic_id(&self, apic_id: u32) {
        self.port.set_apic_id(apic_id);
    }

    /// Makes it one of the CPUs of a kernel.
    pub fn set_kernel(&self, kernel: &'static Kernel) {
        self.kernel.set(Some(kernel));
        // Whoever shares a priority then waits until the running thread blocks, as it otherwise waits for the timer.
        self.ready.set_time_slice(!kernel.settings.has_time_slices);
    }

    /// What all CPUs share; `None` until the plan is being loaded.
    #[inline]
    pub fn kernel(&self) -> Option<&'static Kernel> {
        self.kernel.get()
    }

    /// Index of this CPU, 0 for the first.
    #[inline]
    pub fn index(&self) -> u32 {
        self.port.index()
    }

    /// What other CPUs may touch of it.
    pub fn port(&self) -> &CpuPort {
        &self.port
    }

    /// What it counts.
    #[inline]
    pub fn counters(&self) -> &CounterCells {
        &self.port.counters
    }

    /// Threads that could run here.
    #[inline]
    pub fn ready(&self) -> &RunQueue {
        &self.ready
    }

    /// The turn that a time slice has taken from a thread here.
    pub fn borrowed_turn(&self) -> &BorrowedTurn {
        &self.borrowed_turn
    }

    /// Where the kernel's stack ends.
    pub fn kernel_stack_end(&self) -> &Cell<u64> {
        &self.kernel_stack_end
    }

    /// The thread that runs, or ran last before the CPU went idle.
    pub fn current(&self) -> Option<&'static Thread> {
        self.current.get()
    }

    /// Whether `thread` is the one that runs here.
    pub fn is_current(&self, thread: &Thread) -> bool {
        self.current().is_some_and(|current| ptr::eq(current, thread))
    }

    /// Whether the thread that runs here is one of `server`.
    pub fn runs(&self, server: &Server) -> bool {
        self.current().is_some_and(|current| ptr::eq(current.server, server))
    }

    /// Whoever runs next, even the current thread itself, is switched to.
    pub fn forget_current(&self) {
        self.current.set(None);
    }

    /// Whether the page table of `space` is loaded.
    #[inline]
    pub fn has_resident(&self, space: &Space) -> bool {
        self.resident.get().is_some_and(|resident| ptr::eq(resident, space))
    }

    /// The server whose direct entry the current thread is running.
    pub fn direct_server(&self) -> Option<&'static Server> {
        self.direct.get()?.server()
    }

    /// The current thread has left the direct entry that it was running.
    pub fn leave_direct_entry(&self) {
        self.direct.set(None);
    }

    /// Makes `next` the running thread, and loads its page table exactly if it has one and that is not the resident one
    /// (docs/invariants.md, 2). Counting the switch is the caller's affair.
    #[inline]
    pub fn switch_to(&self, next: &'static Thread) {
        next.set_running();
        self.current.set(Some(next));
        if let Some(space) = next.space()
            && !self.has_resident(space)
        {
            self.load(space);
        }
    }

    #[inline]
    fn load(&self, space: &'static Space) {
        let value = space.take_load_value();
        self.resident.set(Some(space));
        count(&self.counters().page_table_loads);
        if value & PRESERVE_TLB != 0 {
            count(&self.counters().page_table_loads_preserving_tlb);
        }
        arch::load_page_table(value);
    }

    /// While this CPU had stopped, its current thread may have ended, gone to another CPU, or moved to another space.
    pub fn look_at_current_again(&self) {
        let Some(current) = self.current() else { return };
        if current.cpu() != self.index() || !current.is_running() {
            self.forget_current();
        } else if let Some(space) = current.space()
            && !self.has_resident(space)
        {
            self.load(space);
        }
    }

    /// Makes a thread that was blocked ready, or sends it home if it is another CPU's. In that case nobody here may touch
    /// it any more.
    pub fn make_ready(&self, thread: &'static Thread) {
        if thread.come_back_to(self.index()) {
            self.ready.push_back(thread);
        } else {
            self.post(thread.cpu(), thread);
        }
    }

    /// Gives a thread that is in no queue to another CPU.
    pub fn post(&self, cpu: u32, thread: &'static Thread) {
        self.tell(cpu, |port| port.post(thread));
    }

    /// Gives an endpoint with new notification bits to its CPU.
    pub fn post_notification(&self, endpoint: &'static Endpoint) {
        self.tell(endpoint.cpu(), |port| port.post_notification(endpoint));
    }

    /// Posts to another CPU, and interrupts it if it has to be told.
    fn tell(&self, cpu: u32, post: impl FnOnce(&CpuPort) -> bool) {
        let kernel = self.kernel().expect("other CPUs have been found");
        let port = kernel.cpus.port(cpu);
        if post(port) {
            self.interrupt(port);
        }
    }

    /// The threads that have come to this CPU.
    pub fn take_arrivals(&self) -> impl Iterator<Item = &'static Thread> {
        self.port.arrivals()
    }

    /// The endpoints here that have got notification bits from other CPUs.
    pub fn take_notified(&self) -> impl Iterator<Item = &'static Endpoint> {
        self.port.notified()
    }

    /// Has another CPU look what it is wanted for, or this one once it leaves the kernel.
    pub fn interrupt(&self, target: &CpuPort) {
        count(&self.counters().ipis);
        arch::interrupt_cpu(target.apic_id());
    }

    /// The same, by a CPU that may have stopped: then its counters are another one's.
    pub fn interrupt_though_stopped(&self, target: &CpuPort) {
        if self.has_stopped.get() {
            self.ipis_not_counted.set(self.ipis_not_counted.get() + 1);
            arch::interrupt_cpu(target.apic_id());
        } else {
            self.interrupt(target);
        }
    }

    /// Waits for interrupts until `is_done`. One of them may have been for something else: it comes again.
    pub fn wait_until(&self, is_done: impl Fn() -> bool) {
        while !is_done() {
            arch::wait_for_interrupt();
        }
        self.look_again();
    }

    /// Has this CPU interrupted again if it is wanted for anything: whoever has waited for one thing may have taken the interrupt
    /// that was for another.
    pub fn look_again(&self) {
        if self.promotion.get().is_some() || self.is_wanted() {
            self.interrupt(&self.port);
        }
    }

    /// Whether another CPU wants something of this one: that it stops, or that it takes threads or notification bits.
    fn is_wanted(&self) -> bool {
        let is_called = |kernel: &Kernel| kernel.world.rendezvous.is_called(self.port.attendance());
        self.port.has_arrivals() || self.kernel().is_some_and(is_called)
    }

    /// Has a server move into the kernel as soon as this CPU leaves it. False if another one is to do so.
    #[must_use]
    pub fn promote_later(&self, server: &'static Server) -> bool {
        let is_free = self.promotion.get().is_none();
        if is_free {
            self.promotion.set(Some(server));
            self.interrupt(&self.port);
        }
        is_free
    }

    /// Takes the server that is to move into the kernel, if there is one.
    pub fn take_promotion(&self) -> Option<&'static Server> {
        self.promotion.take()
    }

    /// Gives all that is its own to the CPU that has called it.
    pub fn give_away(&self) {
        count(&self.counters().standstills);
        self.has_stopped.set(true);
    }

    /// Takes back what is its own.
    pub fn take_back(&self) {
        self.has_stopped.set(false);
        self.counters().ipis.add(self.ipis_not_counted.take());
        if self.missed_timer.take() {
            self.timer_fired_while_idle();
        }
    }

    /// The timer has interrupted the idle CPU: its slice was that of a thread that has blocked since. While the CPU has stopped,
    /// its queues are out of reach, so that is only noted.
    pub fn timer_fired_while_idle(&self) {
        if self.has_stopped.get() {
            return self.missed_timer.set(true);
        }
        count(&self.counters().timer_interrupts);
        self.ready.set_time_slice(false);
    }

    /// Whether the timer will interrupt this CPU: it ends a time slice that is running.
    pub fn awaits_timer(&self) -> bool {
        self.ready.has_time_slice() && self.kernel().is_none_or(|kernel| kernel.settings.has_time_slices)
    }

    /// Stops the timer if nobody is ready whom it could serve: its slice was that of a thread that has blocked since.
    pub fn stop_unneeded_timer(&self, running: &Thread) {
        if self.ready.occupied() >> running.priority() == 0 && self.awaits_timer() {
            self.ready.set_time_slice(false);
            arch::stop_timer();
            // Not STI, NOP, CLI: a KVM that emulates ring 0 looks for interrupts only now and then.
            self.wait_until(|| !arch::timer_is_pending());
        }
    }
}

#[cfg(test)]
impl Cpu {
    /// A CPU on which `thread` runs, its space resident, without a switch to it.
    pub fn running(thread: &'static Thread) -> Cpu {
        thread.set_running();
        Cpu { current: Cell::new(Some(thread)), resident: Cell::new(thread.space()), ..Cpu::default() }
    }
}
