//! From the plan to running servers.

use core::cell::Cell;
use core::fmt::{self, Write as _};
use core::ptr::with_exposed_provenance;
use core::slice;

use abi::address::{HOME_COUNT, HOME_TOP_ENTRY_FIRST, REGION_SIZE, SLOT_COUNT, top_entry_base};
use abi::boot::{BootInfo, Module, PhysicalRange, flag};
use abi::plan::{PRIORITY_MAX, Plan, PlanRight, PlanServer, placement, server_flag, trust};
use abi::region::{START_INFO_OFFSET, StartInfo, THREADS_MAX, WORKING_SET_PAGES_MAX, stack_end};
use abi::report::feature;

use crate::arch;
use crate::cpu::Cpu;
use crate::endpoint::Right;
use crate::image::{Image, ImageError};
use crate::kernel::Kernel;
use crate::memory::{Memory, OutOfMemory};
use crate::region::{Mapped, Region, RegionError, SharedPages};
use crate::report::ReportWriter;
use crate::server::{Placement, Server};
use crate::slot::FreeSlots;
use crate::space::Space;
use crate::thread::Thread;

/// Why the plan cannot be started. `server` is its index in the plan.
#[derive(Clone, Copy, Debug)]
pub enum StartError {
    /// The plan itself makes no sense.
    Plan {
        /// Which server.
        server: u32,
        /// What is wrong.
        reason: &'static str,
    },
    /// The program cannot be loaded.
    Image {
        /// Which server.
        server: u32,
        /// What is wrong.
        error: ImageError,
    },
    /// Memory is used up.
    OutOfMemory {
        /// Which server.
        server: u32,
    },
    /// PCIDs were asked for, and the CPU has none.
    NoPcid,
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Plan { server, reason } => write!(formatter, "server {server} of the plan: {reason}"),
            StartError::Image { server, error } => {
                write!(formatter, "the program of server {server} cannot be loaded: {error}")
            }
            StartError::OutOfMemory { server } => {
                write!(
                    formatter,
                    "guest memory is used up at server {server}; give the guest more (--memory)"
                )
            }
            StartError::NoPcid => formatter.write_str("the plan asks for PCIDs, and this CPU has none"),
        }
    }
}

/// The features to use of those detected: PCIDs only if the plan asks for them.
pub fn choose_features(boot: &BootInfo, detected: u64) -> u64 {
    if plan(boot).0.flags & abi::plan::flag::PCID != 0 { detected } else { detected & !feature::PCID }
}

/// The plan, its servers and its rights.
fn plan(boot: &BootInfo) -> (&'static Plan, &'static [PlanServer], &'static [PlanRight]) {
    let address = arch::physical_pointer(boot.plan).expose_provenance();
    // SAFETY: the VMM has laid the three out there, one behind the other, and nobody writes to them.
    unsafe {
        let plan: &Plan = &*with_exposed_provenance(address);
        let servers = address + size_of::<Plan>();
        let rights = servers + plan.server_count as usize * size_of::<PlanServer>();
        (
            plan,
            slice::from_raw_parts(with_exposed_provenance(servers), plan.server_count as usize),
            slice::from_raw_parts(with_exposed_provenance(rights), plan.right_count as usize),
        )
    }
}

/// The programs that the VMM has loaded.
fn modules(boot: &BootInfo) -> &'static [Module] {
    let address = arch::physical_pointer(boot.modules).expose_provenance();
    // SAFETY: the VMM has laid the array out there, and nobody writes to it.
    unsafe { slice::from_raw_parts(with_exposed_provenance(address), boot.module_count as usize) }
}

/// The bytes of a program.
fn file_bytes(file: PhysicalRange) -> &'static [u8] {
    // SAFETY: the VMM has loaded the file there; servers get its pages for reading only.
    unsafe { slice::from_raw_parts(arch::physical_pointer(file.start), file.size as usize) }
}

