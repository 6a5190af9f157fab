//! Damaged kernels.

use proptest::prelude::*;

use crate::damage::{config, damaged, hits};
use crate::guest_image::GuestImage;
use crate::machine::guest::Elf;
use crate::machine::kernel_image::KernelImage;
use crate::machine::symbolise::Symbols;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn damaged_kernels_are_survived(hits in hits(2_000), tail in hits(300_000)) {
        let kernel = GuestImage::embedded().kernel;
        let bytes = damaged(&damaged(&kernel.bytes, &hits), &tail[..1]);
        let elf = Elf { name: kernel.name, bytes: bytes.into() };
        if let Ok(image) = KernelImage::parse(&elf) {
            image.physical_extent();
        }
        Symbols::new(&elf).locate(u64::MAX);
    }
}
