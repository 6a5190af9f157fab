//! What all CPUs share.

use core::cell::Cell;

use crate::arch::Pmu;
use crate::cpu::Cpu;
use crate::lifecycle::start_stop::Regions;
use crate::measure::mark::Marks;
use crate::measure::report::ReportWriter;
use crate::object::server::Server;
use crate::smp::world::World;

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
    /// Whether time slices end.
    pub has_time_slices: bool,
    /// Where regions of servers come from; `None` until the plan has been started.
    pub regions: Cell<Option<&'static dyn Regions>>,
    /// The performance counters around the measured part.
    pub pmu: Pmu,
    /// All CPUs, by index.
    pub cpus: &'static [&'static Cpu],
    /// How all CPUs but one stand still.
    pub world: World,
    /// Where the driver's threads wait for each other.
    pub marks: Marks,
}

impl Kernel {
    /// The CPU with this index.
    pub fn cpu(&self, index: u32) -> Option<&'static Cpu> {
        self.cpus.get(index as usize).copied()
    }
}
