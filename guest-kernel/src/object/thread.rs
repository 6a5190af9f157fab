//! Threads: registers, state, and the links that IPC goes along.
//!
//! A thread is owned by one CPU; only that CPU's kernel code touches it. That is why its fields are plain cells. The owner is
//! the CPU that the thread runs on, except while it waits for a server on another one: then it has been sent there, and is sent
//! back.

use core::cell::Cell;
use core::mem::offset_of;

use abi::call::{Tag, status};
use abi::plan::PRIORITY_MAX;

use crate::arch::Ring3State;
use crate::arch::context::{Context, RFLAGS_INTERRUPTS_ON};
use crate::memory::Placement;
use crate::object::endpoint::{Endpoint, Rights};
use crate::object::message::Buffer;
use crate::object::queue::Links;
use crate::object::server::Server;
use crate::object::space::Space;
use crate::sync::atomic::AtomicPtr;
use crate::sync::mailbox::Linked;

/// Number of priorities.
pub const PRIORITY_COUNT: usize = PRIORITY_MAX as usize + 1;

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
    /// In the run queue.
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
    endpoint: Cell<&'static Endpoint>,
    /// As a server: the caller that it owes a reply, if that runs on the same CPU.
    caller: Cell<Option<&'static Thread>>,
    /// As a client that awaits a reply: the thread that took its call.
    partner: Cell<Option<&'static Thread>>,
    /// The queue that it is in.
    pub(super) links: Links,
    state: Cell<State>,
    resume: Cell<Resume>,
    /// Whether it runs in ring 3 or in ring 0. Assembly looks only whether it is [`Placement::User`]: a 32-bit thread enters and
    /// leaves the kernel by a stack in ring 0 ([`Thread::ring_3`]).
    placement: Cell<Placement>,
    /// Whether its server may migrate: only then partners are remembered.
    pub is_migratable: bool,
    priority: u8,
    /// The bit of its priority in the run queue's summary.
    priority_bit: u64,
    /// Its address space; `None` for a thread in the kernel, which runs in any.
    space: Cell<Option<&'static Space>>,
    /// Registers while it does not run.
    pub context: Context,
    /// While it is queued as a sender: the tag of its message. Words 0 to 3 are in [`Context::words`].
    tag: Cell<Tag>,
    /// While it is queued as a sender, or on its way there: where.
    queued_at: Cell<Option<&'static Endpoint>>,
    /// While it is queued as a sender: the badge of the right that it used.
    badge: Cell<u64>,
    /// Where message words 4 and up are.
    buffer: Cell<Option<Buffer>>,
    /// The server that it belongs to.
    pub server: &'static Server,
    /// Its number in the server.
    pub index: u32,
    /// As a server: the caller that it owes a reply, if that runs on another CPU. At most one of this and `caller` is there.
    remote_caller: Cell<Option<&'static Thread>>,
    /// The CPU that it runs on.
    cpu: Cell<u32>,
    /// Whether it has been sent to another CPU. Only its own CPU touches this.
    is_away: Cell<bool>,
    /// Its side in ring 3, if it is a 32-bit program's.
    ring_3: Cell<Option<&'static Ring3State>>,
    link: AtomicPtr<Thread>,
}

impl Linked for Thread {
    fn link(&self) -> &AtomicPtr<Thread> {
        &self.link
    }
}

/// Where assembly finds a thread's fields.
#[expect(missing_docs, reason = "the names are the fields' own")]
pub mod offset {
    use super::{Rights, Thread, offset_of};

    pub const RIGHTS_FIRST: usize = offset_of!(Thread, rights) + Rights::OFFSETS[0];
    pub const RIGHTS_COUNT: usize = offset_of!(Thread, rights) + Rights::OFFSETS[1];
    pub const RESUME: usize = offset_of!(Thread, resume);
    pub const PLACEMENT: usize = offset_of!(Thread, placement);
    pub const CONTEXT: usize = offset_of!(Thread, context);
    pub const RING_3: usize = offset_of!(Thread, ring_3);
}

// Two cache lines.
const _: () = assert!(offset_of!(Thread, state) == 56);
const _: () = assert!(offset::CONTEXT + offset_of!(Context, rax) <= 128);

