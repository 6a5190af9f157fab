//! What all CPUs share.

use core::cell::Cell;

use crate::arch::Pmu;
use crate::lifecycle::Regions;
use crate::report::ReportWriter;
use crate::server::Server;

/// The kernel's root object.
pub struct Kernel {
    /// The report of the case.
    pub report: ReportWriter,
    /// All servers, in the order of the plan.
    pub servers: Cell<&'static [Server]>,
    /// Whether a server drives the case: without one the guest idles for ever when nobody is ready.
    pub has_driver: Cell<bool>,
    /// Up to this number of pages a flush of the TLB goes page by page.
    pub flush_threshold_pages: u32,
    /// Whether the TLB entries of user spaces carry PCIDs.
    pub has_pcids: bool,
    /// Where regions of servers come from; `None` until the plan has been started.
    pub regions: Cell<Option<&'static dyn Regions>>,
    /// The performance counters around the measured part.
    pub pmu: Pmu,
}
