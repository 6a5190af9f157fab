//! Filling a server's region: image, kernel interface page, start information, stacks, working set, samples.
//!
//! The same code fills a region in a user space and a slot of the kernel. What differs is one bit of every page, and
//! which of the kernel interface pages is mapped. The regions of 32-bit servers have other offsets.

use core::ptr::{copy_nonoverlapping, with_exposed_provenance_mut};

use abi::address::PAGE_SIZE;
use abi::boot::PhysicalRange;
use abi::call::number;
use abi::plan::PlanServer;
use abi::region::{
    CLOCK_COUNT_MAX, CLOCK_OFFSET, CLOCK_SIZE, KERNEL_INTERFACE_OFFSET, SAMPLES_OFFSET, SAMPLES_OFFSET_32,
    STACK_PAGES_MAX, START_INFO_OFFSET, StartInfo, WORKING_SET_OFFSET, stack_end, working_set_offset_32,
};

use super::image::{Image, ImageError, SEGMENTS_MAX};
use crate::arch::{self, Access, Frames, Gate, Mapper};
use crate::memory::{Memory, OutOfMemory, PageRange, PageRanges, Placement, physical_pointer};

/// Pages that all servers share.
pub struct SharedPages {
    /// Kernel interface page with stubs that execute SYSCALL.
    pub user_interface: u64,
    /// Kernel interface page with stubs that jump into the kernel.
    pub kernel_interface: u64,
    /// Kernel interface page of 32-bit programs, with stubs that enter by the plan's gate; 0 if the plan has none.
    interface_32: u64,
    /// First of the frames with KVM's steal-time records.
    steal_time: u64,
    /// How many frames these are: as many where KVM keeps no record, so that every machine maps and moves the same pages.
    steal_time_pages: u64,
    /// CPUs that have a record.
    pub steal_time_cpus: u32,
}

/// A region to fill.
pub struct Region<'memory> {
    /// Maps it in a page table, for a server in `placement`.
    pub mapper: Mapper<'memory>,
    /// Its base address.
    pub base: u64,
    /// Where its server is placed.
    pub placement: Placement,
    /// Where to note what is mapped, if that is not known.
    pub mapped: Option<&'memory PageRanges>,
}

/// Ranges of pages that a region with this many threads may have.
pub fn ranges_max(thread_count: u32) -> usize {
    /// Kernel interface page, start information, steal time, working set, samples.
    const OTHER_PIECES: usize = 5;
    SEGMENTS_MAX + OTHER_PIECES + thread_count as usize
}

/// Why a region cannot be filled.
#[derive(Clone, Copy, Debug)]
pub enum RegionError {
    /// The program is not fit.
    Image(ImageError),
    /// Memory is used up.
    OutOfMemory,
}

impl From<ImageError> for RegionError {
    fn from(error: ImageError) -> Self {
        RegionError::Image(error)
    }
}

impl From<OutOfMemory> for RegionError {
    fn from(OutOfMemory: OutOfMemory) -> Self {
        RegionError::OutOfMemory
    }
}

impl SharedPages {
    /// Makes the shared pages, with space for a steal-time record for each of so many CPUs, which KVM keeps or not, the gate of
    /// 32-bit programs if there are any, and the entry stubs of system calls from the kernel's half.
    pub fn new(
        memory: &Memory,
        cpus: u32,
        has_steal_time: bool,
        gate: Option<Gate>,
        entry_stubs: &[u64; number::COUNT as usize],
    ) -> Result<SharedPages, OutOfMemory> {
        let cpus = cpus.min(CLOCK_COUNT_MAX);
        let steal_time_pages = steal_time_pages(cpus);
        Ok(SharedPages {
            user_interface: arch::user_interface(memory)?,
            kernel_interface: arch::kernel_interface(memory, entry_stubs)?,
            interface_32: gate.map_or(Ok(0), |gate| arch::interface_32(memory, gate))?,
            steal_time: memory.frames(steal_time_pages)?,
            steal_time_pages,
            steal_time_cpus: if has_steal_time { cpus } else { 0 },
        })
    }

    /// Where KVM may keep its steal-time record of a CPU, if there is space.
    pub fn steal_time_of(&self, cpu: u32) -> Option<u64> {
        (cpu < self.steal_time_cpus).then(|| self.steal_time + u64::from(cpu) * CLOCK_SIZE)
    }
}

/// Pages that hold so many records.
fn steal_time_pages(cpus: u32) -> u64 {
    (u64::from(cpus) * CLOCK_SIZE).div_ceil(PAGE_SIZE)
}

