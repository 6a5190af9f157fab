//! Tables in programs: bytes that the VMM puts into a program's image, as one more segment, for reading only.

use object::LittleEndian as LE;
use object::elf::{FileHeader64, PF_R, PT_LOAD, ProgramHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{U32, U64};

use crate::machine::guest::Elf;

const PAGE: usize = 4096;

/// The program with the table at this address of its image. `None` where the file has no room for another segment's header, or the
/// address is taken.
pub fn with_table(program: &Elf, address: u64, table: &[u8]) -> Option<Elf> {
    let mut bytes = program.bytes.to_vec();
    let header = FileHeader64::<LE>::parse(bytes.as_slice()).ok()?;
    let segments = header.program_headers(LE, bytes.as_slice()).ok()?;
    let loaded = || segments.iter().filter(|segment| segment.p_type(LE) == PT_LOAD);
    let new = header.e_phoff(LE) as usize + size_of_val(segments);
    // Behind the headers comes what is loaded first.
    let first = loaded().map(|segment| segment.p_offset(LE)).min()? as usize;
    let end = loaded().map(|segment| segment.p_vaddr(LE) + segment.p_memsz(LE)).max()?;
    if new + size_of::<ProgramHeader64<LE>>() > first || end > address {
        return None;
    }
    let count = header.e_phnum(LE) + 1;
    let offset = bytes.len().next_multiple_of(PAGE);
    bytes.resize(offset, 0);
    bytes.extend(table);
    let segment = ProgramHeader64 {
        p_type: U32::new(LE, PT_LOAD),
        p_flags: U32::new(LE, PF_R),
        p_offset: U64::new(LE, offset as u64),
        p_vaddr: U64::new(LE, address),
        p_paddr: U64::new(LE, address),
        p_filesz: U64::new(LE, table.len() as u64),
        p_memsz: U64::new(LE, table.len() as u64),
        p_align: U64::new(LE, PAGE as u64),
    };
    let place = bytes.get_mut(new..new + size_of_val(&segment))?;
    place.copy_from_slice(object::bytes_of(&segment));
    let (header, _) = object::from_bytes_mut::<FileHeader64<LE>>(&mut bytes).ok()?;
    header.e_phnum.set(LE, count);
    Some(Elf { name: program.name.clone(), bytes: bytes.into() })
}

#[cfg(test)]
mod tests {
    use object::{Object, ObjectSegment};

    use super::*;
    use crate::guest_image::GuestImage;

    #[test]
    fn a_program_gets_one_segment_more() {
        let image = GuestImage::embedded();
        let program = image.servers.iter().find(|elf| elf.name == abi::program::PROCESS).unwrap();
        let table = [7; 5000];
        let with = with_table(program, abi::replay::OFFSET, &table).unwrap();
        let segments = |elf: &Elf| {
            let bytes = elf.bytes.to_vec();
            let file = object::File::parse(bytes.as_slice()).unwrap();
            file.segments().map(|one| (one.address(), one.data().unwrap().to_vec())).collect::<Vec<_>>()
        };
        let mut expected = segments(program);
        expected.push((abi::replay::OFFSET, table.to_vec()));
        assert_eq!(segments(&with), expected);
        assert!(with_table(program, 0x1000, &table).is_none(), "the address is taken");
    }
}
