//! The machine. It knows no objects of the kernel: addresses, registers and page tables only, so each part can be had apart.
//!
//! What needs no privilege (page tables, kernel interface pages, registers) is compiled for the host too, where its tests use it.
//! There the rest only notes what it was told (`host`):
//!
//! * `load_page_table(value)`: makes a space resident. `copy_words(from, to, count)`: copies message words.
//! * `arm_timer()`, `stop_timer()`, `timer_is_pending()`: one interrupt at the end of a time slice.
//! * `change_region_privilege`, `move_slot`, `move_call_return`, `move_interrupted`: migration.
//! * `flush_pages`, `flush_pcid`, `flush_all`, `clock_kind`, `measure_flush`: the TLB.
//! * `interrupt_cpu(apic_id)`: has another CPU look what it is wanted for. `wait_for_interrupt()`: waits for that.
//! * `Pmu`: the performance counters, around the measured part.

pub mod clock;
pub mod context;
#[allow(unsafe_code)]
pub mod x86_64;

pub use x86_64::interface::{Gate, interface_32, kernel_interface, set_interface_pages, user_interface};
pub use x86_64::paging::{
    Access, DetachedRegion, Frames, Home, Mapper, add_homes, add_large_home, add_own_home, add_small_region,
    copy_between, detach_large, detach_region, detach_slot, frame_of, hang_home, kernel_root, new_root,
    release_region, set_kernel_root, writable_frame,
};
pub use x86_64::ring_3::{Ring3State, Segments};

#[cfg(target_os = "none")]
pub use x86_64::{
    flush::{clock_kind, flush_all, flush_pages, flush_pcid, measure_flush, set_has_invpcid},
    machine::{
        copy_words, exit, load_page_table, read_doorbell, ring_doorbell, time_stamp_counter,
        wait_for_interrupt, write_console,
    },
    migration::{change_region_privilege, move_call_return, move_interrupted, move_slot},
    pmu::Pmu,
    timer::{arm_timer, interrupt_cpu, stop_timer, timer_is_pending},
};

#[cfg(not(target_os = "none"))]
#[allow(unsafe_code)]
mod host;
#[cfg(not(target_os = "none"))]
pub use host::*;
