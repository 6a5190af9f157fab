//! Servers: a program in its region, with its threads, its endpoint and its rights.

use core::cell::Cell;

use abi::address::{LARGE_SIZE, REGION_SIZE};
use abi::plan::trust;

use crate::arch::{self, Segments};
use crate::memory::{PageRanges, Placement};
use crate::object::endpoint::{Endpoint, Rights};
use crate::object::space::Space;
use crate::object::thread::Thread;
use crate::object::trust::Policy;
use crate::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::sync::mailbox::Linked;

/// CPUs in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Index of the first one.
    pub first: u32,
    /// Their number, at least 1.
    pub count: u32,
}

impl Spread {
    /// The first CPU only.
    pub const ONE: Spread = Spread { first: 0, count: 1 };

    /// Whether a CPU is among them.
    pub fn contains(self, cpu: u32) -> bool {
        cpu.wrapping_sub(self.first) < self.count
    }

    /// The smallest row that holds all of both.
    pub fn joined(self, other: Spread) -> Spread {
        let first = self.first.min(other.first);
        let end = (self.first + self.count).max(other.first + other.count);
        Spread { first, count: end - first }
    }
}

/// What the plan says about a server that never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// Whether it drives the case.
    pub is_driver: bool,
    /// The CPUs that its threads are spread over.
    pub cpus: Spread,
    /// Whether each of its threads has an endpoint of its own.
    pub thread_endpoints: bool,
    /// Of a 32-bit server: MiB of its slot in the region of small spaces, if it is ever there.
    pub slot_mib: u8,
}

/// Where a server is.
#[derive(Clone, Copy)]
pub struct Location {
    /// Where it runs.
    pub placement: Placement,
    /// Base address of its region.
    pub base: u64,
    /// Its address space; `None` when it runs in the kernel, or in a small space.
    pub space: Option<&'static Space>,
}

/// A server. Clients are servers too: what they do with their endpoint is their affair.
pub struct Server {
    /// Index in the plan.
    pub index: u32,
    placement: Cell<Placement>,
    base: Cell<u64>,
    space: Cell<Option<&'static Space>>,
    /// Address where its threads start.
    entry: Cell<u64>,
    /// Its trust group, 1 to 4, see [`abi::plan::trust`].
    trust_group: Cell<u32>,
    /// What the kernel decides about it by itself.
    pub policy: Policy,
    /// The space that is its own when it runs in user space, if it may migrate.
    pub home: Option<&'static Space>,
    /// The pages of its region that are mapped.
    pub pages: PageRanges,
    /// Its space and its base there, once it has run in user space: they stay its own.
    user_place: Cell<Option<(&'static Space, u64)>>,
    /// Address of the direct entry that it has registered, 0 if none. It counts only in the kernel.
    direct_entry: Cell<u64>,
    /// Offset in its region, and bytes, of the state that it hands over when it is relocated.
    state: Cell<(u64, u64)>,
    /// Whether it drives the case.
    pub is_driver: bool,
    /// Of a 32-bit server: MiB of its slot in the region of small spaces, if it is ever there.
    slot_mib: u8,
    /// The CPUs that its threads are spread over.
    pub cpus: Spread,
    /// Whether each of its threads has an endpoint of its own.
    pub has_thread_endpoints: bool,
    /// Where its threads receive: one endpoint for each of its CPUs, or one for each of its threads.
    endpoints: Cell<&'static [Endpoint]>,
    /// What other CPUs have in the place of each endpoint.
    proxies: Cell<&'static [Endpoint]>,
    /// Whom it may reach, from each of its CPUs.
    rights: Cell<&'static [Rights]>,
    /// How often it has been started again.
    life: Cell<u32>,
    dead: AtomicU32,
    threads: Cell<&'static [Thread]>,
    link: AtomicPtr<Server>,
}

impl Linked for Server {
    fn link(&self) -> &AtomicPtr<Server> {
        &self.link
    }
}

impl Server {
    /// A server without program, rights and threads.
    pub fn new(
        index: u32,
        location: Location,
        pages: PageRanges,
        home: Option<&'static Space>,
        traits: Traits,
        trust_group: u32,
        policy: Policy,
    ) -> Server {
        let Location { placement, base, space } = location;
        Server {
            index,
            placement: Cell::new(placement),
            base: Cell::new(base),
            space: Cell::new(space),
            entry: Cell::new(0),
            trust_group: Cell::new(trust_group),
            policy,
            home,
            pages,
            user_place: Cell::new(space.map(|space| (space, base))),
            direct_entry: Cell::new(0),
            state: Cell::new((0, 0)),
            is_driver: traits.is_driver,
            slot_mib: traits.slot_mib,
            cpus: traits.cpus,
            has_thread_endpoints: traits.thread_endpoints,
            endpoints: Cell::new(&[]),
            proxies: Cell::new(&[]),
            rights: Cell::new(&[]),
            life: Cell::new(0),
            dead: AtomicU32::new(0),
            threads: Cell::new(&[]),
            link: AtomicPtr::default(),
        }
    }

