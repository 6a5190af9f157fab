//! Servers: a program in its region, with its threads, its endpoint and its rights.

use core::cell::Cell;

use abi::plan::trust;

use crate::endpoint::{Endpoint, Rights};
use crate::partners::Partners;
use crate::space::Space;
use crate::thread::Thread;
use crate::trust::Policy;

/// Where a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Placement {
    /// In a user address space, in ring 3.
    User = 0,
    /// In a slot of the kernel's half, in ring 0.
    Kernel = 1,
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
    /// With whom it has exchanged messages lately.
    pub partners: Partners,
    /// Whether it drives the case.
    pub is_driver: bool,
    /// Where its threads receive.
    pub endpoint: Endpoint,
    /// Whom it may reach.
    pub rights: Rights,
    /// Its threads.
    pub threads: Cell<&'static [Thread]>,
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
        is_driver: bool,
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
            partners: Partners::default(),
            is_driver,
            endpoint: Endpoint::default(),
            rights: Rights::none(),
            threads: Cell::new(&[]),
        }
    }

    /// Whether it is trusted: only the talk's group 1 may run in the kernel.
    pub fn is_trusted(&self) -> bool {
        self.trust_group.get() == trust::CRITICAL_TRUSTED
    }

    /// Whether it has died.
    pub fn is_dead(&self) -> bool {
        self.endpoint.dead.get()
    }
}
