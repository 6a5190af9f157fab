//! What the VMM hands to the kernel.
//!
//! Every vCPU starts at the kernel's ELF entry in 64-bit mode with interrupts off, on the page tables that the VMM has
//! built (see [`crate::address`]), with these registers:
//!
//! | register | value |
//! |---|---|
//! | RDI | address of [`BootInfo`] in the physical map |
//! | RSI | index of this CPU, 0 for the first |
//! | RSP | end of this CPU's kernel stack, minus 8 (as after a CALL) |
//! | CS, SS | [`KERNEL_CODE_SELECTOR`], [`KERNEL_DATA_SELECTOR`], flat, privilege level 0 |
//! | CR0 | PE, MP, ET, NE, WP, AM, PG |
//! | CR4 | PAE, PGE |
//! | EFER | LME, LMA, NXE, SCE |
//!
//! The local APIC is in xAPIC mode; the kernel switches to x2APIC where CPUID announces that. Elsewhere its registers are mapped,
//! not cached, in the physical map at [`crate::address::LOCAL_APIC`]. Memory has a hole from 3 to 4 GiB.
//!
//! All addresses in the records are guest physical. All memory that the VMM has not written is zero.

use crate::pmu::PmuPlan;

/// [`BootInfo::magic`]: "inkbed" and two digits, in memory order.
pub const BOOT_MAGIC: u64 = u64::from_le_bytes(*b"inkbed01");

/// Selector of the kernel's code segment. The order of the five is the one that SYSCALL and SYSRET dictate.
pub const KERNEL_CODE_SELECTOR: u16 = 0x10;
/// Selector of the kernel's data segment.
pub const KERNEL_DATA_SELECTOR: u16 = 0x18;
/// Selector of the code segment of 32-bit programs, with requested privilege level 3.
pub const USER_CODE_32_SELECTOR: u16 = 0x23;
/// Selector of the user data segment, with requested privilege level 3. It has a base and a limit for 32-bit programs; 64-bit
/// mode ignores both.
pub const USER_DATA_SELECTOR: u16 = 0x2b;
/// Selector of the user code segment, with requested privilege level 3.
pub const USER_CODE_SELECTOR: u16 = 0x33;

/// A range of guest physical memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhysicalRange {
    /// Address of the first byte, page aligned where the range is memory to allocate from.
    pub start: u64,
    /// Length, bytes.
    pub size: u64,
}

/// The record that every CPU finds behind RDI.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BootInfo {
    /// [`BOOT_MAGIC`].
    pub magic: u64,
    /// [`crate::VERSION`] of the VMM.
    pub version: u32,
    /// Number of CPUs that start, the first included.
    pub cpu_count: u32,
    /// [`flag`] bits.
    pub flags: u64,
    /// Physical address of the top-level page table that all CPUs start on; its lower half is empty.
    pub root_table: u64,
    /// Memory that the kernel may allocate from: all zero, page aligned, in no other use. Unused entries have size 0.
    pub free_memory: [PhysicalRange; 2],
    /// Array of [`Module`].
    pub modules: u64,
    /// Elements of that array.
    pub module_count: u32,
    /// Always 0.
    pub reserved: u32,
    /// The [`crate::plan::Plan`] of the case, followed by its servers and rights.
    pub plan: u64,
    /// The [`crate::report::Report`] to fill.
    pub report: u64,
    /// Array of [`crate::report::CpuReport`], one per CPU.
    pub cpu_reports: u64,
    /// Array of samples, `u64` each; see [`crate::report`].
    pub samples: PhysicalRange,
    /// Frequency of the time-stamp counter, Hz; 0 when the VMM does not know it.
    pub tsc_hz: u64,
    /// Frequency that the local APIC's timer counts at with divider 1, Hz.
    pub apic_timer_hz: u64,
    /// What the guest's performance counters are to count.
    pub pmu: PmuPlan,
}

/// Bits of [`BootInfo::flags`].
pub mod flag {
    /// The kernel prints what it does on the serial console.
    pub const VERBOSE: u64 = 1 << 0;
}

/// One ELF file that the VMM has placed in guest memory, page aligned and padded with zeros to a full page.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// Where the file lies.
    pub file: PhysicalRange,
    /// File name without directory, UTF-8, padded with zeros.
    pub name: [u8; MODULE_NAME_SIZE],
}

/// Most bytes of a module's name.
pub const MODULE_NAME_SIZE: usize = 32;

const _: () = assert!(size_of::<PhysicalRange>() == 16);
const _: () = assert!(size_of::<BootInfo>() == 136 + size_of::<PmuPlan>());
const _: () = assert!(size_of::<Module>() == 48);