impl Thread {
    /// Thread `index` of `server`, which has never run; [`Thread::begin`] makes it fit to.
    pub fn new(
        server: &'static Server,
        index: u32,
        priority: u8,
        ring_3: Option<&'static Ring3State>,
    ) -> Thread {
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
            placement: Cell::new(server.placement()),
            is_migratable: server.home.is_some(),
            priority,
            priority_bit: 1 << (usize::from(priority) & (PRIORITY_COUNT - 1)),
            space: Cell::new(server.space()),
            context: Context::default(),
            tag: Cell::new(Tag(0)),
            queued_at: Cell::new(None),
            badge: Cell::new(0),
            buffer: Cell::new(None),
            index,
            cpu: Cell::new(cpu),
            is_away: Cell::new(false),
            ring_3: Cell::new(ring_3),
            link: AtomicPtr::default(),
        }
    }

    /// Has a thread that is in no queue start at its server's entry with the given stack.
    pub fn begin(&self, stack_pointer: u64) {
        let (server, context) = (self.server, &self.context);
        context.clear();
        context.rip.set(server.entry());
        context.rsp.set(stack_pointer);
        context.rdi.set(server.base());
        context.rsi.set(u64::from(self.index));
        context.rdx.set(u64::from(self.cpu()));
        context.rflags.set(RFLAGS_INTERRUPTS_ON);
        self.resume.set(Resume::Everything);
        self.state.set(State::New);
        self.caller.set(None);
        self.remote_caller.set(None);
        self.partner.set(None);
        self.queued_at.set(None);
        self.buffer.set(None);
        self.follow_server();
        if let Some(ring_3) = self.ring_3() {
            ring_3.begin(context, server.root(), server.base(), server.entry(), self.index);
        }
    }

    /// Runs where its server is now.
    pub fn follow_server(&self) {
        self.placement.set(self.server.placement());
        self.space.set(self.server.space());
        if let Some(ring_3) = self.ring_3() {
            ring_3.set_segments(self.server.segments());
        }
    }

    /// What it is doing.
    #[inline]
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// Whether it is the current thread of its CPU.
    #[inline]
    pub fn is_running(&self) -> bool {
        self.state() == State::Running
    }

    /// It is the current thread of its CPU from now on, and in no queue.
    #[inline]
    pub fn set_running(&self) {
        self.state.set(State::Running);
    }

    /// It is in the run queue of its CPU from now on.
    pub fn set_ready(&self) {
        self.state.set(State::Ready);
    }

    /// As the current thread of a driver: waits at a mark for the others.
    pub fn wait_at_mark(&self) {
        self.state.set(State::AtMark);
    }

    /// It will never run again. Returns what it was doing.
    pub fn end(&self) -> State {
        self.state.replace(State::Dead)
    }

    /// Waits for a message among the receivers of its endpoint, on top of them.
    #[inline]
    pub fn receive(&'static self) {
        self.state.set(State::Receiving);
        self.endpoint().receivers.push(self);
    }

    /// Is about to send a message with this tag by a right with this badge.
    pub fn prepare_to_send(&self, tag: Tag, badge: u64) {
        self.tag.set(tag);
        self.badge.set(badge);
    }

    /// The tag of the message that it sends.
    pub fn tag(&self) -> Tag {
        self.tag.get()
    }

    /// The badge of the right by which it sends.
    pub fn badge(&self) -> u64 {
        self.badge.get()
    }

    /// Waits among the senders of `endpoint`, in state `state` (`Calling` or `Sending`).
    pub fn wait_to_send(&'static self, endpoint: &'static Endpoint, state: State) {
        self.state.set(state);
        self.queued_at.set(Some(endpoint));
        endpoint.senders.push_back(self);
    }

    /// Is on its way to another CPU, where `endpoint` is, in state `state` (`Calling` or `Sending`).
    pub fn depart(&self, endpoint: &'static Endpoint, state: State) {
        self.state.set(state);
        self.is_away.set(true);
        self.queued_at.set(Some(endpoint));
    }

    /// On its way to send a message: goes on to `endpoint`, because whoever was to receive it has moved there.
    pub fn send_on(&self, endpoint: &'static Endpoint) {
        self.queued_at.set(Some(endpoint));
    }

    /// The same, for a thread that waits among the senders on the CPU with this index.
    pub fn send_on_from(&self, cpu: u32, endpoint: &'static Endpoint) {
        if self.cpu() == cpu {
            self.is_away.set(true);
        }
        self.send_on(endpoint);
    }

    /// Where it waits among the senders, or is on its way to.
    pub fn queued_at(&self) -> Option<&'static Endpoint> {
        self.queued_at.get()
    }

    /// Waits among no senders any more, and is not on its way to any. Whether it is a thread of the CPU with this index, and so
    /// is back.
    pub fn come_back_to(&self, cpu: u32) -> bool {
        self.queued_at.set(None);
        let is_here = self.cpu() == cpu;
        if is_here {
            self.is_away.set(false);
        }
        is_here
    }

    /// Whether it has been sent to another CPU.
    pub fn is_away(&self) -> bool {
        self.is_away.get()
    }

    /// On one CPU: `receiver` has taken the call of this thread, and owes it a reply.
    #[inline]
    pub fn call_taken_by(&'static self, receiver: &'static Thread) {
        receiver.caller.set(Some(self));
        self.partner.set(Some(receiver));
        self.state.set(State::AwaitingReply);
    }

    /// Wherever the two run: `receiver` has taken the call of this thread, and owes it a reply.
    pub fn call_taken_anywhere_by(&'static self, receiver: &'static Thread) {
        self.state.set(State::AwaitingReply);
        self.partner.set(Some(receiver));
        receiver.set_caller(self);
    }

    /// The thread that took its call, if it awaits a reply.
    pub fn partner(&self) -> Option<&'static Thread> {
        self.partner.get()
    }

    /// Takes its call back from the thread that took it: the reply will find nobody to go to.
    pub fn take_call_back(&self) {
        if let Some(partner) = self.partner.take() {
            partner.take_caller();
        }
    }

    /// The caller on the same CPU that is owed a reply.
    #[inline]
    pub fn local_caller(&self) -> Option<&'static Thread> {
        self.caller.get()
    }

    /// Owes no caller on the same CPU a reply any more.
    #[inline]
    pub fn forget_local_caller(&self) {
        self.caller.set(None);
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
    fn set_caller(&self, caller: &'static Thread) {
        if caller.cpu() == self.cpu() {
            self.caller.set(Some(caller));
        } else {
            self.remote_caller.set(Some(caller));
        }
    }

    /// Runs on another CPU of its server's from now on. It must be in no queue that belongs to a CPU.
    pub fn move_to(&'static self, cpu: u32) {
        let (server, state) = (self.server, self.state());
        let endpoint = &server.endpoints()[(cpu - server.cpus.first) as usize];
        let caller = self.take_caller();
        self.cpu.set(cpu);
        self.endpoint.set(endpoint);
        self.rights.set_as(&server.rights_on(cpu));
        endpoint.stay_here();
        // Who owes whom a reply across CPUs is noted elsewhere than on one CPU.
        if let Some(caller) = caller {
            caller.is_away.set(caller.cpu() != cpu);
            self.set_caller(caller);
        }
        if state == State::AwaitingReply
            && let Some(partner) = self.partner()
        {
            partner.take_caller();
            partner.set_caller(self);
        }
        self.is_away.set(matches!(state, State::Calling | State::Sending | State::AwaitingReply));
    }

    /// The CPU that it runs on.
    #[inline]
    pub fn cpu(&self) -> u32 {
        self.cpu.get()
    }

    /// The endpoint where it receives.
    #[inline]
    pub fn endpoint(&self) -> &'static Endpoint {
        self.endpoint.get()
    }

    /// Its address space; `None` for a thread in the kernel, which runs in any.
    #[inline]
    pub fn space(&self) -> Option<&'static Space> {
        self.space.get()
    }

    /// Where it runs.
    pub fn placement(&self) -> Placement {
        self.placement.get()
    }

    /// Its side in ring 3, if it is a 32-bit program's.
    pub fn ring_3(&self) -> Option<&'static Ring3State> {
        self.ring_3.get()
    }

    /// How it goes on.
    pub fn resume(&self) -> Resume {
        self.resume.get()
    }

    /// It was interrupted, and all its registers have been put in its context.
    pub fn resume_with_everything(&self) {
        self.resume.set(Resume::Everything);
    }

    /// Where message words 4 and up are.
    pub fn buffer(&self) -> Option<Buffer> {
        self.buffer.get()
    }

    /// Message words 4 and up are here from now on.
    pub fn set_buffer(&self, buffer: Buffer) {
        self.buffer.set(Some(buffer));
    }

    /// Its priority, below [`PRIORITY_COUNT`].
    #[inline]
    pub fn priority(&self) -> usize {
        // The plan's check keeps it in range; the mask spares the run queue's bounds check.
        usize::from(self.priority) & (PRIORITY_COUNT - 1)
    }

    /// The bit of its priority in the run queue's summary.
    #[inline]
    pub fn priority_bit(&self) -> u64 {
        self.priority_bit
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
