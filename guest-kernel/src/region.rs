//! Filling a server's region: image, kernel interface page, start information, stacks, working set, samples.
//!
//! The same code fills a region in a user space and a slot of the kernel. What differs is one bit of every page, and
//! which of the two kernel interface pages is mapped.

use core::cell::Cell;
use core::ptr::{copy_nonoverlapping, with_exposed_provenance_mut};

use abi::address::PAGE_SIZE;
use abi::boot::PhysicalRange;
use abi::call::number;
use abi::plan::PlanServer;
use abi::region::{
    CLOCK_OFFSET, KERNEL_INTERFACE_OFFSET, SAMPLES_OFFSET, STACK_SIZE, START_INFO_OFFSET, StartInfo,
    WORKING_SET_OFFSET, stack_end, stub_offset,
};

use crate::arch::{self, Access};
use crate::image::{Image, ImageError, Segment};
use crate::memory::{Memory, OutOfMemory};
use crate::server::PageRange;

/// Pages that all servers share.
pub struct SharedPages {
    /// Kernel interface page with stubs that execute SYSCALL.
    pub user_interface: u64,
    /// Kernel interface page with stubs that jump into the kernel.
    pub kernel_interface: u64,
    /// KVM's steal-time record, if there is one.
    pub steal_time: Option<u64>,
}

/// A region to fill.
pub struct Region<'memory> {
    /// Top-level page table to map it in.
    pub root: u64,
    /// Its base address.
    pub base: u64,
    /// Whether ring 3 may use it.
    pub user: bool,
    /// Where frames come from.
    pub memory: &'memory Memory,
    /// What has been mapped so far.
    pub mapped: Mapped,
}

/// A note of what has been mapped, so that it can be moved and taken away.
pub struct Mapped {
    ranges: &'static [Cell<PageRange>],
    count: Cell<usize>,
}

impl Mapped {
    /// Room for the pieces of a region with this many threads.
    pub fn new(memory: &Memory, thread_count: u32) -> Result<Mapped, OutOfMemory> {
        /// Kernel interface page, start information, steal time, working set, samples.
        const OTHER_PIECES: usize = 5;
        let count = crate::image::SEGMENTS_MAX + OTHER_PIECES + thread_count as usize;
        Ok(Mapped { ranges: memory.objects(count, |_| Ok(Cell::default()))?, count: Cell::new(0) })
    }

    fn note(&self, range: PageRange) {
        if let Some(place) = self.ranges.get(self.count.get()) {
            place.set(range);
            self.count.set(self.count.get() + 1);
        }
    }

    /// What has been noted.
    pub fn ranges(&self) -> &'static [Cell<PageRange>] {
        &self.ranges[..self.count.get()]
    }
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
    /// Makes the shared pages.
    pub fn new(memory: &Memory, steal_time: bool) -> Result<SharedPages, OutOfMemory> {
        Ok(SharedPages {
            user_interface: user_interface(memory)?,
            kernel_interface: kernel_interface(memory)?,
            steal_time: if steal_time { Some(memory.frame()?) } else { None },
        })
    }
}

/// `mov eax, number; syscall; ret` for every system call.
fn user_interface(memory: &Memory) -> Result<u64, OutOfMemory> {
    let page = memory.frame()?;
    for call in 0..number::COUNT {
        let [n0, n1, n2, n3] = call.to_le_bytes();
        write(page + stub_offset(call), &[0xb8, n0, n1, n2, n3, 0x0f, 0x05, 0xc3]);
    }
    Ok(page)
}

/// `mov eax, number; jmp [address]` for every system call, with the addresses of the kernel's two entries at the end of
/// the page: one for CALL_DIRECT, one for all others.
fn kernel_interface(memory: &Memory) -> Result<u64, OutOfMemory> {
    const ADDRESS_OFFSET: u64 = PAGE_SIZE - 8;
    const DIRECT_ADDRESS_OFFSET: u64 = PAGE_SIZE - 16;
    const STUB_CODE_SIZE: u64 = 11;
    let page = memory.frame()?;
    for call in 0..number::COUNT {
        let [n0, n1, n2, n3] = call.to_le_bytes();
        let address = if call == number::CALL_DIRECT { DIRECT_ADDRESS_OFFSET } else { ADDRESS_OFFSET };
        let distance = (address - (stub_offset(call) + STUB_CODE_SIZE)) as u32;
        let [d0, d1, d2, d3] = distance.to_le_bytes();
        write(page + stub_offset(call), &[0xb8, n0, n1, n2, n3, 0xff, 0x25, d0, d1, d2, d3]);
    }
    write(page + ADDRESS_OFFSET, &arch::kernel_call_address().to_le_bytes());
    write(page + DIRECT_ADDRESS_OFFSET, &arch::kernel_direct_call_address().to_le_bytes());
    Ok(page)
}

