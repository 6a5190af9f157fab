//! Servers: a program in its region, with its threads, its endpoint and its rights.

use core::cell::Cell;

use abi::plan::trust;

use crate::endpoint::{Endpoint, Rights};
use crate::partners::Partners;
use crate::space::Space;
use crate::thread::Thread;

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

/// A server. Clients are servers too: what they do with their endpoint is their affair.
pub struct Server {
    /// Index in the plan.
    pub index: u32,
    /// Where it runs.
    pub placement: Cell<Placement>,
    /// Its trust group, 1 to 4, see [`abi::plan::trust`].
    pub trust_group: Cell<u32>,
    /// Base address of its region.
    pub base: u64,
    /// Address where its threads start.
    pub entry: u64,
    /// Its address space; `None` when it runs in the kernel.
    pub space: Cell<Option<&'static Space>>,
    /// The space that is its own when it runs in user space, if it may migrate.
    pub home: Option<&'static Space>,
    /// The pages of its region that are mapped.
    pub pages: Cell<&'static [Cell<PageRange>]>,
    /// Address of the direct entry that it has registered, 0 if none. It counts only in the kernel.
    pub direct_entry: Cell<u64>,
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
    /// A server without rights and threads, in trust group 4.
    pub fn new(
        index: u32,
        placement: Placement,
        base: u64,
        entry: u64,
        space: Option<&'static Space>,
        home: Option<&'static Space>,
        is_driver: bool,
    ) -> Server {
        Server {
            index,
            placement: Cell::new(placement),
            trust_group: Cell::new(trust::NONCRITICAL_UNTRUSTED),
            base,
            entry,
            space: Cell::new(space),
            home,
            pages: Cell::new(&[]),
            direct_entry: Cell::new(0),
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
