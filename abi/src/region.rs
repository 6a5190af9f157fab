//! The layout of a server's region: 4 GiB, aligned to 4 GiB, the same in every placement.
//!
//! | offset | pages | what |
//! |---|---|---|
//! | 0 | R, RX, RW as the ELF says | image of the program, linked at 0, position independent |
//! | [`KERNEL_INTERFACE_OFFSET`] | RX | kernel interface page: the stubs |
//! | [`START_INFO_OFFSET`] | R | [`StartInfo`] |
//! | [`CLOCK_OFFSET`] | R | KVM's steal-time records, one per CPU, where there are any |
//! | [`THREAD_OFFSET`] + n × [`THREAD_STRIDE`] | guard, then RW | stack of thread n |
//! | [`WORKING_SET_OFFSET`] | RW | working set |
//! | [`SAMPLES_OFFSET`] | RW | samples, for the driver of the case only |
//!
//! A 32-bit server has the same region without the samples, or with them if it is the driver, at smaller offsets:
//! [`working_set_offset_32`], [`SAMPLES_OFFSET_32`]. Its segments begin where its region does, so to the program the region
//! lies at address 0 in every placement.
//!
//! All of them carry the user bit in a user space, and none of them in a slot of the kernel: that bit is the only
//! difference.

/// Bytes that the program's image may take.
pub const IMAGE_SIZE_MAX: u64 = KERNEL_INTERFACE_OFFSET;

/// Kernel interface page.
pub const KERNEL_INTERFACE_OFFSET: u64 = 0xf_0000;

/// Start information, one page.
pub const START_INFO_OFFSET: u64 = 0xf_1000;

/// KVM's steal-time records, see [`StartInfo::steal_time_cpus`].
pub const CLOCK_OFFSET: u64 = 0xf_2000;

/// Bytes of one steal-time record, aligned to its size (Documentation/virt/kvm/x86/msr.rst).
pub const CLOCK_SIZE: u64 = 64;

/// CPUs that there is room for: the others have no record.
pub const CLOCK_COUNT_MAX: u32 = ((THREAD_OFFSET - CLOCK_OFFSET) / CLOCK_SIZE) as u32;

/// Area of thread 0.
pub const THREAD_OFFSET: u64 = 0x10_0000;

/// Distance between the areas of two threads, bytes.
pub const THREAD_STRIDE: u64 = 0x8000;

/// Most pages of a thread's stack; it ends where the next thread's area begins, so that a guard lies below it.
pub const STACK_PAGES_MAX: u64 = 4;

/// Most threads of one server.
pub const THREADS_MAX: u32 = ((WORKING_SET_OFFSET - THREAD_OFFSET) / THREAD_STRIDE) as u32;

/// Working set.
pub const WORKING_SET_OFFSET: u64 = 0x4000_0000;

/// Most pages of a working set.
pub const WORKING_SET_PAGES_MAX: u32 = ((SAMPLES_OFFSET - WORKING_SET_OFFSET) / 4096) as u32;

/// Bytes at the end of a 32-bit thread's stack that hold its [`MessageBlock`].
pub const MESSAGE_BLOCK_SIZE: u64 = 64;

/// What a 32-bit program and the kernel exchange in a system call. It lies [`MESSAGE_BLOCK_SIZE`] below the end of the
/// thread's stack ([`stack_end`]), so that a thread finds it from its stack pointer alone.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageBlock {
    /// Handle, or first argument; badge.
    pub handle: u64,
    /// Tag, or second argument; tag.
    pub tag: u64,
    /// Message words 0 to 3.
    pub words: [u64; 4],
}

/// Offset of a 32-bit server's working set: behind its threads.
pub const fn working_set_offset_32(thread_count: u32) -> u64 {
    THREAD_OFFSET + thread_count as u64 * THREAD_STRIDE
}

/// Bytes that the region of a 32-bit server takes, samples not counted: what its slot has to hold.
pub const fn size_32(thread_count: u32, working_set_pages: u32) -> u64 {
    working_set_offset_32(thread_count) + working_set_pages as u64 * 4096
}

/// Samples of a 32-bit driver, at most [`SAMPLES_SIZE_MAX`].
pub const SAMPLES_OFFSET_32: u64 = 0x4000_0000;

/// Samples.
pub const SAMPLES_OFFSET: u64 = 0x8000_0000;

/// Most bytes of samples.
pub const SAMPLES_SIZE_MAX: u64 = 1 << 30;

/// Bytes of one stub in the kernel interface page.
pub const STUB_SIZE: u64 = 16;

/// Offset in the kernel interface page of the stub of system call `number`.
pub const fn stub_offset(number: u32) -> u64 {
    number as u64 * STUB_SIZE
}

/// Address just above the stack of thread `index`, for a region at `base`.
pub const fn stack_end(base: u64, index: u32) -> u64 {
    base + THREAD_OFFSET + (index as u64 + 1) * THREAD_STRIDE
}

/// What a server is told about itself. Every thread starts at the program's ELF entry with RDI = base of the region,
/// RSI = index of the thread in the server, RDX = index of its CPU, RSP = end of its stack minus 8. Every thread of a 32-bit
/// server starts with ECX = index of the thread, EDX = index of its CPU, ESP = end of its stack minus [`MESSAGE_BLOCK_SIZE`]
/// minus 4.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct StartInfo {
    /// [`crate::VERSION`] of the kernel.
    pub version: u32,
    /// Index of the server in the plan.
    pub server: u32,
    /// Number of its threads.
    pub thread_count: u32,
    /// Number of its rights.
    pub right_count: u32,
    /// Pages of its working set.
    pub working_set_pages: u32,
    /// CPUs, from the first on, that have a steal-time record at [`CLOCK_OFFSET`] + n × [`CLOCK_SIZE`].
    pub steal_time_cpus: u32,
    /// Room for samples, in samples; 0 unless the server is the driver.
    pub sample_capacity: u64,
    /// Frequency of the time-stamp counter, Hz; 0 when nobody knows it.
    pub tsc_hz: u64,
    /// Arguments from the plan.
    pub arguments: [u64; crate::plan::ARGUMENT_COUNT],
}

const _: () = assert!(size_of::<StartInfo>() == 136);
const _: () = assert!(stub_offset(crate::call::number::COUNT) <= 4096);
const _: () = assert!(SAMPLES_OFFSET + SAMPLES_SIZE_MAX <= crate::address::REGION_SIZE);
const _: () = assert!(SAMPLES_OFFSET_32 + SAMPLES_SIZE_MAX <= crate::address::LARGE_SIZE);
const _: () = assert!(size_of::<MessageBlock>() as u64 <= MESSAGE_BLOCK_SIZE);
