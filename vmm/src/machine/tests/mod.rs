//! Tests that need several parts of the machine model, but no KVM.

mod boot_image;
mod kernel_image;
mod layout;
mod malformed;
mod page_tables;
mod report;

use crate::machine::kernel_image::{KernelImage, Segment};
use crate::machine::page_table::Access;
use abi::address::KERNEL_IMAGE_BASE;

/// A kernel of three segments, as the guest's linker script makes it.
fn kernel(text_pages: u64, data_pages: u64) -> KernelImage {
    let mut next = 0x20_0000;
    let mut segment = |pages: u64, access| {
        let physical_start = next;
        next += pages * 4096;
        Segment {
            virtual_start: KERNEL_IMAGE_BASE + physical_start,
            physical_start,
            size: pages * 4096,
            access,
        }
    };
    let segments = vec![
        segment(text_pages, Access::ReadExecute),
        segment(3, Access::Read),
        segment(data_pages, Access::ReadWrite),
    ];
    KernelImage { entry: segments[0].virtual_start, segments }
}
