//! x86-64: the only place with assembly and privileged instructions.

mod entry;
mod features;
mod flush;
mod machine;
mod migration;
mod paging;
mod pmu;
mod timer;

use core::arch::asm;
use core::mem::offset_of;

use crate::cpu::Cpu;

pub use entry::boot::boot;
pub use entry::compatibility::{Compatibility, RETURN_OFFSET, begin_compatible, change_segments};
pub use entry::last_words::panic;
pub use entry::probe::probe_segments;
pub use flush::{clock_kind, flush_all, flush_region, flush_space, measure_flush, set_has_invpcid};
pub use machine::{
    copy_words, cpu, exit, idle, load_page_table, message_buffer, read_doorbell, ring_doorbell,
    time_stamp_counter, wait_for_interrupt, write_console,
};
pub use migration::{
    change_region_privilege, hang_home, move_call_return, move_interrupted, move_slot, set_interface_pages,
};
pub use paging::{
    Access, DetachedRegion, Frames, add_homes, add_large_home, add_own_home, add_small_region, copy_between,
    detach_large, detach_region, detach_slot, frame_of, kernel_root, map, new_root, physical_pointer,
    release_region,
};
pub use pmu::Pmu;
pub use timer::{arm_timer, interrupt_cpu, stop_timer};

/// Where the jump of the `kernel` stub of system call `call` goes.
pub fn kernel_door(call: u32) -> u64 {
    entry::system_call::kernel_door_of(call) as *const () as u64
}

/// This CPU's record. Only in the kernel's own code, after boot has set GS.
fn this_cpu() -> &'static Cpu {
    let address: u64;
    // SAFETY: GS points to this CPU's record, whose field `this` is its own address.
    unsafe {
        asm!(
            "mov {}, gs:[{this}]",
            out(reg) address,
            this = const offset_of!(Cpu, this),
            options(nostack, preserves_flags, readonly)
        );
        &*core::ptr::with_exposed_provenance(address as usize)
    }
}
