//! A guest as a file: what a loader makes of it.

use object::LittleEndian;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use super::kernel_image::{DATA, TEXT, elf};
use crate::case::tests::parameters;
use crate::guest_image::GuestImage;
use crate::machine::boot::{Clocks, Processor};
use crate::machine::boot_image::{BootImage, PVH_ENTRY, PVH_NAME, notes};
use crate::machine::guest::{Elf, GuestConfig, Pin};
use crate::machine::page_table::LargestPage;
use crate::workload::Call;
use crate::workload::guest::guest_config;

const PROCESSOR: Processor = Processor { largest_page: LargestPage::Mebibytes2, has_x2apic: false };
const CLOCKS: Clocks = Clocks { tsc_hz: 1, apic_timer_hz: 1 };

/// A guest of one case, with this kernel.
fn guest(kernel: Elf) -> GuestConfig {
    let image = GuestImage { kernel, ..GuestImage::embedded() };
    guest_config(&parameters(&Call), &image, &Pin::None).unwrap()
}

/// What a loader puts into memory is what this VMM would have put there, and the entry of PVH lies in it.
#[test]
fn the_file_holds_the_memory_that_the_kernel_finds() {
    let config = guest(GuestImage::embedded().kernel);
    let image = BootImage::new(&config, PROCESSOR, CLOCKS).unwrap();
    let bytes = &image.elf[..];
    let header = FileHeader64::<LittleEndian>::parse(bytes).unwrap();
    let (mut note, mut loaded) = (None, Vec::new());
    for segment in header.program_headers(LittleEndian, bytes).unwrap() {
        if let Some(mut notes) = segment.notes(LittleEndian, bytes).unwrap() {
            let found = notes.next().unwrap().unwrap();
            assert_eq!((found.name(), found.n_type(LittleEndian).0), (PVH_NAME, PVH_ENTRY));
            note = found.desc().first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        } else {
            let data = segment.data(LittleEndian, bytes).unwrap();
            loaded.push((segment.p_paddr(LittleEndian), data));
        }
    }
    let word = |address: u64| {
        let (start, data) =
            loaded.iter().find(|(start, data)| (*start..*start + data.len() as u64).contains(&address))?;
        data[(address - start) as usize..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    };
    let entry = note.unwrap();
    assert_eq!(entry, header.e_entry(LittleEndian));
    assert!(word(entry).is_some_and(|code| code as u16 == 0xfcfa), "CLI, CLD");
    let own_start = notes(&config.kernel).unwrap().own_start;
    assert_eq!(word(own_start), Some(image.layout.page_tables.start));
    assert_eq!(word(own_start + 8), Some(image.layout.boot_info.start));
    assert_eq!(word(image.layout.boot_info.start), Some(abi::boot::BOOT_MAGIC));
    assert!(loaded.iter().all(|(start, _)| *start >= 0x10_0000), "the first MiB is the firmware's");
}

#[test]
fn a_kernel_without_a_start_of_its_own_is_refused_with_the_fix() {
    let config = guest(elf(TEXT.1, &[TEXT, DATA]));
    let error = BootImage::new(&config, PROCESSOR, CLOCKS).unwrap_err().to_string();
    assert!(error.contains("no notes") && error.contains("built-in kernel"), "{error}");
    let large = GuestConfig { memory_bytes: 4 << 30, ..config };
    let error = BootImage::new(&large, PROCESSOR, CLOCKS).unwrap_err().to_string();
    assert!(error.contains("3 GiB"), "{error}");
}
