//! Servers: a program in its region, with its threads, its endpoint and its rights.

use core::cell::Cell;

use crate::endpoint::{Endpoint, Rights};
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

/// A server. Clients are servers too: what they do with their endpoint is their affair.
pub struct Server {
    /// Index in the plan.
    pub index: u32,
    /// Where it runs.
    pub placement: Placement,
    /// Base address of its region.
    pub base: u64,
    /// Address where its threads start.
    pub entry: u64,
    /// Its address space; `None` when it runs in the kernel.
    pub space: Option<&'static Space>,
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
    /// A server without rights and threads.
    pub fn new(
        index: u32,
        placement: Placement,
        base: u64,
        entry: u64,
        space: Option<&'static Space>,
        is_driver: bool,
    ) -> Server {
        Server {
            index,
            placement,
            base,
            entry,
            space,
            is_driver,
            endpoint: Endpoint::default(),
            rights: Rights::none(),
            threads: Cell::new(&[]),
        }
    }

    /// Whether it has died.
    pub fn is_dead(&self) -> bool {
        self.endpoint.dead.get()
    }
}
