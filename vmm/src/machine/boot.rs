//! Fills guest memory with what the kernel finds when it starts: [`abi::boot`], [`abi::plan`], [`abi::address`].

use std::io::Cursor;

use abi::address::{
    CPU_AREA_BASE, CPU_AREA_PIECES, CPU_AREA_STRIDE, KERNEL_STACK, LOCAL_APIC, PAGE_SIZE, PHYSICAL_MAP_BASE,
    SLOT_TOP_ENTRY_COUNT, SLOT_TOP_ENTRY_FIRST,
};
use abi::boot::{BOOT_MAGIC, BootInfo, MODULE_NAME_SIZE, Module, flag};
use abi::plan::Plan;
use abi::pmu::PmuPlan;
use linux_loader::loader::KernelLoader;

use crate::machine::error::MachineError;
use crate::machine::guest::GuestConfig;
use crate::machine::kernel_image::KernelImage;
use crate::machine::layout::{Layout, Request};
use crate::machine::memory::{self, GuestMemory};
use crate::machine::page_table::{Access, LargestPage, Mapping, OutOfTables, PageTables, tables_bound};
use crate::machine::vcpu::Start;

/// Where the kernel sees a local APIC whose registers lie in memory.
const LOCAL_APIC_MAPPED: u64 = PHYSICAL_MAP_BASE + LOCAL_APIC;

/// The guest's processor, as far as its page tables depend on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processor {
    pub largest_page: LargestPage,
    /// Whether its local APIC has registers that are MSRs. Those of another one lie in memory.
    pub has_x2apic: bool,
}

/// What the layout needs to know about a guest.
pub(crate) fn layout(
    config: &GuestConfig,
    image: &KernelImage,
    processor: Processor,
) -> Result<Layout, MachineError> {
    Layout::new(&Request {
        memory_bytes: config.memory_bytes,
        kernel: image.physical_extent(),
        module_sizes: config.modules.iter().map(|module| module.bytes.len() as u64).collect(),
        servers: config.servers.len(),
        rights: config.rights.len(),
        vcpus: config.vcpus,
        table_bytes: table_bytes(config.memory_bytes, config.vcpus, image, processor),
        sample_capacity: config.sample_capacity,
    })
}

/// Room for all page tables of [`page_tables`], a few more than needed.
pub(crate) fn table_bytes(memory_bytes: u64, vcpus: u32, image: &KernelImage, processor: Processor) -> u64 {
    let small = LargestPage::Kibibytes4;
    let physical: u64 = memory::pieces(memory_bytes)
        .into_iter()
        .map(|(start, size)| tables_bound(PHYSICAL_MAP_BASE + start, size, processor.largest_page))
        .sum();
    let areas = tables_bound(CPU_AREA_BASE, u64::from(vcpus) * CPU_AREA_STRIDE, small);
    let kernel: u64 =
        image.segments.iter().map(|segment| tables_bound(segment.virtual_start, segment.size, small)).sum();
    let apic = if processor.has_x2apic { 0 } else { tables_bound(LOCAL_APIC_MAPPED, PAGE_SIZE, small) };
    (1 + SLOT_TOP_ENTRY_COUNT as u64 + physical + areas + kernel + apic) * PAGE_SIZE
}

/// All tables but the empty ones, as words for guest memory at [`Layout::page_tables`].
pub(crate) fn page_tables(
    memory_bytes: u64,
    vcpus: u32,
    image: &KernelImage,
    layout: &Layout,
    processor: Processor,
) -> Result<Vec<u64>, OutOfTables> {
    let mut tables = PageTables::new(layout.page_tables.start, layout.page_tables.size);
    for (start, size) in memory::pieces(memory_bytes) {
        tables.map(Mapping {
            virtual_start: PHYSICAL_MAP_BASE + start,
            physical_start: start,
            size,
            access: Access::ReadWrite,
            largest_page: processor.largest_page,
        })?;
    }
    if !processor.has_x2apic {
        tables.map(Mapping {
            virtual_start: LOCAL_APIC_MAPPED,
            physical_start: LOCAL_APIC,
            size: PAGE_SIZE,
            access: Access::Device,
            largest_page: LargestPage::Kibibytes4,
        })?;
    }
    for segment in &image.segments {
        tables.map(Mapping {
            virtual_start: segment.virtual_start,
            physical_start: segment.physical_start,
            size: segment.size,
            access: segment.access,
            largest_page: LargestPage::Kibibytes4,
        })?;
    }
    for cpu in 0..vcpus {
        for (index, piece) in CPU_AREA_PIECES.iter().enumerate() {
            tables.map(Mapping {
                virtual_start: piece.start(cpu),
                physical_start: layout.cpu_area_piece(cpu, index),
                size: piece.size,
                access: Access::ReadWrite,
                largest_page: LargestPage::Kibibytes4,
            })?;
        }
    }
    tables.attach_empty_tables(SLOT_TOP_ENTRY_FIRST, SLOT_TOP_ENTRY_COUNT)
}

