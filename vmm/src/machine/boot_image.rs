//! A guest as one ELF file, for whoever starts it in place of this VMM: memory as the kernel finds it, and the kernel's own start
//! ([`abi::start`]) as the entry of PVH.

use abi::address::PAGE_SIZE;
use abi::boot::PhysicalRange;
use abi::pmu::PmuPlan;
use abi::start::{NOTE_NAME, NOTE_OWN_START, OwnStart};
use object::LittleEndian;
use object::elf::{
    EM_X86_64, ET_EXEC, FileFlags, FileHeader64, OsAbi, PF_R, PF_W, PF_X, PT_LOAD, PT_NOTE, ProgramFlags,
};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::write::elf::{FileHeader, ProgramHeader, Writer};

use crate::machine::boot::{self, Clocks, Processor};
use crate::machine::error::MachineError;
use crate::machine::guest::{Elf, GuestConfig, HugePages};
use crate::machine::kernel_image::KernelImage;
use crate::machine::layout::Layout;
use crate::machine::memory::{GuestMemory, HOLE_START};

/// Name and type of the note that tells where the entry of PVH is (xen/include/public/elfnote.h).
pub(crate) const PVH_NAME: &[u8] = b"Xen";
pub(crate) const PVH_ENTRY: u32 = 18;

/// A guest as a file, and where its report will be.
#[derive(Debug)]
pub(crate) struct BootImage {
    /// The ELF file.
    pub elf: Vec<u8>,
    /// What lies where in the guest's memory.
    pub layout: Layout,
}

/// Physical addresses that the kernel's notes tell.
pub(crate) struct Notes {
    entry: u64,
    pub own_start: u64,
}

impl BootImage {
    /// Lays out the guest and writes it into a file. All of it lies below the hole.
    pub(crate) fn new(
        config: &GuestConfig,
        processor: Processor,
        clocks: Clocks,
    ) -> Result<BootImage, MachineError> {
        if config.memory_bytes > HOLE_START {
            return Err(MachineError::MemoryBeyondHole(config.memory_bytes));
        }
        let image = KernelImage::parse(&config.kernel)?;
        let notes = notes(&config.kernel)?;
        let layout = boot::layout(config, &image, processor)?;
        let memory = GuestMemory::new(config.memory_bytes, HugePages::No)?;
        boot::load(&memory, config, &image, &layout, processor, clocks, PmuPlan::default())?;
        let (root_table, boot_info) = (layout.page_tables.start, layout.boot_info.start);
        let own_start = OwnStart { root_table, boot_info, cpu_count: config.vcpus, started: 0 };
        memory.write_record(notes.own_start, own_start)?;
        let runs = runs(&memory, &written(&image, &layout))?;
        let elf =
            write(&runs, notes.entry).map_err(|_| MachineError::Internal("a boot image is too large"))?;
        Ok(BootImage { elf, layout })
    }
}

/// What a kernel tells about its own start.
pub(crate) fn notes(kernel: &Elf) -> Result<Notes, MachineError> {
    let endian = LittleEndian;
    let bytes = &kernel.bytes[..];
    let (mut entry, mut own_start) = (None, None);
    let header = FileHeader64::<LittleEndian>::parse(bytes);
    for segment in header.and_then(|header| header.program_headers(endian, bytes)).unwrap_or_default() {
        let Ok(Some(mut notes)) = segment.notes(endian, bytes) else { continue };
        while let Ok(Some(note)) = notes.next() {
            let value = note.desc().first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
            match (note.name(), note.n_type(endian).0) {
                (PVH_NAME, PVH_ENTRY) => entry = value,
                (NOTE_NAME, NOTE_OWN_START) => own_start = value,
                _ => {}
            }
        }
    }
    match (entry, own_start) {
        (Some(entry), Some(own_start)) => Ok(Notes { entry, own_start }),
        _ => Err(MachineError::NoOwnStart { name: kernel.name.clone() }),
    }
}

/// Everything that was written before the first instruction.
fn written(image: &KernelImage, layout: &Layout) -> Vec<PhysicalRange> {
    let (start, end) = image.physical_extent();
    let own = [PhysicalRange { start, size: end - start }];
    let records = [layout.boot_info, layout.module_table, layout.plan, layout.page_tables];
    own.into_iter().chain(records).chain(layout.modules.iter().copied()).collect()
}

/// Pages that are not all zero, those side by side together.
fn runs(memory: &GuestMemory, ranges: &[PhysicalRange]) -> Result<Vec<(u64, Vec<u8>)>, MachineError> {
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut page = [0; PAGE_SIZE as usize];
    for range in ranges {
        let first = range.start / PAGE_SIZE * PAGE_SIZE;
        for address in (first..range.start + range.size).step_by(PAGE_SIZE as usize) {
            memory.read(address, &mut page)?;
            if page.iter().all(|byte| *byte == 0) {
                continue;
            }
            match runs.last_mut() {
                Some((start, bytes)) if *start + bytes.len() as u64 == address => bytes.extend(page),
                _ => runs.push((address, page.to_vec())),
            }
        }
    }
    Ok(runs)
}

/// The file: a segment for each run, and the note of PVH.
fn write(runs: &[(u64, Vec<u8>)], entry: u64) -> object::write::Result<Vec<u8>> {
    let note = [
        &(PVH_NAME.len() as u32 + 1).to_le_bytes()[..],
        &(size_of::<u64>() as u32).to_le_bytes(),
        &PVH_ENTRY.to_le_bytes(),
        PVH_NAME,
        b"\0",
        &entry.to_le_bytes(),
    ]
    .concat();
    let mut buffer = Vec::new();
    let mut writer = Writer::new(object::Endianness::Little, true, &mut buffer);
    writer.reserve_file_header();
    writer.reserve_program_headers(runs.len() as u32 + 1);
    let note_offset = writer.reserve(note.len() as u64, 4);
    let offsets: Vec<u64> =
        runs.iter().map(|(_, bytes)| writer.reserve(bytes.len() as u64, PAGE_SIZE)).collect();
    writer.write_file_header(&FileHeader {
        os_abi: OsAbi(0),
        abi_version: 0,
        e_type: ET_EXEC,
        e_machine: EM_X86_64,
        e_entry: entry,
        e_flags: FileFlags(0),
    })?;
    writer.write_align_program_headers();
    let mut header = |p_type, p_flags: ProgramFlags, p_offset, address, size, p_align| {
        writer.write_program_header(&ProgramHeader {
            p_type,
            p_flags,
            p_offset,
            p_vaddr: address,
            p_paddr: address,
            p_filesz: size,
            p_memsz: size,
            p_align,
        });
    };
    header(PT_NOTE, PF_R, note_offset, 0, note.len() as u64, 4);
    for ((start, bytes), offset) in runs.iter().zip(&offsets) {
        header(PT_LOAD, PF_R | PF_W | PF_X, *offset, *start, bytes.len() as u64, PAGE_SIZE);
    }
    writer.pad_until(note_offset);
    writer.write(&note);
    for ((_, bytes), offset) in runs.iter().zip(offsets) {
        writer.pad_until(offset);
        writer.write(bytes);
    }
    Ok(buffer)
}
