//! Endpoints, where the threads of a server receive, and the rights that lead to them.
//!
//! An endpoint belongs to one CPU, as its server's threads there do: nobody else touches its cells, so nothing in it is locked.
//! Whoever is on another CPU has a right to the endpoint's proxy instead. A proxy never has receivers, and that is how the
//! fast path comes to leave it to the slow one, which finds the way ([`crate::ipc::remote`]). An endpoint whose server has
//! no thread on this CPU, because it moved away or never had one, leads on in the same way.

use core::cell::Cell;
use core::ptr::NonNull;

use crate::memory::AllZero;
use crate::object::partners::Partners;
use crate::object::queue::{Queue, Stack};
use crate::object::server::Server;
use crate::object::thread::Thread;
use crate::sync::atomic::AtomicPtr;
use crate::sync::mailbox::Linked;
use crate::sync::notice::Notice;

/// Where messages to one server arrive. At most one of `receivers` and `senders` holds threads. All zero is an endpoint that
/// nobody uses. Begins with a cache line, so that the lines that a call touches do not depend on where it lies.
#[derive(Default)]
#[repr(C, align(64))]
pub struct Endpoint {
    /// Threads of the server that wait for a message. Last in, first out: the one whose stack is still in the cache.
    pub(super) receivers: Stack,
    /// Threads that wait for the server to take their message. First in, first out.
    pub(super) senders: Queue,
    /// Notification bits that no receiver has seen yet.
    notification: Cell<u64>,
    /// Address of the server's [`abi::call::DirectEntry`], 0 if it has none. Assembly reads it.
    direct_entry: Cell<u64>,
    /// Whether the server is dead. It has no receivers then.
    dead: Cell<bool>,
    cpu: Cell<u32>,
    /// Where messages to this endpoint go on to: for a proxy, and where the server has no threads on this CPU.
    elsewhere: Cell<Option<&'static Endpoint>>,
    server: Cell<Option<&'static Server>>,
    /// With whom the server's threads here have exchanged messages lately.
    pub partners: Partners,
    /// Notification bits from other CPUs that this one has not taken yet.
    pub remote_bits: Notice,
    link: AtomicPtr<Endpoint>,
}

// SAFETY: cells and atomics with numbers, and pointers that may be null.
unsafe impl AllZero for Endpoint {}

impl Linked for Endpoint {
    fn link(&self) -> &AtomicPtr<Endpoint> {
        &self.link
    }
}

/// Where assembly finds an endpoint's fields.
#[expect(missing_docs, reason = "the names are the fields' own")]
pub mod offset {
    use core::mem::offset_of;

    use super::{Endpoint, Stack};

    pub const RECEIVERS_TOP: usize = offset_of!(Endpoint, receivers) + Stack::TOP_OFFSET;
    pub const DIRECT_ENTRY: usize = offset_of!(Endpoint, direct_entry);
}

impl Endpoint {
    /// Makes an endpoint that nobody uses one of `server` on a CPU.
    pub fn set_up(&self, server: &'static Server, cpu: u32) {
        self.cpu.set(cpu);
        self.server.set(Some(server));
    }

    /// The CPU that it belongs to.
    pub fn cpu(&self) -> u32 {
        self.cpu.get()
    }

    /// The server; `None` for an endpoint that nobody uses.
    pub fn server(&self) -> Option<&'static Server> {
        self.server.get()
    }

    /// Where messages to this endpoint go on to: for a proxy, and where the server has no threads on this CPU.
    pub fn elsewhere(&self) -> Option<&'static Endpoint> {
        self.elsewhere.get()
    }

    /// Messages go on to another endpoint from now on.
    pub fn lead_to(&self, elsewhere: &'static Endpoint) {
        self.elsewhere.set(Some(elsewhere));
    }

    /// A thread of the server receives here from now on.
    pub fn stay_here(&self) {
        self.elsewhere.set(None);
    }

    /// Whether the server is dead.
    pub fn is_dead(&self) -> bool {
        self.dead.get()
    }

    pub(super) fn set_dead(&self, dead: bool) {
        self.dead.set(dead);
    }

    pub(super) fn set_direct_entry(&self, address: u64) {
        self.direct_entry.set(address);
    }

    /// The thread of the server that waits for a message and gets the next one.
    #[inline]
    pub fn receiver(&self) -> Option<&'static Thread> {
        self.receivers.top()
    }

    /// Takes off `thread`, which is that one.
    #[inline]
    pub fn take_receiver(&self, thread: &'static Thread) {
        self.receivers.take_off(thread);
    }

    /// Takes out `thread`, which waits for a message, wherever it is among those that do.
    pub fn remove_receiver(&self, thread: &'static Thread) {
        self.receivers.remove(thread);
    }

    /// Takes the first of the threads that wait for the server to take their message.
    pub fn pop_sender(&self) -> Option<&'static Thread> {
        self.senders.pop_front()
    }

    /// Takes out `thread`, one of those.
    pub fn remove_sender(&self, thread: &'static Thread) {
        self.senders.remove(thread);
    }

    /// Whether a thread of the server that receives now would not have to wait.
    #[inline]
    pub fn has_something_to_receive(&self) -> bool {
        // One branch for both.
        !self.senders.is_empty() | (self.notification.get() != 0)
    }

    /// Sets bits of the notification word. The thread that has to take it, if there is any bit and one waits: it is no receiver
    /// any more.
    pub fn notify(&self, bits: u64) -> Option<&'static Thread> {
        self.notification.set(self.notification.get() | bits);
        if self.notification.get() == 0 { None } else { self.receivers.pop() }
    }

    /// Takes the notification word.
    pub fn take_notification(&self) -> u64 {
        self.notification.take()
    }

    /// Forgets what nobody has seen yet.
    pub fn forget_notification(&self) {
        self.notification.set(0);
    }
}

/// The right to reach one server. A program names it by its index in its server's rights.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Right {
    /// Where messages go.
    pub endpoint: &'static Endpoint,
    /// What the receiver sees as the sender.
    pub badge: u64,
}

/// The rights of a server, in a form that assembly can index.
#[derive(Clone)]
#[repr(C)]
pub struct Rights {
    first: Cell<NonNull<Right>>,
    count: Cell<u64>,
}

impl Rights {
    /// Offsets of the address of the first right, and of their number, for assembly.
    pub const OFFSETS: [usize; 2] =
        [core::mem::offset_of!(Rights, first), core::mem::offset_of!(Rights, count)];

    /// No rights.
    pub const fn none() -> Rights {
        Rights { first: Cell::new(NonNull::dangling()), count: Cell::new(0) }
    }

    /// Exactly these rights.
    pub fn of(rights: &'static [Right]) -> Rights {
        let none = Rights::none();
        none.set(rights);
        none
    }

    /// Gives exactly these rights.
    pub fn set(&self, rights: &'static [Right]) {
        self.count.set(0);
        self.first.set(NonNull::from(rights).cast());
        self.count.set(rights.len() as u64);
    }

    /// Gives the same rights as `other`.
    pub fn set_as(&self, other: &Rights) {
        self.count.set(0);
        self.first.set(other.first.get());
        self.count.set(other.count.get());
    }

    /// The right with this handle.
    #[inline]
    pub fn get(&self, handle: u64) -> Option<&'static Right> {
        // SAFETY: `set` has stored the two halves of one slice that lives for ever.
        (handle < self.count.get()).then(|| unsafe { self.first.get().add(handle as usize).as_ref() })
    }
}
