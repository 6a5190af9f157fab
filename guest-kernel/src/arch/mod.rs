//! The machine. Each architecture gives the same set of names; the rest of the kernel knows no others:
//!
//! * `load_page_table(value)`: makes a space resident.
//! * `copy_words(from, to, count)`: copies message words.
//! * `arm_timer()`: one interrupt at the end of a time slice from now.
//! * `stop_timer(cpu)`: no interrupt, after all.
//! * `change_region_privilege(server, target)`, `move_call_return(server, thread, target)`,
//!   `move_interrupted(server, thread, target)`, migration.
//! * `Compatibility`, `begin_compatible(thread, compatibility)`, `change_segments(server)`, `move_slot(server, slot, target)`: 32-bit
//!   programs.
//! * `flush_region(cpu, server)`, `flush_space(cpu, space)`, `flush_all(cpu)`, `clock_kind()`, `measure_flush(base, memory, report)`: the TLB.
//! * `idle(cpu)`: waits for an interrupt; returns after it was handled.
//! * `interrupt_cpu(target)`: has another CPU look what it is wanted for; `wait_for_interrupt()` waits for that.
//! * `Pmu`: the performance counters, around the measured part.

#[cfg(target_os = "none")]
mod x86_64;
#[cfg(target_os = "none")]
pub use x86_64::*;

/// On the host, where the portable logic is tested, the machine only notes what it was told.
#[cfg(not(target_os = "none"))]
mod host;
#[cfg(not(target_os = "none"))]
pub use host::*;
