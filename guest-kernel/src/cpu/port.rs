//! What other CPUs may touch of a CPU: where they leave threads and notification bits for it, what it has counted, and its part in
//! stopping the others.

use abi::report::Counters;

use super::counters::CounterCells;
use crate::object::endpoint::Endpoint;
use crate::object::thread::Thread;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::mailbox::Mailbox;
use crate::sync::rendezvous::Attendance;

/// The part of a CPU that any other one may use at any time. All zero is that of a CPU that has not come up.
#[derive(Default)]
#[repr(C)]
pub struct CpuPort {
    index: AtomicU32,
    /// Only its own CPU changes them.
    pub(super) counters: CounterCells,
    apic_id: AtomicU32,
    /// 1 once the report has what was counted up to the end of the measured part.
    end_is_noted: AtomicU32,
    /// Threads that come home, or bring a message for a server here.
    arrivals: Mailbox<Thread>,
    /// Endpoints here that have got notification bits from other CPUs.
    notified: Mailbox<Endpoint>,
    attendance: Attendance,
}

impl CpuPort {
    /// Index of the CPU, 0 for the first.
    #[inline]
    pub fn index(&self) -> u32 {
        self.index.load(Ordering::Relaxed)
    }

    /// Identifier of its local APIC.
    pub fn apic_id(&self) -> u32 {
        self.apic_id.load(Ordering::Relaxed)
    }

    pub(super) fn set_index(&self, index: u32) {
        self.index.store(index, Ordering::Relaxed);
    }

    pub(super) fn set_apic_id(&self, apic_id: u32) {
        self.apic_id.store(apic_id, Ordering::Relaxed);
    }

    /// What it has counted.
    pub fn counters(&self) -> Counters {
        self.counters.snapshot()
    }

    /// Whether this is the first request for what was counted up to the end of the measured part.
    pub fn is_end_to_be_noted(&self) -> bool {
        self.end_is_noted.swap(1, Ordering::AcqRel) == 0
    }

    /// Gives a thread that is in no queue to this CPU. Whether it has to be interrupted to see that.
    #[must_use]
    pub fn post(&self, thread: &'static Thread) -> bool {
        self.arrivals.post(thread)
    }

    /// Gives an endpoint with new notification bits to this CPU, whose it is. Whether it has to be interrupted to see that.
    #[must_use]
    pub fn post_notification(&self, endpoint: &'static Endpoint) -> bool {
        self.notified.post(endpoint)
    }

    /// Whether threads or notification bits have come.
    pub fn has_arrivals(&self) -> bool {
        !self.arrivals.is_empty() || !self.notified.is_empty()
    }

    pub(super) fn arrivals(&self) -> impl Iterator<Item = &'static Thread> {
        self.arrivals.collect()
    }

    pub(super) fn notified(&self) -> impl Iterator<Item = &'static Endpoint> {
        self.notified.collect()
    }

    /// Its part in stopping all CPUs but one.
    pub fn attendance(&self) -> &Attendance {
        &self.attendance
    }
}
