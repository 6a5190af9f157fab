//! Threads: registers, state, and the links that IPC goes along.
//!
//! A thread is owned by one CPU; only that CPU's kernel code touches it. That is why its fields are plain cells. The owner is
//! the CPU that the thread runs on, except while it waits for a server on another one: then it has been sent there as a
//! letter ([`crate::ipc::remote`]), and comes back as one.

use core::cell::Cell;

use abi::call::{Tag, status};

use crate::arch::{self, Compatibility};
use crate::cpu::run_queue::PRIORITY_COUNT;
use crate::object::endpoint::{Endpoint, Rights};
use crate::object::message::Buffer;
use crate::object::queue::Links;
use crate::object::server::{Placement, Server};
use crate::object::space::Space;
use crate::sync::atomic::AtomicPtr;
use crate::sync::mailbox::Letter;

/// The registers of a thread that does not run. Assembly reads and writes them by offset. The first four are those of the
/// fast path.
#[repr(C)]
#[derive(Default)]
#[expect(missing_docs, reason = "the names are the registers' own")]
pub struct Context {
    pub rsp: Cell<u64>,
    pub rbx: Cell<u64>,
    pub rbp: Cell<u64>,
    pub rip: Cell<u64>,
    pub rax: Cell<u64>,
    pub rcx: Cell<u64>,
    pub rdx: Cell<u64>,
    pub rsi: Cell<u64>,
    pub rdi: Cell<u64>,
    pub r8: Cell<u64>,
    pub r9: Cell<u64>,
    pub r10: Cell<u64>,
    pub r11: Cell<u64>,
    /// Message words 0 to 3 live in R12 to R15.
    pub words: [Cell<u64>; 4],
    pub rflags: Cell<u64>,
}

/// Which registers of a thread's [`Context`] count when it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Resume {
    /// It returns from a system call: RSP, RBX, RBP, (in user space) RIP, and the results in RAX, RDI, RSI, R12 to R15.
    FromCall = 0,
    /// It was interrupted, or has never run: all of them.
    Everything = 1,
}

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Not started.
    New,
    /// The current thread of its CPU.
    Running,
    /// In the ready queue.
    Ready,
    /// In the senders' queue of an endpoint; will wait for a reply then.
    Calling,
    /// In the senders' queue of an endpoint; will go on then.
    Sending,
    /// Its call has been taken by [`Thread::partner`], which owes it a reply.
    AwaitingReply,
    /// In the receivers' queue of its own endpoint.
    Receiving,
    /// As a thread of the driver: waits at a mark for the others.
    AtMark,
    /// Will never run again.
    Dead,
}

/// A thread. What the fast path needs of it comes first, in two cache lines: what it does as a partner in IPC, and what it
/// takes to switch to it.
#[repr(C, align(64))]
pub struct Thread {
    /// Whom it may reach: its server's rights.
    pub rights: Rights,
    /// The endpoint where it receives: its server's on its CPU.
    pub endpoint: Cell<&'static Endpoint>,
    /// As a server: the caller that it owes a reply, if that runs on the same CPU.
    pub caller: Cell<Option<&'static Thread>>,
    /// As a client that awaits a reply: the thread that took its call.
    pub partner: Cell<Option<&'static Thread>>,
    /// The queue that it is in.
    pub links: Links,
    /// What it is doing.
    pub state: Cell<State>,
    /// How it goes on.
    pub resume: Cell<Resume>,
    /// Whether it runs in ring 3 or in ring 0. Assembly looks only whether it is [`Placement::User`]: a 32-bit thread enters and
    /// leaves the kernel by a stack in ring 0 ([`Thread::compatibility`]).
    pub placement: Cell<Placement>,
    /// Whether its server may migrate: only then partners are remembered.
    pub is_migratable: bool,
    priority: u8,
    /// The bit of its priority in the ready queue's summary.
    pub priority_bit: u64,
    /// Its address space; `None` for a thread in the kernel, which runs in any.
    pub space: Cell<Option<&'static Space>>,
    /// Registers while it does not run.
    pub context: Context,
    /// While it is queued as a sender: the tag of its message. Words 0 to 3 are in [`Context::words`].
    pub tag: Cell<Tag>,
    /// While it is queued as a sender, or on its way there: where.
    pub queued_at: Cell<Option<&'static Endpoint>>,
    /// While it is queued as a sender: the badge of the right that it used.
    pub badge: Cell<u64>,
    /// Where message words 4 and up are.
    pub buffer: Cell<Option<Buffer>>,
    /// The server that it belongs to.
    pub server: &'static Server,
    /// Its number in the server.
    pub index: u32,
    /// As a server: the caller that it owes a reply, if that runs on another CPU. At most one of this and `caller` is there.
    pub remote_caller: Cell<Option<&'static Thread>>,
    /// The CPU that it runs on.
    pub cpu: Cell<u32>,
    /// Whether it has been sent to another CPU. Only its own CPU touches this.
    pub is_away: Cell<bool>,
    /// Its side in compatibility mode, if it is a 32-bit program's.
    pub compatibility: Cell<Option<&'static Compatibility>>,
    link: AtomicPtr<Thread>,
}