/// Loads all servers of the plan and makes their threads ready on `cpu`.
pub fn start(
    boot: &BootInfo,
    cpu: &'static Cpu,
    report: ReportWriter,
    features: u64,
) -> Result<(), StartError> {
    let (plan, servers, rights) = plan(boot);
    let use_pcid = plan.flags & abi::plan::flag::PCID != 0;
    if use_pcid && features & feature::PCID == 0 {
        return Err(StartError::NoPcid);
    }
    let memory = Memory::new(boot.free_memory);
    let no_memory = |_: OutOfMemory| StartError::OutOfMemory { server: 0 };
    let pages = SharedPages::new(&memory, features & feature::STEAL_TIME != 0).map_err(no_memory)?;
    arch::set_interface_pages(pages.user_interface, pages.kernel_interface);
    let home_count = servers.iter().filter(|plan| is_migratable(plan)).count();
    if home_count > HOME_COUNT {
        return Err(StartError::Plan { server: 0, reason: "more than 255 servers may migrate" });
    }
    arch::add_homes(home_count, &memory).map_err(no_memory)?;
    if let Some(frame) = pages.steal_time {
        arch::enable_steal_time(frame);
    }
    let has_driver = servers.iter().any(is_driver);
    let kernel = Kernel { report, servers: Cell::new(&[]), has_driver: Cell::new(has_driver) };
    cpu.kernel.set(Some(memory.object(kernel).map_err(no_memory)?));

    let loader = Loader {
        boot,
        memory: &memory,
        pages,
        slots: FreeSlots::new(memory.zeroed_words(SLOT_COUNT).map_err(no_memory)?),
        spaces: Spaces::new(&memory, servers.len(), home_count, use_pcid).map_err(no_memory)?,
    };
    let created = create_all(&loader, servers)?;
    if let Some(kernel) = cpu.kernel.get() {
        kernel.servers.set(created);
    }
    for (server, plan) in created.iter().zip(servers) {
        let rights = resolve_rights(&memory, created, plan, rights, server.index)?;
        server.rights.set(rights);
        server.endpoint.server.set(Some(server));
    }
    for (server, plan) in created.iter().zip(servers) {
        start_threads(&memory, cpu, server, plan)?;
    }
    if boot.flags & flag::VERBOSE != 0 {
        describe(created, features);
    }
    Ok(())
}

fn is_driver(plan: &PlanServer) -> bool {
    plan.flags & server_flag::DRIVER != 0
}

fn is_migratable(plan: &PlanServer) -> bool {
    plan.flags & server_flag::MIGRATABLE != 0
}

fn create_all(loader: &Loader<'_>, servers: &[PlanServer]) -> Result<&'static [Server], StartError> {
    let mut failure = None;
    let created = loader.memory.objects(servers.len(), |index| {
        loader.create(&servers[index], index as u32).map_err(|error| {
            failure = Some(error);
            OutOfMemory
        })
    });
    created.map_err(|OutOfMemory| failure.unwrap_or(StartError::OutOfMemory { server: 0 }))
}

/// Creates servers one after the other.
struct Loader<'boot> {
    boot: &'boot BootInfo,
    memory: &'boot Memory,
    pages: SharedPages,
    slots: FreeSlots,
    spaces: Spaces,
}

