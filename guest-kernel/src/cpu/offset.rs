//! Where assembly, which reaches a CPU through GS, finds its fields.

use core::mem::offset_of;

use super::Cpu;
use super::counters::CounterCells;
use super::port::CpuPort;

/// Its own address.
pub const THIS: usize = offset_of!(Cpu, this);
/// The running thread.
pub const CURRENT: usize = offset_of!(Cpu, current);
/// Where the kernel's stack ends.
pub const KERNEL_STACK_END: usize = offset_of!(Cpu, kernel_stack_end);
/// The endpoint of the server whose direct entry the current thread is running.
pub const DIRECT: usize = offset_of!(Cpu, direct);
/// The counter of calls by a direct entry.
pub const IPC_DIRECT: usize = COUNTERS + offset_of!(CounterCells, ipc_direct);
/// The counter of loads of segments.
pub const SEGMENT_LOADS: usize = COUNTERS + offset_of!(CounterCells, segment_loads);

const COUNTERS: usize = offset_of!(Cpu, port) + offset_of!(CpuPort, counters);
