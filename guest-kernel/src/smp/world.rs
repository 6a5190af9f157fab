//! Changing what all CPUs use, while all but one have stopped.
//!
//! Migration, starting and stopping of servers, and the end of a server whose threads have to do with other CPUs are rare and
//! touch everything: page tables, placements, queues. They run while the other CPUs have stopped ([`crate::sync::rendezvous`]), so
//! they are written as if there were one CPU, and nothing on the paths of IPC, scheduling and faults pays for them.

use core::ptr;

use crate::arch;
use crate::cpu::Cpu;
use crate::cpu::counters::count;
use crate::cpu::kernel::Kernel;
use crate::cpu::port::CpuPort;
use crate::cpu::tlb::Forget;
use crate::cpu::world::{Alone, World};
use crate::ipc::remote;
use crate::object::server::Server;
use crate::sync::rendezvous::{Attendance, Participant};

/// Does `change` while all other CPUs have stopped. Whoever asks for it must have the right to it, which the caller checks. The
/// current thread may have ended, or gone to another CPU, before: what `change` relies on it must check itself.
pub fn stop<T>(cpu: &Cpu, change: impl FnOnce(&Alone<'_>) -> T) -> T {
    let shared = shared_world(cpu);
    if let Some(world) = shared {
        world.rendezvous.gather(cpu);
    }
    // SAFETY: all other CPUs have stopped, or there are none, until the release below.
    let alone = unsafe { Alone::assume(cpu) };
    let Some(world) = shared else { return change(&alone) };
    // A thread that has arrived may go on to another CPU; each step is one nearer to a queue. Then no thread is on its way.
    while alone.cpus().fold(false, |any, cpu| any | remote::take_arrivals(cpu)) {}
    for server in world.take_ended(&alone) {
        give_back(&alone, server);
    }
    let result = change(&alone);
    // Waiting may have taken the interrupt that was to remind of a promotion. Nobody else can want anything before the release.
    cpu.look_again();
    world.rendezvous.release(cpu);
    result
}

/// Takes the region of a server that has ended away, and gives back its memory.
pub fn give_back(alone: &Alone<'_>, server: &'static Server) {
    let cpu = alone.cpu();
    if let Some(regions) = cpu.regions() {
        let frames = regions.frames_in_use();
        regions.take_away(alone, server);
        cpu.counters().frames_given_back.add(frames - regions.frames_in_use());
    }
}

/// Has those of the other CPUs that `forget` concerns forget TLB entries, and waits until they have.
pub fn shoot_down(alone: &Alone<'_>, forget: Forget, concerns: impl Fn(&Cpu) -> bool) {
    let Some(kernel) = alone.cpu().kernel() else { return };
    let Some(world) = shared_world(alone.cpu()) else { return };
    world.set_forget(alone, forget);
    let cpus = kernel.cpus.of_all(alone);
    world.rendezvous.have_done(alone.cpu(), |peer: &CpuPort| concerns(cpus[peer.index() as usize]));
}

/// Stops until released, if another CPU wants that. False if none does.
pub fn stop_if_called(cpu: &Cpu) -> bool {
    cpu.kernel().is_some_and(|kernel| kernel.world.rendezvous.stop_if_called(cpu))
}

/// Whether there are other CPUs, which have to be stopped.
pub fn has_others(cpu: &Cpu) -> bool {
    shared_world(cpu).is_some()
}

/// The world, if there is any other CPU in it.
fn shared_world(cpu: &Cpu) -> Option<&'static World> {
    cpu.kernel().filter(|kernel| kernel.cpus.count() > 1).map(|kernel| &kernel.world)
}

impl Participant for &Cpu {
    type Peer = &'static CpuPort;

    fn index(self) -> u32 {
        Cpu::index(self)
    }

    fn attendance(&self) -> &Attendance {
        self.port().attendance()
    }

    fn peers(self) -> impl Iterator<Item = &'static CpuPort> {
        let ports = self.kernel().into_iter().flat_map(|kernel: &Kernel| kernel.cpus.ports());
        ports.filter(move |port| !ptr::eq(*port, self.port()))
    }

    fn peer(self, index: u32) -> Option<&'static CpuPort> {
        self.kernel()?.cpus.ports().nth(index as usize)
    }

    fn attendance_of<'a>(peer: &'a &'static CpuPort) -> &'a Attendance {
        peer.attendance()
    }

    fn interrupt(self, peer: &'static CpuPort) {
        self.interrupt_though_stopped(peer);
    }

    fn interrupt_self(self) {
        self.interrupt_though_stopped(self.port());
    }

    fn wait_for_interrupt(self) {
        arch::wait_for_interrupt();
    }

    fn stop_if_called(self) -> bool {
        let has_stopped = stop_if_called(self);
        if has_stopped {
            self.because_of_lifecycle(|| self.look_at_current_again());
        }
        has_stopped
    }

    fn work(self) {
        count(&self.counters().shootdowns);
        if let Some(kernel) = self.kernel() {
            kernel.world.forget().forget_on(self);
        }
    }

    fn give_away(self) {
        Cpu::give_away(self);
    }

    fn take_back(self) {
        Cpu::take_back(self);
    }
}
