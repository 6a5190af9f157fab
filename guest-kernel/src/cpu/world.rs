//! That all CPUs but one have stopped, and what they need for it.

use core::cell::Cell;

use super::Cpu;
use super::tlb::Forget;
use crate::object::server::Server;
use crate::object::thread::Thread;
use crate::sync::mailbox::Mailbox;
use crate::sync::rendezvous::Rendezvous;

/// What the CPUs need to stop and to flush for one of them.
#[derive(Default)]
pub struct World {
    /// Where they meet.
    pub rendezvous: Rendezvous,
    /// Servers that have ended, and whose memory nobody has given back yet.
    ended: Mailbox<Server>,
    /// What the leader wants forgotten.
    forget: Cell<Forget>,
}

impl World {
    /// Leaves the memory of a server that has ended to whoever stops all other CPUs next: only then it is given out again.
    pub fn give_back_later(&self, server: &'static Server) {
        // Nobody sleeps on this mailbox.
        let _ = self.ended.post(server);
    }

    /// Takes the servers whose memory is to be given back.
    pub fn take_ended(&self, _: &Alone<'_>) -> impl Iterator<Item = &'static Server> {
        self.ended.collect()
    }

    /// Says what the others have to forget.
    pub fn set_forget(&self, _: &Alone<'_>, forget: Forget) {
        self.forget.set(forget);
    }

    /// What the CPU that has stopped all others wants forgotten. Only for a CPU that has work from it.
    pub fn forget(&self) -> Forget {
        self.forget.get()
    }
}

/// That all other CPUs have stopped, or that there are none: a witness for code that changes what all of them use. It alone gives
/// access to what is another CPU's own.
pub struct Alone<'cpu> {
    cpu: &'cpu Cpu,
}

impl<'cpu> Alone<'cpu> {
    /// The witness of a CPU.
    ///
    /// # Safety
    /// As long as it is there, no other CPU may touch what is its own: all have stopped, or have not started, or there are none.
    pub unsafe fn assume(cpu: &'cpu Cpu) -> Alone<'cpu> {
        Alone { cpu }
    }

    /// The CPU that has not stopped.
    pub fn cpu(&self) -> &'cpu Cpu {
        self.cpu
    }

    /// All CPUs, this one included.
    pub fn cpus(&self) -> impl Iterator<Item = &Cpu> {
        let kernel = self.cpu.kernel();
        let all = kernel.map_or(&[][..], |kernel| kernel.cpus.of_all(self));
        kernel.is_none().then_some(self.cpu).into_iter().chain(all.iter().copied())
    }

    /// The CPU that a thread runs on.
    pub fn cpu_of(&self, thread: &Thread) -> &Cpu {
        let index = thread.cpu();
        if index == self.cpu.index() {
            return self.cpu;
        }
        let kernel = self.cpu.kernel().expect("other CPUs have been found");
        kernel.cpus.of_all(self)[index as usize]
    }
}
