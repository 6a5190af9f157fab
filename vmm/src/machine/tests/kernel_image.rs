//! Kernels that cannot be booted are refused with a reason; garbage never panics.

use proptest::prelude::*;

use crate::machine::guest::Elf;
use crate::machine::kernel_image::KernelImage;
use crate::machine::page_table::Access;

const BASE: u64 = abi::address::KERNEL_IMAGE_BASE;

/// Flags, virtual address, physical address, bytes in memory.
pub(super) type Header = (u32, u64, u64, u64);

pub(super) const TEXT: Header = (5, BASE + 0x20_0000, 0x20_0000, 0x1000);
pub(super) const DATA: Header = (6, BASE + 0x20_1000, 0x20_1000, 0x2345);

pub(super) fn elf(entry: u64, segments: &[Header]) -> Elf {
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    for value in [entry, 64, 0] {
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    for value in [64, 56, segments.len() as u16, 64, 0, 0] {
        file.extend(value.to_le_bytes());
    }
    for (flags, address, physical, size) in segments {
        file.extend(1u32.to_le_bytes());
        file.extend(flags.to_le_bytes());
        for value in [0, *address, *physical, 16, *size, 4096] {
            file.extend(value.to_le_bytes());
        }
    }
    Elf { name: "test".to_owned(), bytes: file.into() }
}

fn refusal(entry: u64, segments: &[Header]) -> String {
    KernelImage::parse(&elf(entry, segments)).unwrap_err().to_string()
}

#[test]
fn a_good_kernel_is_taken_apart() {
    let image = KernelImage::parse(&elf(TEXT.1, &[TEXT, DATA])).unwrap();
    assert_eq!(image.entry, TEXT.1);
    assert_eq!(image.physical_extent(), (0x20_0000, 0x20_4000));
    assert_eq!(image.segments[0].access, Access::ReadExecute);
    assert_eq!((image.segments[1].access, image.segments[1].size), (Access::ReadWrite, 0x3000));
}

#[test]
fn what_cannot_be_booted_is_refused_with_a_reason() {
    let refused: [(&str, u64, Vec<Header>); 8] = [
        ("no loadable segment", TEXT.1, vec![]),
        ("entry", DATA.1, vec![TEXT, DATA]),
        ("both writable and executable", TEXT.1, vec![(7, TEXT.1, TEXT.2, 0x1000)]),
        ("share a page", TEXT.1, vec![TEXT, (4, TEXT.1 + 0x800, TEXT.2 + 0x800, 0x100)]),
        ("top 2 GiB", 0x20_0000, vec![(5, 0x20_0000, 0x20_0000, 0x1000)]),
        ("top 2 GiB", TEXT.1, vec![(5, TEXT.1, TEXT.2, u64::MAX - 8)]),
        ("physical address", TEXT.1, vec![(5, TEXT.1, 0, 0x1000)]),
        ("physical address", TEXT.1, vec![(5, TEXT.1, 0xffff_f000, 0x1000)]),
    ];
    for (what, entry, segments) in refused {
        let reason = refusal(entry, &segments);
        assert!(reason.contains(what), "{reason}");
    }
}

/// As many as the file format has numbers for. Looking at all pairs of them would take 2,000,000,000 comparisons.
#[test]
fn a_kernel_of_65_534_segments_is_taken_and_its_last_overlap_found() {
    let page = |index: u64| (4, BASE + 0x100_0000 + index * 0x1000, 0x100_0000 + index * 0x1000, 0x1000);
    let mut segments = vec![TEXT];
    segments.extend((0..65_533).map(page));
    assert_eq!(KernelImage::parse(&elf(TEXT.1, &segments)).unwrap().segments.len(), 65_534);
    segments[65_533] = page(65_531);
    assert!(refusal(TEXT.1, &segments).contains("share a page"));
}

proptest! {
    /// Whatever their order, and in either address space.
    #[test]
    fn an_overlap_of_any_two_segments_is_found(
        pages in prop::collection::vec((1u64..40, 1u64..40, 1u64..5), 1..12),
    ) {
        let shares = |start: fn(&(u64, u64, u64)) -> u64| {
            pages.iter().enumerate().any(|(index, one)| {
                let overlaps = |other| start(one) < start(other) + other.2 && start(other) < start(one) + one.2;
                pages[..index].iter().any(overlaps)
            })
        };
        let header = |(address, physical, size): &(u64, u64, u64)| {
            (5, BASE + (0x1000 + address) * 0x1000, (0x1000 + physical) * 0x1000, size * 0x1000)
        };
        let headers: Vec<Header> = pages.iter().map(header).collect();
        let parsed = KernelImage::parse(&elf(headers[0].1, &headers));
        prop_assert_eq!(parsed.is_err(), shares(|range| range.0) || shares(|range| range.1), "{:?}", parsed);
    }

    #[test]
    fn any_segment_is_survived(flags in 0u32..8, address: u64, physical: u64, size: u64) {
        let _ = KernelImage::parse(&elf(address, &[(flags, address, physical, size), TEXT]));
        let (address, physical) = (BASE | address, physical % (4 << 30));
        if let Ok(image) = KernelImage::parse(&elf(address, &[(flags, address, physical, size >> 30), TEXT])) {
            let (start, end) = image.physical_extent();
            prop_assert!(start >= 4096 && start < end && end <= 3 << 30);
        }
    }

    #[test]
    fn any_file_is_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..400), is_elf in any::<bool>()) {
        if is_elf && bytes.len() > 64 {
            bytes[..64].copy_from_slice(&elf(TEXT.1, &[TEXT]).bytes[..64]);
        }
        let _ = KernelImage::parse(&Elf { name: "garbage".to_owned(), bytes: bytes.into() });
    }
}