    /// Gives a new server its endpoints, and what other CPUs have in their place.
    pub fn set_endpoints(&self, endpoints: &'static [Endpoint], proxies: &'static [Endpoint]) {
        self.endpoints.set(endpoints);
        self.proxies.set(proxies);
    }

    /// Gives a new server its rights, one set for each of its CPUs.
    pub fn set_rights(&self, rights: &'static [Rights]) {
        self.rights.set(rights);
    }

    /// Gives a new server its threads.
    pub fn set_threads(&self, threads: &'static [Thread]) {
        self.threads.set(threads);
    }

    /// Where it runs.
    #[inline]
    pub fn placement(&self) -> Placement {
        self.placement.get()
    }

    /// Base address of its region.
    pub fn base(&self) -> u64 {
        self.base.get()
    }

    /// Its address space; `None` when it runs in the kernel, or in a small space.
    pub fn space(&self) -> Option<&'static Space> {
        self.space.get()
    }

    /// Where it is.
    pub fn location(&self) -> Location {
        Location { placement: self.placement(), base: self.base(), space: self.space() }
    }

    /// It is somewhere else from now on; its threads follow when they begin ([`Thread::begin`]) or are told to.
    pub fn set_location(&self, location: Location) {
        self.placement.set(location.placement);
        self.base.set(location.base);
        self.space.set(location.space);
    }

    /// It and its threads are somewhere else from now on.
    pub fn move_to(&self, location: Location) {
        self.set_location(location);
        self.threads().iter().for_each(Thread::follow_server);
    }

    /// Address where its threads start.
    pub fn entry(&self) -> u64 {
        self.entry.get()
    }

    /// Its threads start here from now on.
    pub fn set_entry(&self, entry: u64) {
        self.entry.set(entry);
    }

    /// Its space and its base there, once it has run in user space: they stay its own.
    pub fn user_place(&self) -> Option<(&'static Space, u64)> {
        self.user_place.get()
    }

    /// Notes its space and its base there.
    pub fn set_user_place(&self, space: &'static Space, base: u64) {
        self.user_place.set(Some((space, base)));
    }

    /// Its trust group, 1 to 4, see [`abi::plan::trust`].
    pub fn trust_group(&self) -> u32 {
        self.trust_group.get()
    }

    /// Whether it is trusted: only the talk's group 1 may run in the kernel.
    pub fn is_trusted(&self) -> bool {
        self.trust_group() == trust::CRITICAL_TRUSTED
    }

    /// Takes its trust away: it becomes critical and untrusted, as in the talk. Whether it had any; whoever is not trusted stays
    /// what it is.
    pub fn demote(&self) -> bool {
        let was_trusted = self.is_trusted();
        if was_trusted {
            self.trust_group.set(trust::CRITICAL_UNTRUSTED);
        }
        was_trusted
    }

    #[cfg(test)]
    pub(crate) fn set_trust_group(&self, group: u32) {
        self.trust_group.set(group);
    }

    /// Registers a direct entry, 0 for none, with the endpoint of one of its threads.
    pub fn set_direct_entry(&self, address: u64, endpoint: &Endpoint) {
        self.direct_entry.set(address);
        if self.placement().is_in_kernel() {
            endpoint.set_direct_entry(address);
        }
    }

    /// Has the direct entry count at all its endpoints if it is in the kernel, and at none else.
    pub fn apply_direct_entry(&self) {
        let address = if self.placement().is_in_kernel() { self.direct_entry.get() } else { 0 };
        self.endpoints().iter().for_each(|endpoint| endpoint.set_direct_entry(address));
    }

