//! Loading the servers of a plan: each into a region of its own, in a user space, in a slot of the kernel, or in its home.

use core::cell::Cell;

use abi::boot::{BootInfo, Module, PhysicalRange};
use abi::call::status;
use abi::plan::PlanServer;
use abi::region::StartInfo;

use super::handover;
use super::image::{Image, ImageError};
use super::plan::{self, StartError, is_driver, is_migratable, placement_of};
use super::region::{Region, RegionError, SharedPages, ranges_max};
use super::spaces::Spaces;
use crate::arch::{self, DetachedRegion, Mapper};
use crate::cpu::kernel::Regions;
use crate::cpu::tlb::Reach;
use crate::cpu::world::Alone;
use crate::memory::slot::FreeSlots;
use crate::memory::small_slot::SmallSlots;
use crate::memory::{Memory, OutOfMemory, PageRanges, Placement};
use crate::object::server::{Location, Server};
use crate::object::space::Space;
use crate::object::trust::Policy;
use crate::smp::flush;

/// Loads servers into their regions, at the start and later.
pub struct Loader {
    /// What the VMM has handed over.
    pub boot: &'static BootInfo,
    /// Servers as the plan has them.
    pub plan: &'static [PlanServer],
    /// Programs that the VMM has loaded.
    pub modules: &'static [Module],
    /// The image of each, once a server of it has been loaded.
    pub images: &'static [Cell<Option<&'static Image<'static>>>],
    /// Where memory comes from.
    pub memory: &'static Memory,
    /// Pages that all servers share.
    pub pages: SharedPages,
    /// Free slots of the kernel.
    pub slots: FreeSlots,
    /// Free slots of the region of small spaces.
    pub small_slots: SmallSlots,
    /// Whether 64-bit programs may be put into user space.
    pub may_run_64_bit_in_user: bool,
    /// User spaces.
    pub spaces: Spaces,
}

impl Loader {
    /// Makes server `index` of the plan and loads it. It has neither rights nor threads yet.
    pub fn create(&self, index: u32) -> Result<Server, StartError> {
        let plan = &self.plan[index as usize];
        plan::check(plan, self.boot.cpu_count)
            .map_err(|reason| StartError::Plan { server: index, reason })?;
        let out_of_memory = |OutOfMemory| StartError::OutOfMemory { server: index };
        let placement = placement_of(plan);
        let traits = plan::traits_of(plan);
        let home = match is_migratable(plan) {
            true if placement.is_32_bit() => {
                Some((self.spaces.take_large(true, self.memory).map_err(out_of_memory)?, 0))
            }
            true => Some(self.spaces.take_home(self.memory).map_err(out_of_memory)?),
            false => None,
        };
        let place = self.find_place(plan, index, placement, u64::from(traits.slot_mib) << 20, home, None)?;
        let ranges = self.memory.zeroed(ranges_max(plan.thread_count)).map_err(out_of_memory)?;
        let pages = PageRanges::new(ranges);
        let home = home.map(|(space, _)| space);
        for space in place.space.into_iter().chain(home) {
            // Nothing has been loaded yet.
            let _ = space.add_cpus(traits.cpus);
        }
        let server = Server::new(
            index,
            place.location(placement),
            pages,
            home,
            traits,
            plan.trust_group,
            Policy::new(plan),
        );
        self.fill(&server)?;
        Ok(server)
    }

