//! Endpoints, where the threads of a server receive, and the rights that lead to them.
//!
//! An endpoint belongs to one CPU, as its server's threads there do: nobody else touches its cells, so nothing in it is locked.
//! Whoever is on another CPU has a right to the endpoint's proxy instead. A proxy never has receivers, and that is how the
//! fast path comes to leave it to the slow one, which finds the way ([`crate::ipc::remote`]). An endpoint whose server has
//! no thread on this CPU, because it moved away or never had one, leads on in the same way.

use core::cell::Cell;
use core::ptr::NonNull;

use crate::object::partners::Partners;
use crate::object::queue::{Queue, Stack};
use crate::object::server::Server;
use crate::sync::atomic::AtomicPtr;
use crate::sync::mailbox::Letter;
use crate::sync::notice::Notice;

/// Where messages to one server arrive. At most one of `receivers` and `senders` holds threads. All zero is an endpoint that
/// nobody uses. Begins with a cache line, so that the lines that a call touches do not depend on where it lies.
#[derive(Default)]
#[repr(C, align(64))]
pub struct Endpoint {
    /// Threads of the server that wait for a message. Last in, first out: the one whose stack is still in the cache.
    pub receivers: Stack,
    /// Threads that wait for the server to take their message. First in, first out.
    pub senders: Queue,
    /// Notification bits that no receiver has seen yet.
    pub notification: Cell<u64>,
    /// Address of the server's [`abi::call::DirectEntry`], 0 if it has none. Assembly reads it.
    pub direct_entry: Cell<u64>,
    /// Whether the server is dead. It has no receivers then.
    pub dead: Cell<bool>,
    /// The CPU that it belongs to.
    pub cpu: Cell<u32>,
    /// Where messages to this endpoint go on to: for a proxy, and where the server has no threads on this CPU.
    pub elsewhere: Cell<Option<&'static Endpoint>>,
    /// The server.
    pub server: Cell<Option<&'static Server>>,
    /// With whom the server's threads here have exchanged messages lately.
    pub partners: Partners,
    /// Notification bits from other CPUs that this one has not taken yet.
    pub remote_bits: Notice,
    link: AtomicPtr<Endpoint>,
}

impl Letter for Endpoint {
    fn link(&self) -> &AtomicPtr<Endpoint> {
        &self.link
    }
}

impl Endpoint {
    /// Whether a thread of the server that receives now would not have to wait.
    #[inline]
    pub fn has_something_to_receive(&self) -> bool {
        // One branch for both.
        !self.senders.is_empty() | (self.notification.get() != 0)
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