    /// Forgets its direct entry.
    pub fn forget_direct_entry(&self) {
        self.direct_entry.set(0);
        self.apply_direct_entry();
    }

    /// Offset in its region, and bytes, of the state that it hands over when it is relocated.
    pub fn state(&self) -> (u64, u64) {
        self.state.get()
    }

    /// Hands over this state when it is relocated.
    pub fn set_state(&self, offset: u64, size: u64) {
        self.state.set(if size == 0 { (0, 0) } else { (offset, size) });
    }

    /// Base address of its region as its program sees it: addresses of 32-bit programs are relative to their segments.
    pub fn program_base(&self) -> u64 {
        if self.placement().is_32_bit() { 0 } else { self.base() }
    }

    /// Of a 32-bit server: bytes of its slot in the region of small spaces; 0 if it is never there.
    pub fn slot_size(&self) -> u64 {
        u64::from(self.slot_mib) << 20
    }

    /// Bytes of its region.
    pub fn region_size(&self) -> u64 {
        match self.placement() {
            Placement::Small => self.slot_size(),
            Placement::Large => LARGE_SIZE,
            _ => REGION_SIZE,
        }
    }

    /// The page table that its region is mapped in.
    pub fn root(&self) -> u64 {
        self.space().map_or_else(arch::kernel_root, |space| space.root)
    }

    /// Of a 32-bit server: the segments of its threads where it is now.
    pub fn segments(&self) -> Segments {
        match self.placement() {
            Placement::Small => Segments { base: self.base(), size: self.slot_size() },
            _ => Segments::OF_OWN_SPACE,
        }
    }

    /// Whether it has died.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed) != 0
    }

    /// It has ended: notes that on all its endpoints, where nobody receives any more.
    pub fn end(&self) {
        self.set_dead(true);
        self.direct_entry.set(0);
        self.endpoints().iter().for_each(|endpoint| endpoint.receivers.clear());
    }

    /// It starts again, from its beginning.
    pub fn begin_life(&self) {
        self.state.set((0, 0));
        self.endpoints().iter().for_each(Endpoint::forget_notification);
        self.set_dead(false);
        self.life.set(self.life().wrapping_add(1));
        self.policy.start_over();
    }

    /// All of its threads are about to begin elsewhere; each waits for a message now.
    pub fn begin_elsewhere(&self) {
        self.forget_direct_entry();
        self.state.set((0, 0));
        self.endpoints().iter().for_each(|endpoint| endpoint.receivers.clear());
    }

    fn set_dead(&self, dead: bool) {
        self.dead.store(dead.into(), Ordering::Relaxed);
        self.endpoints().iter().for_each(|endpoint| endpoint.set_dead(dead));
    }

    /// How often it has been started again.
    pub fn life(&self) -> u32 {
        self.life.get()
    }

    /// Its threads.
    pub fn threads(&self) -> &'static [Thread] {
        self.threads.get()
    }

    /// Where its threads receive: one endpoint for each of its CPUs, or one for each of its threads.
    pub fn endpoints(&self) -> &'static [Endpoint] {
        self.endpoints.get()
    }

    /// The CPU that a thread starts on.
    pub fn cpu_of_thread(&self, index: u32) -> u32 {
        self.cpus.first + index % self.cpus.count
    }

    /// Where a thread receives when it starts.
    pub fn endpoint_of_thread(&self, index: u32) -> &'static Endpoint {
        let endpoints = self.endpoints();
        &endpoints[index as usize % endpoints.len()]
    }

    /// Where a right to it leads on a CPU: to its endpoint there, or else to the proxy of that of a thread, or of one of its
    /// CPUs.
    pub fn endpoint_for(&self, cpu: u32, thread: u32) -> &'static Endpoint {
        let index = if self.has_thread_endpoints {
            thread
        } else if self.cpus.contains(cpu) {
            cpu - self.cpus.first
        } else {
            cpu % self.cpus.count
        } as usize;
        let endpoint = &self.endpoints()[index];
        if endpoint.cpu() == cpu { endpoint } else { &self.proxies.get()[index] }
    }

    /// Whom its threads on a CPU may reach.
    pub fn rights_on(&self, cpu: u32) -> Rights {
        let rights = self.rights.get().get(cpu.wrapping_sub(self.cpus.first) as usize);
        rights.cloned().unwrap_or(Rights::none())
    }
}
