//! Servers: a program in its region, with its threads, its endpoint and its rights.

use core::cell::Cell;

use abi::address::{LARGE_SIZE, REGION_SIZE};
use abi::plan::trust;

use crate::lifecycle::trust::Policy;
use crate::object::endpoint::{Endpoint, Rights};
use crate::object::space::Space;
use crate::object::thread::Thread;
use crate::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::sync::mailbox::Letter;

/// Where a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Placement {
    /// In a user address space, in ring 3.
    User = 0,
    /// In a slot of the kernel's half, in ring 0.
    Kernel = 1,
    /// A 32-bit program in a slot of the region of small spaces, in ring 3.
    Small = 2,
    /// A 32-bit program in a user address space of its own, in ring 3.
    Large = 3,
}

impl Placement {
    /// Whether it is one of 32-bit programs.
    pub fn is_32_bit(self) -> bool {
        matches!(self, Placement::Small | Placement::Large)
    }
}

/// Pages in a row of a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageRange {
    /// Offset of the first one in the region, bytes.
    pub offset: u64,
    /// Their number.
    pub count: u64,
}

/// The pages of a region that are mapped, in a room of fixed size.
#[derive(Default)]
pub struct PageRanges {
    room: &'static [Cell<PageRange>],
    count: Cell<usize>,
}

impl PageRanges {
    /// No pages yet, and room for as many ranges.
    pub fn new(room: &'static [Cell<PageRange>]) -> PageRanges {
        PageRanges { room, count: Cell::new(0) }
    }

    /// Adds a range; false if there is no room.
    #[must_use]
    pub fn add(&self, range: PageRange) -> bool {
        let place = self.room.get(self.count.get());
        if let Some(place) = place {
            place.set(range);
            self.count.set(self.count.get() + 1);
        }
        place.is_some()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    /// The ranges.
    pub fn iter(&self) -> impl Iterator<Item = PageRange> + '_ {
        self.room[..self.count.get()].iter().map(Cell::get)
    }

    /// Number of pages.
    pub fn page_count(&self) -> u64 {
        self.iter().map(|range| range.count).sum()
    }
}

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
pub struct Shape {
    /// Whether it drives the case.
    pub is_driver: bool,
    /// The CPUs that its threads are spread over.
    pub cpus: Spread,
    /// Whether each of its threads has an endpoint of its own.
    pub thread_endpoints: bool,
    /// Of a 32-bit server: MiB of its slot in the region of small spaces, if it is ever there.
    pub slot_mib: u8,
}