impl Loader<'_> {
    /// Loads one server into its region. It has neither rights nor threads yet.
    fn create(&self, plan: &PlanServer, index: u32) -> Result<Server, StartError> {
        check(plan).map_err(|reason| StartError::Plan { server: index, reason })?;
        let out_of_memory = |OutOfMemory| StartError::OutOfMemory { server: index };
        let module = modules(self.boot)
            .get(plan.module as usize)
            .ok_or(StartError::Plan { server: index, reason: "there is no such module" })?;
        let image = Image::parse(file_bytes(module.file))
            .map_err(|error| StartError::Image { server: index, error })?;

        let place = self.find_place(plan, index)?;
        let region = Region {
            root: place.space.map_or_else(arch::kernel_root, |space| space.root),
            base: place.base,
            user: place.placement == Placement::User,
            memory: self.memory,
            mapped: if is_migratable(plan) {
                Mapped::new(self.memory, plan.thread_count).map_err(out_of_memory)?
            } else {
                Mapped::default()
            },
        };
        region.load(&image, module.file.start).map_err(|error| match error {
            RegionError::Image(error) => StartError::Image { server: index, error },
            RegionError::OutOfMemory => StartError::OutOfMemory { server: index },
        })?;
        region.add_memory(plan).map_err(out_of_memory)?;
        let samples = if is_driver(plan) { self.boot.samples } else { PhysicalRange::default() };
        region.add_samples(samples).map_err(out_of_memory)?;
        let info = StartInfo {
            version: abi::VERSION,
            server: index,
            thread_count: plan.thread_count,
            right_count: plan.right_count,
            working_set_pages: plan.working_set_pages,
            steal_time: self.pages.steal_time.is_some().into(),
            sample_capacity: samples.size / 8,
            arguments: plan.arguments,
        };
        region.add_kernel_pages(&self.pages, &info).map_err(out_of_memory)?;
        let Place { placement, base, space, home } = place;
        let server = Server::new(index, placement, base, base + image.entry, space, home, is_driver(plan));
        server.trust_group.set(plan.trust_group);
        server.pages.set(region.mapped.ranges(self.memory).map_err(out_of_memory)?);
        Ok(server)
    }

    /// Takes a region for a server: a home if it may migrate, else a slot of the kernel or the next one of its space.
    fn find_place(&self, plan: &PlanServer, index: u32) -> Result<Place, StartError> {
        let out_of_memory = |OutOfMemory| StartError::OutOfMemory { server: index };
        let wrong = |reason| StartError::Plan { server: index, reason };
        let placement = if plan.placement == placement::KERNEL { Placement::Kernel } else { Placement::User };
        if is_migratable(plan) {
            let (home, base) = self.spaces.take_home(self.memory).map_err(out_of_memory)?;
            let space = (placement == Placement::User).then_some(home);
            if space.is_none() {
                arch::share_home(home, base);
            }
            return Ok(Place { placement, base, space, home: Some(home) });
        }
        if placement == Placement::Kernel {
            let base = self.slots.take().ok_or(wrong("no slot is free"))?;
            return Ok(Place { placement, base, space: None, home: None });
        }
        let taken = self.spaces.take_region(plan.space, self.memory).map_err(out_of_memory)?;
        let (space, base) = taken.ok_or(wrong("its space number is not below the number of servers"))?;
        Ok(Place { placement, base, space: Some(space), home: None })
    }
}

/// Where a server is put.
struct Place {
    placement: Placement,
    base: u64,
    space: Option<&'static Space>,
    home: Option<&'static Space>,
}

/// What the VMM should have made sure of.
fn check(plan: &PlanServer) -> Result<(), &'static str> {
    if plan.placement > placement::KERNEL {
        return Err("there is no such placement");
    }
    if plan.placement == placement::KERNEL && plan.trust_group != trust::CRITICAL_TRUSTED {
        return Err("only trust group 1 (critical and trusted) may run in the kernel");
    }
    if !(1..=THREADS_MAX).contains(&plan.thread_count) {
        return Err("its number of threads is out of range");
    }
    if plan.priority > PRIORITY_MAX {
        return Err("its priority is out of range");
    }
    if plan.working_set_pages > WORKING_SET_PAGES_MAX {
        return Err("its working set is too large");
    }
    Ok(())
}

/// The user spaces of the plan, by number.
struct Spaces {
    spaces: &'static [PlannedSpace],
    created: Cell<u64>,
    home_count: usize,
    homes_taken: Cell<usize>,
    use_pcid: bool,
}

/// A space that the plan names, once a server has been placed in it.
struct PlannedSpace {
    space: Cell<Option<&'static Space>>,
    regions: Cell<u64>,
}

