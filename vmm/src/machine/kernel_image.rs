//! The kernel's ELF file: which parts go where with which rights.

use abi::address::{KERNEL_IMAGE_BASE, PAGE_SIZE};
use object::LittleEndian;
use object::elf::{EM_X86_64, FileHeader64, PF_W, PF_X, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};

use crate::machine::error::MachineError;
use crate::machine::guest::Elf;
use crate::machine::layout::page_up;
use crate::machine::memory;
use crate::machine::page_table::Access;

/// A loadable segment, page aligned outwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub virtual_start: u64,
    pub physical_start: u64,
    /// Bytes, a multiple of the page size.
    pub size: u64,
    pub access: Access,
}

/// What the VMM needs to know about the kernel.
#[derive(Clone, Debug)]
pub(crate) struct KernelImage {
    /// Virtual address of the first instruction.
    pub entry: u64,
    /// In the file's order, disjoint in both address spaces.
    pub segments: Vec<Segment>,
}

impl KernelImage {
    /// Checks everything that booting relies on; linux-loader then copies the bytes.
    pub(crate) fn parse(elf: &Elf) -> Result<KernelImage, MachineError> {
        parse(&elf.bytes).map_err(|reason| MachineError::KernelImage { name: elf.name.clone(), reason })
    }

    /// First and last-plus-one physical address.
    pub(crate) fn physical_extent(&self) -> (u64, u64) {
        let start = self.segments.iter().map(|segment| segment.physical_start).min();
        let end = self.segments.iter().map(|segment| segment.physical_start + segment.size).max();
        (start.unwrap_or(0), end.unwrap_or(0))
    }
}

fn parse(bytes: &[u8]) -> Result<KernelImage, String> {
    let endian = LittleEndian;
    let header = FileHeader64::<LittleEndian>::parse(bytes).map_err(|error| error.to_string())?;
    if header.e_machine.get(endian) != EM_X86_64 || !header.is_little_endian() {
        return Err("not built for x86-64".to_owned());
    }
    let mut segments = Vec::new();
    let program_headers = header.program_headers(endian, bytes).map_err(|error| error.to_string())?;
    let loadable = program_headers.iter().filter(|segment| segment.p_type(endian) == PT_LOAD);
    for segment in loadable.filter(|segment| segment.p_memsz(endian) > 0) {
        segment
            .data(endian, bytes)
            .map_err(|()| "a segment reaches behind the end of the file".to_owned())?;
        segments.push(parse_segment(segment)?);
    }
    if segments.is_empty() {
        return Err("it has no loadable segment".to_owned());
    }
    if overlap(&segments, |segment| segment.virtual_start)
        || overlap(&segments, |segment| segment.physical_start)
    {
        return Err("two segments share a page: align each segment to 4 KiB in the linker script".to_owned());
    }
    let entry = header.e_entry(endian);
    let holds_entry = |segment: &&Segment| {
        segment.access == Access::ReadExecute
            && (segment.virtual_start..).contains(&entry)
            && entry - segment.virtual_start < segment.size
    };
    if !segments.iter().any(|segment| holds_entry(&segment)) {
        return Err(format!("its entry {entry:#x} lies in no executable segment"));
    }
    Ok(KernelImage { entry, segments })
}

fn parse_segment(segment: &object::elf::ProgramHeader64<LittleEndian>) -> Result<Segment, String> {
    let endian = LittleEndian;
    let (virtual_address, physical) = (segment.p_vaddr(endian), segment.p_paddr(endian));
    let (file_size, memory_size) = (segment.p_filesz(endian), segment.p_memsz(endian));
    if file_size > memory_size {
        return Err(format!("the segment at {virtual_address:#x} has more bytes in the file than in memory"));
    }
    let offset = virtual_address % PAGE_SIZE;
    let room = (virtual_address - offset).wrapping_neg();
    if virtual_address < KERNEL_IMAGE_BASE || memory_size > room - offset {
        return Err(format!("the segment at {virtual_address:#x} does not lie in the top 2 GiB"));
    }
    let fits = physical.checked_add(memory_size).is_some_and(|end| end <= memory::HOLE_START);
    if physical % PAGE_SIZE != offset || physical < PAGE_SIZE || !fits {
        return Err(format!(
            "the segment at {virtual_address:#x} has the physical address {physical:#x}; it must lie between 4 KiB and \
             3 GiB, at the same offset in its page as the virtual address"
        ));
    }
    let flags = segment.p_flags(endian).0;
    let access = match (flags & PF_W.0 != 0, flags & PF_X.0 != 0) {
        (false, false) => Access::Read,
        (false, true) => Access::ReadExecute,
        (true, false) => Access::ReadWrite,
        (true, true) => {
            return Err(format!("the segment at {virtual_address:#x} is both writable and executable"));
        }
    };
    Ok(Segment {
        virtual_start: virtual_address - offset,
        physical_start: physical - offset,
        size: page_up(offset + memory_size),
        access,
    })
}

/// Whether two of the segments share an address. A file may have 65,534 of them, so only neighbours are compared.
fn overlap(segments: &[Segment], start: impl Fn(&Segment) -> u64) -> bool {
    let mut ranges: Vec<(u64, u64)> = segments.iter().map(|segment| (start(segment), segment.size)).collect();
    ranges.sort_unstable();
    ranges.windows(2).any(|pair| pair[1].0 - pair[0].0 < pair[0].1)
}