/// A server. Clients are servers too: what they do with their endpoint is their affair.
pub struct Server {
    /// Index in the plan.
    pub index: u32,
    /// Where it runs.
    pub placement: Cell<Placement>,
    /// Its trust group, 1 to 4, see [`abi::plan::trust`].
    pub trust_group: Cell<u32>,
    /// What the kernel decides about it by itself.
    pub policy: Policy,
    /// Base address of its region.
    pub base: Cell<u64>,
    /// Address where its threads start.
    pub entry: Cell<u64>,
    /// Its address space; `None` when it runs in the kernel.
    pub space: Cell<Option<&'static Space>>,
    /// The space that is its own when it runs in user space, if it may migrate.
    pub home: Option<&'static Space>,
    /// The pages of its region that are mapped.
    pub pages: PageRanges,
    /// Its space and its base there, once it has run in user space: they stay its own.
    pub user_place: Cell<Option<(&'static Space, u64)>>,
    /// Address of the direct entry that it has registered, 0 if none. It counts only in the kernel.
    pub direct_entry: Cell<u64>,
    /// Offset in its region, and bytes, of the state that it hands over when it is relocated.
    pub state: Cell<(u64, u64)>,
    /// Whether it drives the case.
    pub is_driver: bool,
    /// Of a 32-bit server: MiB of its slot in the region of small spaces, if it is ever there.
    slot_mib: u8,
    /// The CPUs that its threads are spread over.
    pub cpus: Spread,
    /// Whether each of its threads has an endpoint of its own.
    pub has_thread_endpoints: bool,
    /// Where its threads receive: one endpoint for each of its CPUs, or one for each of its threads.
    pub endpoints: Cell<&'static [Endpoint]>,
    /// What other CPUs have in the place of each endpoint.
    pub proxies: Cell<&'static [Endpoint]>,
    /// Whom it may reach, from each of its CPUs.
    pub rights: Cell<&'static [Rights]>,
    /// How often it has been started again.
    pub life: Cell<u32>,
    /// Whether it has died.
    dead: AtomicU32,
    /// Its threads.
    pub threads: Cell<&'static [Thread]>,
    link: AtomicPtr<Server>,
}

impl Letter for Server {
    fn link(&self) -> &AtomicPtr<Server> {
        &self.link
    }
}

impl Server {
    /// A server without program, rights and threads, in trust group 4.
    pub fn new(
        index: u32,
        placement: Placement,
        base: u64,
        pages: PageRanges,
        space: Option<&'static Space>,
        home: Option<&'static Space>,
        shape: Shape,
    ) -> Server {
        Server {
            index,
            placement: Cell::new(placement),
            trust_group: Cell::new(trust::NONCRITICAL_UNTRUSTED),
            policy: Policy::default(),
            base: Cell::new(base),
            entry: Cell::new(0),
            space: Cell::new(space),
            home,
            pages,
            user_place: Cell::new(space.map(|space| (space, base))),
            direct_entry: Cell::new(0),
            state: Cell::new((0, 0)),
            is_driver: shape.is_driver,
            slot_mib: shape.slot_mib,
            cpus: shape.cpus,
            has_thread_endpoints: shape.thread_endpoints,
            endpoints: Cell::new(&[]),
            proxies: Cell::new(&[]),
            rights: Cell::new(&[]),
            life: Cell::new(0),
            dead: AtomicU32::new(0),
            threads: Cell::new(&[]),
            link: AtomicPtr::default(),
        }
    }

    /// Whether it is trusted: only the talk's group 1 may run in the kernel.
    pub fn is_trusted(&self) -> bool {
        self.trust_group.get() == trust::CRITICAL_TRUSTED
    }

    /// Base address of its region as its program sees it: addresses of 32-bit programs are relative to their segments.
    pub fn program_base(&self) -> u64 {
        if self.placement.get().is_32_bit() { 0 } else { self.base.get() }
    }

    /// Of a 32-bit server: bytes of its slot in the region of small spaces; 0 if it is never there.
    pub fn slot_size(&self) -> u64 {
        u64::from(self.slot_mib) << 20
    }

    /// Bytes of its region.
    pub fn region_size(&self) -> u64 {
        match self.placement.get() {
            Placement::User | Placement::Kernel => REGION_SIZE,
            Placement::Small => self.slot_size(),
            Placement::Large => LARGE_SIZE,
        }
    }

    /// Whether it has died.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed) != 0
    }

    /// Notes that it has died, or has been started again, on all its endpoints.
    pub fn set_dead(&self, dead: bool) {
        self.dead.store(dead.into(), Ordering::Relaxed);
        for endpoint in self.endpoints.get() {
            endpoint.dead.set(dead);
        }
    }

    /// The CPU that a thread starts on.
    pub fn cpu_of_thread(&self, index: u32) -> u32 {
        self.cpus.first + index % self.cpus.count
    }

    /// Where a thread receives when it starts.
    pub fn endpoint_of_thread(&self, index: u32) -> &'static Endpoint {
        let endpoints = self.endpoints.get();
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
        let endpoint = &self.endpoints.get()[index];
        if endpoint.cpu.get() == cpu { endpoint } else { &self.proxies.get()[index] }
    }

    /// Whom its threads on a CPU may reach.
    pub fn rights_on(&self, cpu: u32) -> Rights {
        let rights = self.rights.get().get(cpu.wrapping_sub(self.cpus.first) as usize);
        rights.cloned().unwrap_or(Rights::none())
    }
}