/// Writes to physical memory that this module has taken from [`Memory`].
fn write(address: u64, bytes: &[u8]) {
    // SAFETY: the callers write within frames that they have just taken and not yet given to anybody.
    unsafe { copy_nonoverlapping(bytes.as_ptr(), arch::physical_pointer(address), bytes.len()) };
}

impl Region<'_> {
    /// Maps the program, whose file lies at physical address `file`, and applies its relocations.
    pub fn load(&self, image: &Image<'_>, file: u64) -> Result<(), RegionError> {
        // Where writable segments went, to relocate words in them.
        let mut copies = [(Segment::default(), 0_u64); crate::image::SEGMENTS_MAX];
        for (segment, copy) in image.segments().iter().zip(&mut copies) {
            let (frame, access) = if segment.writable {
                let frame = self.copy(image, segment)?;
                *copy = (*segment, frame);
                (frame, Access::WRITE)
            } else {
                let frame = (file + segment.file_offset) & !(PAGE_SIZE - 1);
                (frame, if segment.executable { Access::EXECUTE } else { Access::READ })
            };
            self.map(segment.first_page(), frame, segment.page_count(), access)?;
        }
        for relocation in image.relocations() {
            let (address, value) = relocation?;
            let copy = copies.iter().find(|(segment, _)| {
                address >= segment.address && address < segment.address + segment.memory_size
            });
            let (segment, frame) = copy.ok_or(ImageError::BadRelocation)?;
            write(frame + (address - segment.first_page()), &(self.base.wrapping_add(value)).to_le_bytes());
        }
        Ok(())
    }

    /// A private copy of a writable segment; physical address of its first page.
    fn copy(&self, image: &Image<'_>, segment: &Segment) -> Result<u64, OutOfMemory> {
        let frame = self.memory.frames(segment.page_count())?;
        write(frame + (segment.address - segment.first_page()), image.contents(segment));
        Ok(frame)
    }

    /// Maps what the kernel gives to every server, and the start information.
    pub fn add_kernel_pages(&self, pages: &SharedPages, info: &StartInfo) -> Result<(), OutOfMemory> {
        let interface = if self.user { pages.user_interface } else { pages.kernel_interface };
        self.map(KERNEL_INTERFACE_OFFSET, interface, 1, Access::EXECUTE)?;
        if let Some(frame) = pages.steal_time {
            self.map(CLOCK_OFFSET, frame, 1, Access::READ)?;
        }
        let frame = self.memory.frame()?;
        let target: *mut StartInfo =
            with_exposed_provenance_mut(arch::physical_pointer(frame).expose_provenance());
        // SAFETY: a fresh frame, aligned and large enough, that nobody else has yet.
        unsafe { target.write(*info) };
        self.map(START_INFO_OFFSET, frame, 1, Access::READ)
    }

    /// Maps stacks and working set as the plan asks.
    pub fn add_memory(&self, plan: &PlanServer) -> Result<(), OutOfMemory> {
        for thread in 0..plan.thread_count {
            let pages = STACK_SIZE / PAGE_SIZE;
            let frame = self.memory.frames(pages)?;
            self.map(stack_end(0, thread) - STACK_SIZE, frame, pages, Access::WRITE)?;
        }
        let pages = u64::from(plan.working_set_pages);
        if pages != 0 {
            let frame = self.memory.frames(pages)?;
            self.map(WORKING_SET_OFFSET, frame, pages, Access::WRITE)?;
        }
        Ok(())
    }

    /// Maps the samples.
    pub fn add_samples(&self, samples: PhysicalRange) -> Result<(), OutOfMemory> {
        self.map(SAMPLES_OFFSET, samples.start, samples.size.div_ceil(PAGE_SIZE), Access::WRITE)
    }

    fn map(&self, offset: u64, frame: u64, count: u64, access: Access) -> Result<(), OutOfMemory> {
        if count != 0 {
            self.mapped.note(PageRange { offset, count });
        }
        arch::map(self.root, self.base + offset, frame, count, access, self.user, self.memory)
    }
}
