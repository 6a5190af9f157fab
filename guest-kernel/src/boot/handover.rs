//! What the VMM has laid out in memory for the kernel: plan, programs.

use core::ptr::with_exposed_provenance;
use core::slice;

use abi::boot::{BootInfo, Module, PhysicalRange};
use abi::plan::{Plan, PlanRight, PlanServer};

use crate::memory::physical_pointer;

/// The plan, its servers and its rights.
pub fn plan(boot: &BootInfo) -> (&'static Plan, &'static [PlanServer], &'static [PlanRight]) {
    let address = physical_pointer(boot.plan).expose_provenance();
    // SAFETY: the VMM has laid the three out there, one behind the other, and nobody writes to them.
    unsafe {
        let plan: &Plan = &*with_exposed_provenance(address);
        let servers = address + size_of::<Plan>();
        let rights = servers + plan.server_count as usize * size_of::<PlanServer>();
        (
            plan,
            slice::from_raw_parts(with_exposed_provenance(servers), plan.server_count as usize),
            slice::from_raw_parts(with_exposed_provenance(rights), plan.right_count as usize),
        )
    }
}

/// The programs that the VMM has loaded.
pub fn modules(boot: &'static BootInfo) -> &'static [Module] {
    let address = physical_pointer(boot.modules).expose_provenance();
    // SAFETY: the VMM has laid the array out there, and nobody writes to it.
    unsafe { slice::from_raw_parts(with_exposed_provenance(address), boot.module_count as usize) }
}

/// The bytes of a program.
pub fn file_bytes(file: PhysicalRange) -> &'static [u8] {
    // SAFETY: the VMM has loaded the file there; servers get its pages for reading only.
    unsafe { slice::from_raw_parts(physical_pointer(file.start), file.size as usize) }
}
