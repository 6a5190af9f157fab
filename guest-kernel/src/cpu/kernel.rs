//! What all CPUs share.

use core::cell::Cell;

use super::Cpu;
use super::port::CpuPort;
use super::world::{Alone, World};
use crate::arch::Pmu;
use crate::measure::marks::Marks;
use crate::measure::report::ReportWriter;
use crate::memory::Placement;
use crate::object::server::Server;

/// What the plan has become.
#[derive(Clone, Copy)]
struct Loaded {
    servers: &'static [Server],
    regions: &'static dyn Regions,
}

/// What a kernel is told when it begins, and never changes.
pub struct Settings {
    /// Whether a server drives the case: without one the guest idles for ever when nobody is ready.
    pub has_driver: bool,
    /// Up to this number of pages a flush of the TLB goes page by page.
    pub flush_threshold_pages: u32,
    /// Whether the TLB entries of user spaces carry PCIDs.
    pub has_pcids: bool,
    /// Whether time slices end.
    pub has_time_slices: bool,
    /// What is done as soon as a server has proved stable: IPC, which sees it, knows nothing of migration.
    pub when_proved_stable: fn(&Cpu, &'static Server),
}

/// The kernel's root object.
pub struct Kernel {
    /// The report of the case.
    pub report: ReportWriter,
    /// All servers, and where their regions come from; `None` until the plan has been loaded.
    loaded: Cell<Option<Loaded>>,
    /// What it was told when it began.
    pub settings: Settings,
    /// The performance counters around the measured part.
    pub pmu: Pmu,
    /// All CPUs, by index.
    pub cpus: Cpus,
    /// How all CPUs but one stop.
    pub world: World,
    /// Where the driver's threads wait for each other.
    pub marks: Marks,
}

impl Kernel {
    /// The kernel of these CPUs, without servers.
    pub fn new(report: ReportWriter, settings: Settings, pmu: Pmu, cpus: Cpus) -> Kernel {
        Kernel {
            report,
            loaded: Cell::new(None),
            settings,
            pmu,
            cpus,
            world: World::default(),
            marks: Marks::default(),
        }
    }

    /// The plan has become these servers, whose regions come from there.
    pub fn set_loaded(&self, servers: &'static [Server], regions: &'static dyn Regions) {
        self.loaded.set(Some(Loaded { servers, regions }));
    }

    /// All servers, in the order of the plan.
    pub fn servers(&self) -> &'static [Server] {
        self.loaded.get().map_or(&[], |loaded| loaded.servers)
    }

    /// Where regions of servers come from; `None` until the plan has been loaded.
    pub fn regions(&self) -> Option<&'static dyn Regions> {
        self.loaded.get().map(|loaded| loaded.regions)
    }
}

/// All CPUs, by index: to everybody their ports, and to whoever has stopped them all of them.
pub struct Cpus(&'static [&'static Cpu]);

impl Cpus {
    /// These CPUs, by index.
    pub fn new(cpus: &'static [&'static Cpu]) -> Cpus {
        Cpus(cpus)
    }

    /// Their number.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Their ports, by index.
    pub fn ports(&self) -> impl Iterator<Item = &'static CpuPort> {
        self.0.iter().map(|cpu| cpu.port())
    }

    /// The port of the CPU with this index, which must exist.
    pub fn port(&self, index: u32) -> &'static CpuPort {
        self.0[index as usize].port()
    }

    /// The CPUs themselves.
    pub fn of_all<'alone>(&self, _: &'alone Alone<'_>) -> &'alone [&'alone Cpu] {
        self.0
    }
}

/// Where regions come from, and go to.
pub trait Regions {
    /// Loads the server's program into a fresh region. Fails with a status, having left nothing behind.
    fn load(&self, alone: &Alone<'_>, server: &'static Server, placement: Placement) -> Result<(), u64>;

    /// Loads the server's program into a fresh region in another placement, carries its state over, and takes the old region
    /// away. Fails with a status, having changed nothing.
    fn relocate(&self, alone: &Alone<'_>, server: &'static Server, placement: Placement) -> Result<(), u64>;

    /// Takes the server's region away from every page table and TLB, then gives its frames and its slot back.
    fn take_away(&self, alone: &Alone<'_>, server: &'static Server);

    /// Takes a slot of the region of small spaces, with one of its sizes, and returns its base address.
    fn take_small_slot(&self, size: u64) -> Option<u64>;

    /// Gives such a slot back.
    fn give_small_slot_back(&self, base: u64, size: u64);

    /// Frames handed out and not given back.
    fn frames_in_use(&self) -> u64;

    /// Physical address where KVM may keep its steal-time record of a CPU, if it does and there is space.
    fn steal_time_of(&self, cpu: u32) -> Option<u64>;
}

impl Cpu {
    /// Where regions of servers come from; `None` until the plan has been loaded.
    pub fn regions(&self) -> Option<&'static dyn Regions> {
        self.kernel().and_then(Kernel::regions)
    }

    /// Frames handed out and not given back, 0 before the plan is started.
    pub fn frames_in_use(&self) -> u64 {
        self.regions().map_or(0, Regions::frames_in_use)
    }
}