impl Spaces {
    fn new(memory: &Memory, count: usize, home_count: usize, use_pcid: bool) -> Result<Spaces, OutOfMemory> {
        let none = |_| Ok(PlannedSpace { space: Cell::new(None), regions: Cell::new(0) });
        Ok(Spaces {
            spaces: memory.objects(count, none)?,
            created: Cell::new(0),
            home_count,
            homes_taken: Cell::new(0),
            use_pcid,
        })
    }

    fn create(&self, memory: &Memory) -> Result<&'static Space, OutOfMemory> {
        let index = self.created.get();
        self.created.set(index + 1);
        memory.object(Space::new(arch::new_root(self.home_count, memory)?, index, self.use_pcid))
    }

    /// A space of its own for a server that may migrate, and the base of its home.
    fn take_home(&self, memory: &Memory) -> Result<(&'static Space, u64), OutOfMemory> {
        let index = self.homes_taken.get();
        self.homes_taken.set(index + 1);
        let base = top_entry_base(HOME_TOP_ENTRY_FIRST + index);
        let space = self.create(memory)?;
        space.own_level3.set(arch::add_own_home(space.root, base, memory)?);
        Ok((space, base))
    }

    /// The space with this number, made if no server is in it yet, and the base of its next free region. The first
    /// 4 GiB stay empty, so that null pointers fault.
    fn take_region(
        &self,
        number: u32,
        memory: &Memory,
    ) -> Result<Option<(&'static Space, u64)>, OutOfMemory> {
        let Some(planned) = self.spaces.get(number as usize) else { return Ok(None) };
        let space = match planned.space.get() {
            Some(space) => space,
            None => {
                let space = self.create(memory)?;
                planned.space.set(Some(space));
                space
            }
        };
        planned.regions.set(planned.regions.get() + 1);
        Ok(Some((space, planned.regions.get() * REGION_SIZE)))
    }
}

/// The server's part of the plan's rights, with the endpoints that they lead to.
fn resolve_rights(
    memory: &Memory,
    servers: &'static [Server],
    plan: &PlanServer,
    rights: &[PlanRight],
    index: u32,
) -> Result<&'static [Right], StartError> {
    let wrong = StartError::Plan { server: index, reason: "its rights are not in the plan, or lead nowhere" };
    let first = plan.first_right as usize;
    let own =
        first.checked_add(plan.right_count as usize).and_then(|end| rights.get(first..end)).ok_or(wrong)?;
    if own.iter().any(|right| right.target as usize >= servers.len()) {
        return Err(wrong);
    }
    let resolved = memory.objects(own.len(), |index| {
        Ok(Right { endpoint: &servers[own[index].target as usize].endpoint, badge: own[index].badge })
    });
    resolved.map_err(|OutOfMemory| StartError::OutOfMemory { server: index })
}

/// Makes the server's threads, ready to run at its entry.
fn start_threads(
    memory: &Memory,
    cpu: &'static Cpu,
    server: &'static Server,
    plan: &PlanServer,
) -> Result<(), StartError> {
    let threads = memory.objects(plan.thread_count as usize, |index| {
        let stack_pointer = stack_end(server.base, index as u32) - 8;
        Ok(Thread::new(server, index as u32, plan.priority as u8, stack_pointer))
    });
    let threads = threads.map_err(|OutOfMemory| StartError::OutOfMemory { server: server.index })?;
    server.threads.set(threads);
    for thread in threads {
        cpu.make_ready(thread);
    }
    Ok(())
}

/// Says on the console what runs where.
fn describe(servers: &[Server], features: u64) {
    let mut console = Console;
    // The console never fails.
    let _ = writeln!(console, "inkbed kernel: features {features:#x}, {} servers", servers.len());
    for server in servers {
        let _ = writeln!(
            console,
            "  server {}: {:?}, region {:#x}, start information at {:#x}, {} threads",
            server.index,
            server.placement,
            server.base,
            server.base + START_INFO_OFFSET,
            server.threads.get().len(),
        );
    }
}

/// The serial console, for `write!`.
struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        arch::write_console(text.as_bytes());
        Ok(())
    }
}
