//! Where everything lies in guest physical memory before the kernel starts. Pure arithmetic, no guest needed.
//!
//! The kernel lies where its ELF file says. Behind it follow, page aligned and without overlap: boot information, module
//! table, plan, report, CPU reports, per-CPU areas, page tables, modules, samples. The rest is free. What does not fit
//! below the hole ([`crate::machine::memory::HOLE_START`]) goes above it.

use abi::address::{CPU_AREA_PIECES, MEMORY_SIZE_MAX, PAGE_SIZE};
use abi::boot::{BootInfo, Module, PhysicalRange};
use abi::plan::{Plan, PlanRight, PlanServer};
use abi::report::{CpuReport, Report};

use crate::machine::error::MachineError;
use crate::machine::memory;

/// What has to find its place.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Guest memory, bytes.
    pub memory_bytes: u64,
    /// First and last-plus-one physical address of the kernel's image.
    pub kernel: (u64, u64),
    /// Bytes of each module's file.
    pub module_sizes: Vec<u64>,
    /// Servers in the plan.
    pub servers: usize,
    /// Rights in the plan.
    pub rights: usize,
    /// vCPUs.
    pub vcpus: u32,
    /// Bytes for page tables.
    pub table_bytes: u64,
    /// Room for samples, in samples of 8 bytes.
    pub sample_capacity: u64,
}

/// The result: physical ranges that neither overlap nor leave guest memory. Sizes are exact; what follows up to the next
/// page boundary belongs to nobody else.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub boot_info: PhysicalRange,
    pub module_table: PhysicalRange,
    pub plan: PhysicalRange,
    pub report: PhysicalRange,
    pub cpu_reports: PhysicalRange,
    /// The pieces of [`CPU_AREA_PIECES`] of CPU 0, then those of CPU 1, …
    pub cpu_areas: PhysicalRange,
    pub page_tables: PhysicalRange,
    pub modules: Vec<PhysicalRange>,
    pub samples: PhysicalRange,
    pub free_memory: [PhysicalRange; 2],
}

/// Mapped bytes of one CPU's area.
pub(crate) const CPU_AREA_BYTES: u64 = {
    let mut total = 0;
    let mut index = 0;
    while index < CPU_AREA_PIECES.len() {
        total += CPU_AREA_PIECES[index].size;
        index += 1;
    }
    total
};

/// Guest memory that the kernel should find free, so that it has a chance to start at all: used for advice only.
const FREE_ADVICE_BYTES: u64 = 16 << 20;

/// Rounded up to whole pages; what is too large for that is too large for any guest, too.
pub(crate) const fn page_up(bytes: u64) -> u64 {
    match bytes.checked_next_multiple_of(PAGE_SIZE) {
        Some(pages) => pages,
        None => u64::MAX - PAGE_SIZE + 1,
    }
}

/// First-fit allocation from the free rest of each piece of memory.
struct Allocator {
    rests: Vec<PhysicalRange>,
    /// Pages that were asked for in all, bytes.
    asked: u64,
    failed: bool,
}

impl Allocator {
    fn take(&mut self, size: u64) -> PhysicalRange {
        let pages = page_up(size);
        self.asked = self.asked.saturating_add(pages);
        match self.rests.iter_mut().find(|rest| rest.size >= pages) {
            Some(rest) => {
                let start = rest.start;
                rest.start += pages;
                rest.size -= pages;
                PhysicalRange { start, size }
            }
            None => {
                self.failed = true;
                PhysicalRange::default()
            }
        }
    }
}

impl Layout {
    /// Finds a place for everything, or says how much memory it takes.
    pub(crate) fn new(request: &Request) -> Result<Layout, MachineError> {
        let bytes = request.memory_bytes;
        if bytes == 0 || !bytes.is_multiple_of(PAGE_SIZE) || bytes > MEMORY_SIZE_MAX {
            return Err(MachineError::MemorySize(bytes));
        }
        let (kernel_start, kernel_end) = request.kernel;
        let mut rests = Vec::new();
        let mut kernel_fits = false;
        for (start, size) in memory::pieces(bytes) {
            let end = start + size;
            let first = if (start..end).contains(&kernel_start) {
                kernel_fits = page_up(kernel_end) <= end;
                page_up(kernel_end).min(end)
            } else {
                start
            };
            rests.push(PhysicalRange { start: first, size: end - first });
        }
        let mut allocator = Allocator { rests, asked: 0, failed: !kernel_fits };
        let mut take = |size: usize, count: u64| allocator.take((size as u64).saturating_mul(count));

        let boot_info = take(size_of::<BootInfo>(), 1);
        let module_table = take(size_of::<Module>(), request.module_sizes.len() as u64);
        let plan_bytes = size_of::<Plan>()
            + request.servers * size_of::<PlanServer>()
            + request.rights * size_of::<PlanRight>();
        let plan = take(plan_bytes, 1);
        let report = take(size_of::<Report>(), 1);
        let cpu_reports = take(size_of::<CpuReport>(), request.vcpus.into());
        let cpu_areas = take(CPU_AREA_BYTES as usize, request.vcpus.into());
        let page_tables = take(1, request.table_bytes);
        let modules = request.module_sizes.iter().map(|size| take(1, *size)).collect();
        let samples = take(size_of::<u64>(), request.sample_capacity);
        if allocator.failed {
            return Err(too_small(request, allocator.asked));
        }
        let rest = |index: usize| allocator.rests.get(index).copied().unwrap_or_default();
        Ok(Layout {
            boot_info,
            module_table,
            plan,
            report,
            cpu_reports,
            cpu_areas,
            page_tables,
            modules,
            samples,
            free_memory: [rest(0), rest(1)],
        })
    }

    /// Physical address of piece `piece` of [`CPU_AREA_PIECES`] of CPU `cpu`.
    pub(crate) fn cpu_area_piece(&self, cpu: u32, piece: usize) -> u64 {
        let before: u64 = CPU_AREA_PIECES.iter().take(piece).map(|piece| piece.size).sum();
        self.cpu_areas.start + u64::from(cpu) * CPU_AREA_BYTES + before
    }
}

fn too_small(request: &Request, asked: u64) -> MachineError {
    const MIB: u64 = 1 << 20;
    let below = page_up(request.kernel.1).saturating_add(asked).saturating_add(FREE_ADVICE_BYTES);
    // Something large may not fit into what is left below the hole, but then everything fits above it.
    let above = memory::HOLE_START.saturating_add(asked).saturating_add(FREE_ADVICE_BYTES);
    let needed = if below <= memory::HOLE_START { below } else { above };
    MachineError::MemoryTooSmall {
        have_mib: request.memory_bytes / MIB,
        needed_mib: needed.div_ceil(MIB).next_multiple_of(16),
    }
}