    /// Fills the region of a server, whose placement, base and space are set.
    fn fill(&self, server: &Server) -> Result<(), StartError> {
        let index = server.index;
        let plan = &self.plan[index as usize];
        let out_of_memory = |OutOfMemory| StartError::OutOfMemory { server: index };
        let module = plan.module as usize;
        let wrong_image = |error| StartError::Image { server: index, error };
        let image = match self.images.get(module).and_then(Cell::get) {
            Some(image) => image,
            None => self.parse(index, module)?,
        };
        if image.is_32_bit != server.placement().is_32_bit() {
            return Err(wrong_image(ImageError::WrongWidth));
        }
        let base = server.base();
        let region = Region {
            mapper: Mapper::new(server.root(), server.placement(), self.memory),
            base,
            placement: server.placement(),
            // Its pages lie at the same offsets wherever it is loaded: the first time tells.
            mapped: server.pages.is_empty().then_some(&server.pages),
        };
        region.load(image, self.modules[module].file.start).map_err(|error| match error {
            RegionError::Image(error) => wrong_image(error),
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
            steal_time_cpus: self.pages.steal_time_cpus,
            sample_capacity: samples.size / 8,
            tsc_hz: self.boot.tsc_hz,
            arguments: plan.arguments,
        };
        region.add_kernel_pages(&self.pages, &info).map_err(out_of_memory)?;
        server.set_entry(server.program_base() + image.entry);
        Ok(())
    }

    /// The image of a program, whose first server this is.
    #[cold]
    fn parse(&self, index: u32, module: usize) -> Result<&'static Image<'static>, StartError> {
        let (program, parsed) = self
            .modules
            .get(module)
            .zip(self.images.get(module))
            .ok_or(StartError::Plan { server: index, reason: "there is no such module" })?;
        let image = Image::parse(handover::file_bytes(program.file))
            .map_err(|error| StartError::Image { server: index, error })?;
        let image =
            self.memory.object(image).map_err(|OutOfMemory| StartError::OutOfMemory { server: index })?;
        parsed.set(Some(image));
        Ok(image)
    }

    /// A region for a server: its home if it may migrate, else a slot of the kernel or of the region of small spaces, or the
    /// place that it had in user space before, or the next one of its space there, or a space of its own.
    fn find_place(
        &self,
        plan: &PlanServer,
        index: u32,
        placement: Placement,
        slot_size: u64,
        home: Option<(&'static Space, u64)>,
        before: Option<(&'static Space, u64)>,
    ) -> Result<Place, StartError> {
        let wrong = |reason| StartError::Plan { server: index, reason };
        if placement == Placement::Small {
            let base = self.small_slots.take(slot_size);
            let base = base.ok_or(wrong("the slots of its size for small spaces are all taken"))?;
            return Ok(Place::new(base, None));
        }
        if let Some((home, base)) = home {
            let is_rehung = arch::hang_home(home.home(), base, placement);
            let space = (!placement.is_in_kernel()).then_some(home);
            return Ok(Place { is_rehung, ..Place::new(base, space) });
        }
        if placement.is_in_kernel() {
            let base = self
                .slots
                .take()
                .ok_or(wrong("all slots of the kernel are taken; place fewer servers in the kernel"))?;
            return Ok(Place::new(base, None));
        }
        if let Some((space, base)) = before {
            return Ok(Place::new(base, Some(space)));
        }
        if placement == Placement::Large {
            let space = self.spaces.take_large(false, self.memory);
            let space = space.map_err(|OutOfMemory| StartError::OutOfMemory { server: index })?;
            return Ok(Place::new(0, Some(space)));
        }
        let taken = self.spaces.take_region(plan.space, self.memory);
        let taken = taken.map_err(|OutOfMemory| StartError::OutOfMemory { server: index })?;
        let (space, base) =
            taken.ok_or(wrong("its space is full, or its number is not below that of the servers"))?;
        Ok(Place::new(base, Some(space)))
    }

    /// Gives the region's frames back, and its slot. No TLB may hold it any more.
    fn release(&self, server: &Server, region: DetachedRegion) {
        arch::release_region(region, self.memory);
        if server.placement() == Placement::Small {
            self.small_slots.give_back(server.base(), server.slot_size());
        } else if server.home.is_none() && server.placement().is_in_kernel() {
            self.slots.give_back(server.base());
        }
    }
}

impl Regions for Loader {
    fn load(&self, alone: &Alone<'_>, server: &'static Server, placement: Placement) -> Result<(), u64> {
        let plan = &self.plan[server.index as usize];
        if placement_of(plan).is_32_bit() != placement.is_32_bit()
            || placement == Placement::Small && server.slot_size() == 0
            || server.home.is_some() && !placement.moves()
        {
            return Err(status::BAD_ARGUMENT);
        }
        if placement == Placement::User && !self.may_run_64_bit_in_user {
            return Err(status::NOT_PERMITTED);
        }
        let home_base = if placement.is_32_bit() { 0 } else { server.base() };
        let home = server.home.map(|home| (home, home_base));
        let place = self
            .find_place(plan, server.index, placement, server.slot_size(), home, server.user_place())
            .map_err(|_| status::EXHAUSTED)?;
        server.set_location(place.location(placement));
        if place.is_rehung {
            let region = (server, Reach::of(server.home));
            flush::regions(alone, core::iter::once(region), server.pages.page_count());
        }
        if server.home.is_none()
            && let Some(space) = place.space
        {
            server.set_user_place(space, place.base);
            if space.add_cpus(server.cpus) {
                flush::everything(alone);
            }
        }
        self.fill(server).map_err(|_| {
            self.take_away(alone, server);
            status::EXHAUSTED
        })
    }

    fn relocate(&self, alone: &Alone<'_>, server: &'static Server, placement: Placement) -> Result<(), u64> {
        let old = (server.location(), server.entry());
        let (offset, size) = server.state();
        let state = (server.root(), server.base() + offset);
        let loaded = self.load(alone, server, placement).and_then(|()| {
            let target = (server.root(), server.base() + offset);
            arch::copy_between(state, target, size).ok_or_else(|| {
                self.take_away(alone, server);
                status::BAD_ARGUMENT
            })
        });
        if let Err(error) = loaded {
            give(server, old);
            return Err(error);
        }
        let new = (server.location(), server.entry());
        give(server, old);
        self.take_away(alone, server);
        give(server, new);
        Ok(())
    }

    fn take_away(&self, alone: &Alone<'_>, server: &'static Server) {
        let (root, base) = (server.root(), server.base());
        let region = match server.placement() {
            Placement::Large if server.home.is_none() => arch::detach_large(root),
            Placement::Small | Placement::Large => arch::detach_slot(root, base, server.slot_size()),
            _ => arch::detach_region(root, base),
        };
        let reach = Reach::of(server.space());
        flush::regions(alone, core::iter::once((server, reach)), server.pages.page_count());
        self.release(server, region);
    }

    fn take_small_slot(&self, size: u64) -> Option<u64> {
        self.small_slots.take(size)
    }

    fn give_small_slot_back(&self, base: u64, size: u64) {
        self.small_slots.give_back(base, size);
    }

    fn frames_in_use(&self) -> u64 {
        self.memory.frames_in_use()
    }

    fn steal_time_of(&self, cpu: u32) -> Option<u64> {
        self.pages.steal_time_of(cpu)
    }
}

/// Says where a server is, and where its threads start.
fn give(server: &Server, (location, entry): (Location, u64)) {
    server.set_location(location);
    server.set_entry(entry);
}

/// Where a server is put.
struct Place {
    base: u64,
    space: Option<&'static Space>,
    /// Whether its own space has another table there than before, which a TLB may know.
    is_rehung: bool,
}

impl Place {
    fn new(base: u64, space: Option<&'static Space>) -> Place {
        Place { base, space, is_rehung: false }
    }

    fn location(&self, placement: Placement) -> Location {
        Location { placement, base: self.base, space: self.space }
    }
}