/// Where vCPU `index` starts, as [`abi::boot`] says.
pub(crate) fn start(image: &KernelImage, layout: &Layout, index: u32) -> Start {
    Start {
        rip: image.entry,
        rsp: KERNEL_STACK.end(index) - 8,
        arguments: [PHYSICAL_MAP_BASE + layout.boot_info.start, index.into()],
        root_table: layout.page_tables.start,
    }
}

/// Frequencies that the kernel is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub tsc_hz: u64,
    pub apic_timer_hz: u64,
}

/// Writes everything to guest memory.
pub(crate) fn load(
    memory: &GuestMemory,
    config: &GuestConfig,
    image: &KernelImage,
    layout: &Layout,
    processor: Processor,
    clocks: Clocks,
    pmu: PmuPlan,
) -> Result<(), MachineError> {
    let mut file = Cursor::new(&config.kernel.bytes[..]);
    linux_loader::loader::Elf::load(memory.mapping(), None, &mut file, None).map_err(|error| {
        MachineError::KernelImage { name: config.kernel.name.clone(), reason: error.to_string() }
    })?;

    let tables = page_tables(config.memory_bytes, config.vcpus, image, layout, processor)
        .map_err(|OutOfTables| MachineError::Internal("the layout has too little room for page tables"))?;
    memory.write_words(layout.page_tables.start, &tables)?;

    let mut table = Vec::new();
    for (module, file) in config.modules.iter().zip(&layout.modules) {
        memory.place(file.start, &module.bytes)?;
        table.push(Module { file: *file, name: module_name(&module.name) });
    }
    memory.write_records(layout.module_table.start, &table)?;
    write_plan(memory, config, layout.plan.start)?;

    memory.write_record(
        layout.boot_info.start,
        BootInfo {
            magic: BOOT_MAGIC,
            version: abi::VERSION,
            cpu_count: config.vcpus,
            flags: if config.verbose { flag::VERBOSE } else { 0 },
            root_table: layout.page_tables.start,
            free_memory: layout.free_memory,
            modules: layout.module_table.start,
            module_count: table.len() as u32,
            reserved: 0,
            plan: layout.plan.start,
            report: layout.report.start,
            cpu_reports: layout.cpu_reports.start,
            samples: layout.samples,
            tsc_hz: clocks.tsc_hz,
            apic_timer_hz: clocks.apic_timer_hz,
            pmu,
        },
    )
}

fn write_plan(memory: &GuestMemory, config: &GuestConfig, start: u64) -> Result<(), MachineError> {
    let head = Plan {
        server_count: config.servers.len() as u32,
        right_count: config.rights.len() as u32,
        flags: config.plan_flags,
    };
    let servers = start + size_of::<Plan>() as u64;
    let rights = servers + size_of_val(&config.servers[..]) as u64;
    memory.write_record(start, head)?;
    memory.write_records(servers, &config.servers)?;
    memory.write_records(rights, &config.rights)
}

/// Cut at a character's boundary where it is too long.
fn module_name(name: &str) -> [u8; MODULE_NAME_SIZE] {
    let mut bytes = [0; MODULE_NAME_SIZE];
    let cut = name.floor_char_boundary(MODULE_NAME_SIZE);
    bytes[..cut].copy_from_slice(&name.as_bytes()[..cut]);
    bytes
}
