//! Changing what all CPUs use, while all but one stand still.
//!
//! Migration, starting and stopping of servers, and the end of a server whose threads have to do with other CPUs are rare and
//! touch everything: page tables, placements, queues. They run while the other CPUs stand still ([`crate::sync::rendezvous`]), so
//! they are written as if there were one CPU, and nothing on the paths of IPC, scheduling and faults pays for them.

use core::cell::Cell;
use core::ptr;

use abi::plan::PARTNERS_MAX;

use crate::arch;
use crate::cpu::kernel::Kernel;
use crate::cpu::{Cpu, count};
use crate::lifecycle::death;
use crate::lifecycle::migrate;
use crate::object::server::Server;
use crate::smp::flush::{self, Forget};
use crate::sync::mailbox::Mailbox;
use crate::sync::rendezvous::{Party, Rendezvous, Seat};

/// What the CPUs need to stand still and to flush for one of them.
#[derive(Default)]
pub struct World {
    meeting: Rendezvous,
    /// Servers that have ended, and whose memory nobody has given back yet.
    buried: Mailbox<Server>,
    /// What the conductor wants forgotten.
    forget: Cell<Forget>,
}

/// That all other CPUs stand still, or that there are none: what changes things that all of them use asks for it. Only [`stop`]
/// makes one.
pub struct Alone {
    cpu: &'static Cpu,
}

impl Alone {
    /// The CPU that does not stand still.
    pub fn cpu(&self) -> &'static Cpu {
        self.cpu
    }
}

/// Most servers in one change: one and its group.
pub const SERVERS_MAX: usize = PARTNERS_MAX + 1;

/// Does `change` while all other CPUs stand still. Whoever asks for it must have the right to it, which the caller checks. The
/// current thread may have ended, or gone to another CPU, before: what `change` relies on it must check itself.
pub fn stop<T>(cpu: &'static Cpu, change: impl FnOnce(&Alone) -> T) -> T {
    let alone = Alone { cpu };
    let Some(world) = shared_world(cpu) else { return change(&alone) };
    world.meeting.gather(cpu);
    // A letter may lead to another one; each is one step nearer to a queue. Then no thread is on its way.
    while cpu.others().fold(cpu.take_letters(), |any, other| any | other.take_letters()) {}
    for server in world.buried.collect() {
        death::give_back(&alone, server);
    }
    let result = change(&alone);
    // Waiting may have taken the interrupt that was to remind of a promotion. Nobody else can want anything before the release.
    cpu.look_again();
    world.meeting.release(cpu);
    result
}

/// Leaves the memory of a server that has ended to whoever has all CPUs stand still next: only then it is given out again.
pub fn take_away_later(cpu: &Cpu, server: &'static Server) {
    if let Some(kernel) = cpu.kernel.get() {
        // Nobody sleeps on this mailbox.
        let _ = kernel.world.buried.post(server);
    }
}

/// Moves a server that has proved stable into the kernel: at once, or, if there are other CPUs, by an interrupt as soon as
/// this CPU leaves the kernel.
pub fn promote_soon(cpu: &'static Cpu, server: &'static Server) {
    if !migrate::may_be_promoted(server) {
        return;
    }
    if shared_world(cpu).is_none() {
        stop(cpu, |alone| migrate::promote(alone, server));
    } else if cpu.promotion.get().is_none() {
        cpu.promotion.set(Some(server));
        cpu.interrupt(cpu);
    } else {
        server.policy.start_over();
    }
}

/// Moves the server that is to move into the kernel, if there is one. Nothing may be open in this CPU's kernel.
pub fn promote_now(cpu: &'static Cpu) -> bool {
    let Some(server) = cpu.promotion.take() else { return false };
    stop(cpu, |alone| migrate::promote(alone, server));
    true
}

/// Has those of the other CPUs that `concerns` forget TLB entries, and waits until they have.
pub fn shoot_down(alone: &Alone, forget: Forget, concerns: impl Fn(&'static Cpu) -> bool) {
    let Some(world) = shared_world(alone.cpu) else { return };
    world.forget.set(forget);
    world.meeting.have_done(alone.cpu, concerns);
}

/// Stands still until released, if another CPU wants that. False if none does.
pub fn stand_still_if_called(cpu: &'static Cpu) -> bool {
    cpu.kernel.get().is_some_and(|kernel| kernel.world.meeting.stand_still_if_called(cpu))
}

/// Whether another CPU wants something of this one: that it stands still, or that it takes letters.
pub fn is_wanted(cpu: &Cpu) -> bool {
    let is_called = |kernel: &Kernel| kernel.world.meeting.is_called(&cpu.seat);
    !cpu.letters.is_empty() || !cpu.notified.is_empty() || cpu.kernel.get().is_some_and(is_called)
}

/// The world, if there is any other CPU in it.
fn shared_world(cpu: &Cpu) -> Option<&'static World> {
    cpu.kernel.get().filter(|kernel| kernel.cpus.len() > 1).map(|kernel| &kernel.world)
}

impl Party for &'static Cpu {
    fn index(self) -> u32 {
        self.index.get()
    }

    fn seat(self) -> &'static Seat {
        &self.seat
    }

    fn others(self) -> impl Iterator<Item = &'static Cpu> {
        let cpus = self.kernel.get().map_or(&[][..], |kernel| kernel.cpus);
        cpus.iter().copied().filter(move |other| !ptr::eq(*other, self))
    }

    fn with_index(self, index: u32) -> Option<&'static Cpu> {
        self.kernel.get()?.cpu(index)
    }

    fn interrupt(self, target: &'static Cpu) {
        if self.stands_still.get() {
            self.ipis_not_counted.set(self.ipis_not_counted.get() + 1);
            arch::interrupt_cpu(target);
        } else {
            Cpu::interrupt(self, target);
        }
    }

    fn wait_for_interrupt(self) {
        arch::wait_for_interrupt();
    }

    fn attend(self) -> bool {
        Cpu::attend(self)
    }

    fn work(self) {
        count(&self.counters.shootdowns);
        if let Some(kernel) = self.kernel.get() {
            flush::forget_here(self, &kernel.world.forget.get());
        }
    }

    fn give_away(self) {
        count(&self.counters.standstills);
        self.stands_still.set(true);
    }

    fn take_back(self) {
        self.stands_still.set(false);
        self.counters.ipis.add(self.ipis_not_counted.take());
        if self.missed_timer.take() {
            self.timer_fired_while_idle();
        }
    }
}
