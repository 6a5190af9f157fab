//! How the kernel starts without inkbed's VMM.
//!
//! Its ELF file has two notes. That of PVH (name `Xen`, type 18) gives the physical address of a 32-bit entry. The other one (name
//! [`NOTE_NAME`], type [`NOTE_OWN_START`]) gives the physical address of an [`OwnStart`], which whoever puts the kernel, its page
//! tables and the records of [`crate::boot`] into memory has to fill in.

/// Name of the note.
pub const NOTE_NAME: &[u8] = b"inkbed";

/// Type of the note.
pub const NOTE_OWN_START: u32 = 1;

/// Where the kernel's own start goes on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnStart {
    /// Physical address of the top-level page table, below 4 GiB.
    pub root_table: u64,
    /// Physical address of [`crate::boot::BootInfo`].
    pub boot_info: u64,
    /// Number of CPUs that start, the first included.
    pub cpu_count: u32,
    /// CPUs that have started, the first one not counted: 0 at first, then the kernel's.
    pub started: u32,
}

impl OwnStart {
    /// Not filled in.
    pub const EMPTY: OwnStart = OwnStart { root_table: 0, boot_info: 0, cpu_count: 0, started: 0 };
}

const _: () = assert!(size_of::<OwnStart>() == 24);