impl Letter for Thread {
    fn link(&self) -> &AtomicPtr<Thread> {
        &self.link
    }
}

// Two cache lines.
const _: () = assert!(core::mem::offset_of!(Thread, state) == 56);
const _: () = assert!(core::mem::offset_of!(Thread, context) + core::mem::offset_of!(Context, rax) <= 128);

impl Thread {
    /// Thread `index` of `server`, which has never run; [`Thread::begin`] makes it fit to.
    pub fn new(server: &'static Server, index: u32, priority: u8) -> Thread {
        let cpu = server.cpu_of_thread(index);
        Thread {
            rights: server.rights_on(cpu),
            endpoint: Cell::new(server.endpoint_of_thread(index)),
            caller: Cell::new(None),
            remote_caller: Cell::new(None),
            partner: Cell::new(None),
            server,
            links: Links::default(),
            state: Cell::new(State::New),
            resume: Cell::new(Resume::Everything),
            placement: Cell::new(server.placement.get()),
            is_migratable: server.home.is_some(),
            priority,
            priority_bit: 1 << (usize::from(priority) & (PRIORITY_COUNT - 1)),
            space: Cell::new(server.space.get()),
            context: Context::default(),
            tag: Cell::new(Tag(0)),
            queued_at: Cell::new(None),
            badge: Cell::new(0),
            buffer: Cell::new(None),
            index,
            cpu: Cell::new(cpu),
            is_away: Cell::new(false),
            compatibility: Cell::new(None),
            link: AtomicPtr::default(),
        }
    }

    /// Has a thread that is in no queue start at its server's entry with the given stack.
    pub fn begin(&self, stack_pointer: u64) {
        let (server, context) = (self.server, &self.context);
        for register in [&context.rax, &context.rcx, &context.rbx, &context.rbp, &context.r8] {
            register.set(0);
        }
        for register in [&context.r9, &context.r10, &context.r11].into_iter().chain(&context.words) {
            register.set(0);
        }
        context.rip.set(server.entry.get());
        context.rsp.set(stack_pointer);
        context.rdi.set(server.base.get());
        context.rsi.set(u64::from(self.index));
        context.rdx.set(u64::from(self.cpu.get()));
        context.rflags.set(RFLAGS_INTERRUPTS_ON);
        self.resume.set(Resume::Everything);
        self.placement.set(server.placement.get());
        self.space.set(server.space.get());
        self.state.set(State::New);
        self.caller.set(None);
        self.remote_caller.set(None);
        self.partner.set(None);
        self.queued_at.set(None);
        self.buffer.set(None);
        if let Some(compatibility) = self.compatibility.get() {
            arch::begin_compatible(self, compatibility);
        }
    }

    /// Its priority, below [`crate::cpu::run_queue::PRIORITY_COUNT`].
    #[inline]
    pub fn priority(&self) -> usize {
        // The plan's check keeps it in range; the mask spares the ready queue's bounds check.
        usize::from(self.priority) & (PRIORITY_COUNT - 1)
    }

    /// Takes the caller that is owed a reply, wherever it runs.
    pub fn take_caller(&self) -> Option<&'static Thread> {
        self.caller.take().or_else(|| self.remote_caller.take())
    }

    /// The caller that is owed a reply, wherever it runs.
    pub fn owed(&self) -> Option<&'static Thread> {
        self.caller.get().or_else(|| self.remote_caller.get())
    }

    /// Owes `caller` a reply.
    pub fn set_caller(&self, caller: &'static Thread) {
        if caller.cpu.get() == self.cpu.get() {
            self.caller.set(Some(caller));
        } else {
            self.remote_caller.set(Some(caller));
        }
    }

    /// Sets what the thread's system call returns, apart from message words.
    pub fn set_results(&self, status: u64, badge: u64, tag: Tag) {
        self.context.rax.set(status);
        self.context.rdi.set(badge);
        self.context.rsi.set(tag.0);
    }

    /// Makes the thread's system call fail.
    pub fn set_error(&self, error: u64) {
        debug_assert_ne!(error, status::OK);
        self.set_results(error, 0, Tag(0));
    }
}

/// RFLAGS of a thread: interrupts on, and bit 1, which is always set.
pub const RFLAGS_INTERRUPTS_ON: u64 = 0x202;