/// Writes to physical memory that this module has taken from [`Memory`].
fn write(address: u64, bytes: &[u8]) {
    // SAFETY: the callers write within frames that they have just taken and not yet given to anybody.
    unsafe { copy_nonoverlapping(bytes.as_ptr(), physical_pointer(address), bytes.len()) };
}

impl Region<'_> {
    /// Maps the program, whose file lies at physical address `file`, and applies its relocations.
    pub fn load(&self, image: &Image<'_>, file: u64) -> Result<(), RegionError> {
        for segment in image.segments() {
            let (frames, access) = if segment.writable {
                (Frames::Own, Access::WRITE)
            } else {
                let frame = (file + segment.file_offset) & !(PAGE_SIZE - 1);
                (Frames::Shared(frame), if segment.executable { Access::EXECUTE } else { Access::READ })
            };
            self.map(segment.first_page(), frames, segment.page_count(), access)?;
            if segment.writable {
                self.write(segment.address, image.contents(segment));
            }
        }
        for relocation in image.relocations() {
            let (offset, value) = relocation?;
            self.write_word(offset, self.base.wrapping_add(value));
        }
        Ok(())
    }

    /// Writes a word to pages of the region's own that have been mapped.
    fn write_word(&self, offset: u64, word: u64) {
        let address = self.base + offset;
        let in_page = address % PAGE_SIZE;
        match self.mapper.frame_of(address) {
            Some(frame) if in_page <= PAGE_SIZE - 8 => write(frame + in_page, &word.to_le_bytes()),
            _ => self.write(offset, &word.to_le_bytes()),
        }
    }

    /// Writes to pages of the region's own that have been mapped.
    fn write(&self, offset: u64, mut bytes: &[u8]) {
        let mut address = self.base + offset;
        while !bytes.is_empty() {
            let Some(frame) = self.mapper.frame_of(address) else { return };
            let in_page = address % PAGE_SIZE;
            let (now, later) = bytes.split_at(bytes.len().min((PAGE_SIZE - in_page) as usize));
            write(frame + in_page, now);
            address += now.len() as u64;
            bytes = later;
        }
    }

    /// Maps what the kernel gives to every server, and the start information.
    pub fn add_kernel_pages(&self, pages: &SharedPages, info: &StartInfo) -> Result<(), OutOfMemory> {
        let interface = match self.placement {
            placement if placement.is_32_bit() => pages.interface_32,
            placement if placement.is_in_kernel() => pages.kernel_interface,
            _ => pages.user_interface,
        };
        self.map(KERNEL_INTERFACE_OFFSET, Frames::Shared(interface), 1, Access::EXECUTE)?;
        self.map(CLOCK_OFFSET, Frames::Shared(pages.steal_time), pages.steal_time_pages, Access::READ)?;
        self.map(START_INFO_OFFSET, Frames::Own, 1, Access::READ)?;
        let frame = self.mapper.frame_of(self.base + START_INFO_OFFSET).ok_or(OutOfMemory)?;
        let target: *mut StartInfo = with_exposed_provenance_mut(physical_pointer(frame).expose_provenance());
        // SAFETY: a fresh frame, aligned and large enough, that nobody else uses yet.
        unsafe { target.write(*info) };
        Ok(())
    }

    /// Maps stacks and working set as the plan asks.
    pub fn add_memory(&self, plan: &PlanServer) -> Result<(), OutOfMemory> {
        let pages = if plan.stack_pages == 0 { STACK_PAGES_MAX } else { plan.stack_pages.into() };
        for thread in 0..plan.thread_count {
            let offset = stack_end(0, thread) - pages * PAGE_SIZE;
            self.map(offset, Frames::Own, pages, Access::WRITE)?;
        }
        let working_set = match self.placement.is_32_bit() {
            true => working_set_offset_32(plan.thread_count),
            false => WORKING_SET_OFFSET,
        };
        self.map(working_set, Frames::Own, u64::from(plan.working_set_pages), Access::WRITE)
    }

    /// Maps the samples.
    pub fn add_samples(&self, samples: PhysicalRange) -> Result<(), OutOfMemory> {
        self.map(
            if self.placement.is_32_bit() { SAMPLES_OFFSET_32 } else { SAMPLES_OFFSET },
            Frames::Shared(samples.start),
            samples.size.div_ceil(PAGE_SIZE),
            Access::WRITE,
        )
    }

    fn map(&self, offset: u64, frames: Frames, count: u64, access: Access) -> Result<(), OutOfMemory> {
        if count == 0 {
            return Ok(());
        }
        if self.mapped.is_some_and(|mapped| !mapped.add(PageRange { offset, count })) {
            return Err(OutOfMemory);
        }
        self.mapper.map(self.base + offset, frames, count, access)
    }
}
