//! Server programs: what an ELF file must be to become a server, and what it asks for.
//!
//! A 64-bit program is a static position-independent executable, linked at 0, whose only relocations are
//! `R_X86_64_RELATIVE` in writable segments. A 32-bit one is a static executable without relocations: its segments move it. Segments that are not writable are used in place, so all servers of a
//! program share them; their file offsets must therefore agree with their addresses modulo the page size.

use core::fmt;

use abi::address::PAGE_SIZE;
use abi::region::IMAGE_SIZE_MAX;
use elf::ElfBytes;
use elf::abi::{
    DT_NULL, DT_RELA, DT_RELASZ, EM_386, EM_X86_64, ET_DYN, ET_EXEC, PF_W, PF_X, PT_DYNAMIC, PT_LOAD,
    R_X86_64_RELATIVE,
};
use elf::dynamic::DynamicTable;
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::relocation::{Rela, RelaIterator};

/// Why a file cannot become a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// Not an ELF file, or a damaged one.
    NotElf,
    /// Neither a position-independent executable for x86-64 nor a static one for 32-bit x86.
    NotPositionIndependent,
    /// A 32-bit program in a placement of 64-bit ones, or the other way round.
    WrongWidth,
    /// A segment does not fit in the part of the region that is for the image.
    TooLarge,
    /// A segment's file offset and address differ modulo the page size, or it lies outside the file.
    BadSegment,
    /// A segment is writable and executable.
    WritableCode,
    /// The entry is not in an executable segment.
    BadEntry,
    /// A relocation is not `R_X86_64_RELATIVE`, or not in a writable segment.
    BadRelocation,
}

impl fmt::Display for ImageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            ImageError::NotElf => "it is not a valid ELF file",
            ImageError::NotPositionIndependent => {
                "it is neither a position-independent executable for x86-64 nor a static one for 32-bit x86"
            }
            ImageError::WrongWidth => {
                "a 32-bit program can only be placed in small or large, a 64-bit one only in user or kernel"
            }
            ImageError::TooLarge => "its image is larger than a region has room for (960 KiB)",
            ImageError::BadSegment => "a segment is not page aligned in the file, or lies outside it",
            ImageError::WritableCode => "a segment is writable and executable",
            ImageError::BadEntry => "its entry is not in an executable segment",
            ImageError::BadRelocation => {
                "it has a relocation that is not R_X86_64_RELATIVE in a writable segment"
            }
        })
    }
}

/// A loadable segment. Addresses are offsets in the region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// First byte.
    pub address: u64,
    /// Bytes in memory.
    pub memory_size: u64,
    /// Offset of the first byte in the file.
    pub file_offset: u64,
    /// Bytes in the file; the rest of the memory is zero.
    pub file_size: u64,
    /// May be written.
    pub writable: bool,
    /// May be executed.
    pub executable: bool,
}

impl Segment {
    /// Address of its first page.
    pub fn first_page(&self) -> u64 {
        self.address & !(PAGE_SIZE - 1)
    }

    /// Number of pages that it touches.
    pub fn page_count(&self) -> u64 {
        (self.address + self.memory_size).div_ceil(PAGE_SIZE) - self.address / PAGE_SIZE
    }

    fn contains(&self, address: u64, size: u64) -> bool {
        address >= self.address
            && address.checked_add(size).is_some_and(|end| end <= self.address + self.memory_size)
    }
}

/// Most loadable segments of a program.
pub const SEGMENTS_MAX: usize = 8;

/// A checked program.
pub struct Image<'file> {
    /// Address of the entry.
    pub entry: u64,
    /// Whether it is a 32-bit program.
    pub is_32_bit: bool,
    segments: [Segment; SEGMENTS_MAX],
    segment_count: usize,
    relocations: &'file [u8],
    file: &'file [u8],
}

