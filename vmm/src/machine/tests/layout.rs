//! Whatever is asked for: nothing overlaps, nothing leaves guest memory, and advice is good.

use proptest::prelude::*;

use abi::boot::PhysicalRange;

use crate::machine::error::MachineError;
use crate::machine::layout::{Layout, Request, page_up};
use crate::machine::memory;

fn request() -> impl Strategy<Value = Request> {
    let memory = prop_oneof![1u64..65_536, 700_000u64..1_200_000];
    let counts = (0usize..100, 0usize..5_000, 1u32..700, 1u64..2_000);
    (memory, prop::collection::vec(0u64..3_000_000, 0..12), counts, 0u64..200_000_000, 1u64..2_000).prop_map(
        |(pages, module_sizes, (servers, rights, vcpus, tables), sample_capacity, kernel_pages)| Request {
            memory_bytes: pages * 4096,
            kernel: (0x20_0000, 0x20_0000 + kernel_pages * 4096),
            module_sizes,
            servers,
            rights,
            vcpus,
            table_bytes: tables * 4096,
            sample_capacity,
        },
    )
}

/// Everything that was placed, the kernel included, in whole pages.
fn pages(request: &Request, layout: &Layout) -> Vec<(u64, u64)> {
    let kernel = PhysicalRange { start: request.kernel.0, size: request.kernel.1 - request.kernel.0 };
    let single = [
        kernel,
        layout.boot_info,
        layout.module_table,
        layout.plan,
        layout.report,
        layout.cpu_reports,
        layout.cpu_areas,
        layout.page_tables,
        layout.samples,
    ];
    let all = single.iter().chain(&layout.modules).chain(&layout.free_memory);
    all.filter(|range| range.size > 0).map(|range| (range.start, page_up(range.size))).collect()
}

fn check(request: &Request, layout: &Layout) -> Result<(), TestCaseError> {
    let mut placed = pages(request, layout);
    placed.sort_unstable();
    for pair in placed.windows(2) {
        prop_assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:x?} overlap in {layout:x?}");
    }
    let pieces = memory::pieces(request.memory_bytes);
    for (start, size) in placed {
        prop_assert!(start % 4096 == 0, "{start:#x}");
        let inside = |(first, length): &(u64, u64)| start >= *first && start + size <= first + length;
        prop_assert!(pieces.iter().any(inside), "{start:#x}+{size:#x} is no memory");
    }
    prop_assert_eq!(layout.samples.size, request.sample_capacity * 8);
    Ok(())
}

proptest! {
    #[test]
    fn nothing_overlaps_and_advice_is_good(mut request in request()) {
        match Layout::new(&request) {
            Ok(layout) => check(&request, &layout)?,
            Err(MachineError::MemoryTooSmall { needed_mib, have_mib }) => {
                prop_assert!(needed_mib > have_mib);
                request.memory_bytes = needed_mib << 20;
                let layout = Layout::new(&request);
                prop_assert!(layout.is_ok(), "{layout:?} in spite of the advice");
                check(&request, &layout.unwrap())?;
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

#[test]
fn impossible_sizes_are_refused() {
    let request = |memory_bytes, sample_capacity| Request {
        memory_bytes,
        kernel: (0x20_0000, 0x30_0000),
        module_sizes: vec![1],
        servers: 1,
        rights: 1,
        vcpus: 1,
        table_bytes: 1 << 20,
        sample_capacity,
    };
    for bytes in [0, 4097, 1 << 40, u64::MAX, u64::MAX - 4095] {
        assert!(matches!(Layout::new(&request(bytes, 1)), Err(MachineError::MemorySize(_))), "{bytes:#x}");
    }
    for capacity in [u64::MAX, u64::MAX / 8, 1 << 40] {
        let error = Layout::new(&request(16 << 20, capacity)).unwrap_err();
        assert!(matches!(error, MachineError::MemoryTooSmall { .. }), "{error}");
    }
    assert!(Layout::new(&request(16 << 20, 1)).is_ok());
}
