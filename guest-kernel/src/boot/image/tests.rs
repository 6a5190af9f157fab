//! Tests with ELF files made by hand: one good file, then every way of spoiling it.

use elf::abi::{PF_R, PT_DYNAMIC};
use proptest::prelude::*;

use super::*;

const DATA_OFFSET: u64 = 0x1000;
const RELOCATIONS: u64 = 0x1100;

/// One program header: type, flags, file offset, address, bytes in the file, bytes in memory.
type Header = (u32, u32, u64, u64, u64, u64);

/// Text at 0x0, data at 0x1000 with one relocation of its first word, 8 KiB in all.
fn headers() -> Vec<Header> {
    vec![
        (PT_LOAD, PF_R | PF_X, 0, 0, 0x400, 0x400),
        (PT_LOAD, PF_R | PF_W, DATA_OFFSET, 0x1000, 0x800, 0x1800),
        (PT_DYNAMIC, PF_R | PF_W, 0x1080, 0x1080, 0x30, 0x30),
    ]
}

fn file(kind: u16, entry: u64, headers: &[Header], relocation_type: u64) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend(kind.to_le_bytes());
    bytes.extend(EM_X86_64.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(entry.to_le_bytes());
    bytes.extend(64_u64.to_le_bytes());
    bytes.extend([0; 12]);
    for half in [64_u16, 56, headers.len() as u16, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    for &(kind, flags, offset, address, file_size, memory_size) in headers {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        for word in [offset, address, address, file_size, memory_size, 0x1000] {
            bytes.extend(word.to_le_bytes());
        }
    }
    bytes.resize(0x2000, 0);
    let dynamic = [DT_RELA as u64, RELOCATIONS, DT_RELASZ as u64, 24, 0, 0];
    let relocation = [0x1000, relocation_type, 0x1234];
    for (offset, words) in [(0x1080, &dynamic[..]), (RELOCATIONS as usize, &relocation[..])] {
        for (index, word) in words.iter().enumerate() {
            bytes[offset + index * 8..][..8].copy_from_slice(&word.to_le_bytes());
        }
    }
    bytes
}

/// A good file.
pub fn good_file() -> Vec<u8> {
    file(ET_DYN, 0x10, &headers(), R_X86_64_RELATIVE.into())
}

fn error(kind: u16, entry: u64, headers: &[Header]) -> Option<ImageError> {
    Image::parse(&file(kind, entry, headers, R_X86_64_RELATIVE.into())).err()
}

#[test]
fn a_good_file_gives_its_segments_and_relocations() {
    let file = file(ET_DYN, 0x10, &headers(), R_X86_64_RELATIVE.into());
    let image = Image::parse(&file).unwrap_or_else(|error| panic!("{error}"));
    let [text, data] = image.segments() else { panic!("two segments") };
    assert!(text.executable && !text.writable && data.writable && !data.executable);
    assert_eq!((data.first_page(), data.page_count()), (0x1000, 2));
    assert_eq!(image.contents(data).len(), 0x800);
    assert_eq!(image.relocations().collect::<Vec<_>>(), [Ok((0x1000, 0x1234))]);
}

#[test]
fn what_is_not_a_position_independent_program_is_refused() {
    assert_eq!(Image::parse(b"#!/bin/sh\n").err(), Some(ImageError::NotElf));
    assert_eq!(Image::parse(&[]).err(), Some(ImageError::NotElf));
    assert_eq!(error(elf::abi::ET_EXEC, 0x10, &headers()), Some(ImageError::NotPositionIndependent));
    assert_eq!(error(ET_DYN, 0x1010, &headers()), Some(ImageError::BadEntry));
}

#[test]
fn segments_that_cannot_be_mapped_are_refused() {
    let with = |change: fn(&mut Header)| {
        let mut headers = headers();
        change(&mut headers[1]);
        error(ET_DYN, 0x10, &headers)
    };
    assert_eq!(with(|header| header.5 = IMAGE_SIZE_MAX), Some(ImageError::TooLarge));
    assert_eq!(with(|header| header.3 = u64::MAX - 0xfff), Some(ImageError::TooLarge));
    assert_eq!(with(|header| header.2 = 0x1008), Some(ImageError::BadSegment));
    assert_eq!(with(|header| header.4 = 0x1801), Some(ImageError::BadSegment));
    assert_eq!(with(|header| (header.2, header.4) = (0x2000, 0x800)), Some(ImageError::BadSegment));
    assert_eq!(with(|header| header.1 |= PF_X), Some(ImageError::WritableCode));
    assert_eq!(with(|header| header.1 = PF_R), Some(ImageError::BadSegment));
}

#[test]
fn relocations_of_other_kinds_or_in_code_are_refused() {
    const R_X86_64_64: u64 = 1;
    let other = file(ET_DYN, 0x10, &headers(), R_X86_64_64);
    let image = Image::parse(&other).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(image.relocations().next(), Some(Err(ImageError::BadRelocation)));
    let mut in_code = file(ET_DYN, 0x10, &headers(), R_X86_64_RELATIVE.into());
    in_code[RELOCATIONS as usize..][..8].copy_from_slice(&0x20_u64.to_le_bytes());
    let image = Image::parse(&in_code).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(image.relocations().next(), Some(Err(ImageError::BadRelocation)));
}

/// A static 32-bit program: text at 0x1000, data at 0x2000.
fn file_32(kind: u16, machine: u16) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend(kind.to_le_bytes());
    bytes.extend(machine.to_le_bytes());
    for word in [1_u32, 0x1010, 52, 0, 0] {
        bytes.extend(word.to_le_bytes());
    }
    for half in [52_u16, 32, 2, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    for (offset, file_size, memory_size, flags) in
        [(0x1000, 0x400, 0x400, PF_R | PF_X), (0x2000, 0, 0x1800, PF_R | PF_W)]
    {
        for word in [PT_LOAD, offset, offset, offset, file_size, memory_size, flags, 0x1000] {
            bytes.extend(word.to_le_bytes());
        }
    }
    bytes.resize(0x2000, 0);
    bytes
}

#[test]
fn a_static_32_bit_program_needs_no_relocations() {
    let file = file_32(ET_EXEC, EM_386);
    let image = Image::parse(&file).unwrap_or_else(|error| panic!("{error}"));
    assert!(image.is_32_bit);
    assert_eq!((image.entry, image.segments().len(), image.relocations().count()), (0x1010, 2, 0));
    for (kind, machine) in [(ET_DYN, EM_386), (ET_EXEC, EM_X86_64)] {
        assert_eq!(Image::parse(&file_32(kind, machine)).err(), Some(ImageError::NotPositionIndependent));
    }
}

proptest! {
    /// Whatever the file says, the answer is an image within bounds or an error, never a panic.
    #[test]
    fn damaged_files_are_harmless(damage in proptest::collection::vec((0_usize..0x2000, any::<u8>()), 1..20), size in 0_usize..=0x2000) {
        let mut file = file(ET_DYN, 0x10, &headers(), R_X86_64_RELATIVE.into());
        for (offset, byte) in damage {
            file[if offset % 2 == 0 { offset % 0xf0 } else { offset }] = byte;
        }
        file.truncate(size.max(if size % 3 == 0 { 0 } else { 0x2000 }));
        if let Ok(image) = Image::parse(&file) {
            for segment in image.segments() {
                prop_assert!(segment.address + segment.memory_size <= IMAGE_SIZE_MAX);
                prop_assert!(!(segment.writable && segment.executable));
                prop_assert_eq!(image.contents(segment).len() as u64, segment.file_size);
            }
            for (address, _) in image.relocations().flatten() {
                prop_assert!(image.segments().iter().any(|segment| segment.writable
                    && address >= segment.address
                    && address + 8 <= segment.address + segment.memory_size));
            }
        }
    }
}