impl<'file> Image<'file> {
    /// Checks the file. The relocations are checked one by one as [`Image::relocations`] is walked.
    pub fn parse(file: &'file [u8]) -> Result<Image<'file>, ImageError> {
        let elf = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|_| ImageError::NotElf)?;
        let is_32_bit = match (elf.ehdr.class, elf.ehdr.e_machine, elf.ehdr.e_type) {
            (Class::ELF64, EM_X86_64, ET_DYN) => false,
            (Class::ELF32, EM_386, ET_EXEC) => true,
            _ => return Err(ImageError::NotPositionIndependent),
        };
        let mut image = Image {
            entry: elf.ehdr.e_entry,
            is_32_bit,
            segments: [Segment::default(); SEGMENTS_MAX],
            segment_count: 0,
            relocations: &[],
            file,
        };
        let mut dynamic = None;
        for header in elf.segments().ok_or(ImageError::NotElf)? {
            if header.p_type == PT_LOAD && header.p_memsz != 0 {
                image.add_segment(Segment {
                    address: header.p_vaddr,
                    memory_size: header.p_memsz,
                    file_offset: header.p_offset,
                    file_size: header.p_filesz,
                    writable: header.p_flags & PF_W != 0,
                    executable: header.p_flags & PF_X != 0,
                })?;
            } else if header.p_type == PT_DYNAMIC {
                dynamic = Some(elf.segment_data(&header).map_err(|_| ImageError::NotElf)?);
            }
        }
        if !image.segments().iter().any(|segment| segment.executable && segment.contains(image.entry, 1)) {
            return Err(ImageError::BadEntry);
        }
        if !is_32_bit {
            image.relocations = image.find_relocations(dynamic.unwrap_or_default())?;
        }
        Ok(image)
    }

    /// Its segments.
    pub fn segments(&self) -> &[Segment] {
        &self.segments[..self.segment_count]
    }

    /// The segment's bytes in the file.
    pub fn contents(&self, segment: &Segment) -> &'file [u8] {
        // `add_segment` has checked the range.
        let start = segment.file_offset as usize;
        self.file.get(start..start + segment.file_size as usize).unwrap_or_default()
    }

    /// Its relocations: address of an 8-byte word in a writable segment, and the address in the region whose final
    /// value goes there.
    pub fn relocations(&self) -> impl Iterator<Item = Result<(u64, u64), ImageError>> + '_ {
        RelaIterator::new(LittleEndian, Class::ELF64, self.relocations).map(|rela: Rela| {
            let writable =
                self.segments().iter().any(|segment| segment.writable && segment.contains(rela.r_offset, 8));
            if rela.r_type == R_X86_64_RELATIVE && writable {
                Ok((rela.r_offset, rela.r_addend as u64))
            } else {
                Err(ImageError::BadRelocation)
            }
        })
    }

    fn add_segment(&mut self, segment: Segment) -> Result<(), ImageError> {
        let memory_end = segment.address.checked_add(segment.memory_size);
        if memory_end.is_none_or(|end| end > IMAGE_SIZE_MAX) || self.segment_count == SEGMENTS_MAX {
            return Err(ImageError::TooLarge);
        }
        let file_end = segment.file_offset.checked_add(segment.file_size);
        if file_end.is_none_or(|end| end > self.file.len() as u64)
            || segment.file_size > segment.memory_size
            || segment.file_offset % PAGE_SIZE != segment.address % PAGE_SIZE
            || (!segment.writable && segment.file_size != segment.memory_size)
        {
            return Err(ImageError::BadSegment);
        }
        if segment.writable && segment.executable {
            return Err(ImageError::WritableCode);
        }
        self.segments[self.segment_count] = segment;
        self.segment_count += 1;
        Ok(())
    }

    /// The relocations that the dynamic section tells of, which is where its program header says: section headers are for
    /// linkers, and many.
    fn find_relocations(&self, dynamic: &[u8]) -> Result<&'file [u8], ImageError> {
        let (mut address, mut size) = (0, 0);
        for entry in DynamicTable::new(LittleEndian, Class::ELF64, dynamic) {
            match entry.d_tag {
                DT_RELA => address = entry.d_ptr(),
                DT_RELASZ => size = entry.d_val(),
                DT_NULL => break,
                _ => {}
            }
        }
        if size == 0 {
            return Ok(&[]);
        }
        let segment = self.segments().iter().find(|segment| segment.contains(address, size));
        let start = segment.map(|segment| (address - segment.address) as usize);
        let bytes = start.and_then(|start| self.contents(segment?).get(start..start + size as usize));
        bytes.ok_or(ImageError::BadRelocation)
    }
}

#[cfg(test)]
pub(super) mod tests;
