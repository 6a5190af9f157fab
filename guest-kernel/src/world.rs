//! Changing what all CPUs use, while all but one stand still.
//!
//! Migration, starting and stopping of servers, and the end of a server whose threads have to do with other CPUs are rare and
//! touch everything: page tables, placements, queues. They run while the other CPUs stand still ([`crate::rendezvous`]), so
//! they are written as if there were one CPU, and nothing on the paths of IPC, scheduling and faults pays for them.

use core::cell::Cell;
use core::ptr;

use abi::plan::PARTNERS_MAX;

use crate::arch;
use crate::cpu::{Cpu, count};
use crate::death;
use crate::flush::{self, Forget};
use crate::mailbox::Mailbox;
use crate::migrate;
use crate::rendezvous::Rendezvous;
use crate::server::Server;

/// What the CPUs need to stand still and to flush for one of them.
#[derive(Default)]
pub struct World {
    meeting: Rendezvous,
    /// Servers that have ended, and whose memory nobody has given back yet.
    buried: Mailbox<Server>,
    /// What the conductor wants forgotten.
    forget: Cell<Forget>,
}

/// Most servers in one change: one and its group.
pub const SERVERS_MAX: usize = PARTNERS_MAX + 1;

/// Does `change` while all other CPUs stand still. The current thread may have ended, or gone to another CPU, before: what
/// `change` relies on it must check itself.
pub fn stop<T>(cpu: &'static Cpu, change: impl FnOnce() -> T) -> T {
    let Some((world, others)) = others(cpu) else { return change() };
    while !world.meeting.try_conduct(cpu.index.get()) {
        if !cpu.attend() {
            arch::wait_for_interrupt();
        }
    }
    world.meeting.begin(&cpu.seat, others.clone().count() as u32);
    others.clone().for_each(|other| cpu.interrupt(other));
    while !world.meeting.all_arrived() {
        arch::wait_for_interrupt();
    }
    // A letter may lead to another one; each is one step nearer to a queue. Then no thread is on its way.
    while others.clone().fold(cpu.take_letters(), |any, other| any | other.take_letters()) {}
    for server in world.buried.collect() {
        death::give_back(cpu, server);
    }
    let result = change();
    world.meeting.release();
    others.for_each(|other| cpu.interrupt(other));
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
    if others(cpu).is_none() {
        migrate::promote(cpu, server);
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
    stop(cpu, || migrate::promote(cpu, server));
    true
}

/// Has those of the other CPUs that `concerns` forget TLB entries, and waits until they have. They must stand still.
pub fn shoot_down(cpu: &'static Cpu, forget: Forget, concerns: impl Fn(&Cpu) -> bool) {
    let Some((world, others)) = others(cpu) else { return };
    let concerned = || others.clone().filter(|other| concerns(other));
    world.forget.set(forget);
    world.meeting.assign(concerned().map(|other| &other.seat), concerned().count() as u32);
    concerned().for_each(|other| cpu.interrupt(other));
    while !world.meeting.all_finished() {
        arch::wait_for_interrupt();
    }
}

/// Stands still until released, if another CPU wants that. False if none does.
pub fn stand_still_if_called(cpu: &'static Cpu) -> bool {
    let Some(kernel) = cpu.kernel.get() else { return false };
    let (world, meeting) = (&kernel.world, &kernel.world.meeting);
    if !meeting.is_called(&cpu.seat) {
        return false;
    }
    count(&cpu.counters.standstills);
    let interrupt_conductor = || {
        if let Some(conductor) = kernel.cpu(meeting.conductor()) {
            cpu.interrupt(conductor);
        }
    };
    if meeting.arrive(&cpu.seat) {
        interrupt_conductor();
    }
    while !meeting.is_released(&cpu.seat) {
        if meeting.take_work(&cpu.seat) {
            count(&cpu.counters.shootdowns);
            flush::forget_here(cpu, &world.forget.get());
            if meeting.finish() {
                interrupt_conductor();
            }
        } else {
            arch::wait_for_interrupt();
        }
    }
    true
}

/// The world and all CPUs but this one; `None` if there is no other.
fn others(cpu: &'static Cpu) -> Option<(&'static World, impl Iterator<Item = &'static Cpu> + Clone)> {
    let kernel = cpu.kernel.get()?;
    let cpus = kernel.cpus;
    (cpus.len() > 1).then(|| (&kernel.world, cpus.iter().copied().filter(move |other| !ptr::eq(*other, cpu))))
}
