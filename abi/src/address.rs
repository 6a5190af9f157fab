//! The guest's virtual address map (x86-64, four levels of page tables).
//!
//! The lower half belongs to the resident space. The upper half is the same in every space and mapped global: the VMM
//! builds it before the first instruction runs, and every space shares its level-3 tables.
//!
//! | top-level entries | what |
//! |---|---|
//! | 0 | the resident space: regions of user servers, 4 GiB each; the first one is for a 32-bit server, or left empty |
//! | 1 to 255 | homes of servers that may migrate: one server each, at the same address in user space and in the kernel |
//! | 256 | physical memory, one to one |
//! | 257 to 496 | in-kernel slots, 4 GiB each, 128 to an entry: 30,720 of them |
//! | 510 | per-CPU areas: stacks with guard pages, the CPU's own record |
//! | 511 | the kernel image, in the top 2 GiB |

/// Bytes of a small page.
pub const PAGE_SIZE: u64 = 4096;

/// Entries of one page table of any level.
pub const TABLE_ENTRIES: usize = 512;

/// First top-level entry of the upper half.
pub const FIRST_SHARED_TOP_ENTRY: usize = 256;

/// Base of the one-to-one map of all guest physical memory (supervisor, writable, never executable, global).
pub const PHYSICAL_MAP_BASE: u64 = 0xffff_8000_0000_0000;

/// Most guest memory that the physical map covers: one top-level entry, 512 GiB.
pub const PHYSICAL_MAP_SIZE_MAX: u64 = 512 << 30;

/// Where guest physical memory has a hole, as every PC has: the local APIC and other devices live there.
pub const MEMORY_HOLE: core::ops::Range<u64> = 3 << 30..4 << 30;

/// Physical address of the local APIC's registers, where they lie in memory (Intel SDM vol. 3, 11.4.1).
pub const LOCAL_APIC: u64 = 0xfee0_0000;

/// Most memory of a guest: what the physical map covers, without the hole.
pub const MEMORY_SIZE_MAX: u64 = PHYSICAL_MAP_SIZE_MAX - (MEMORY_HOLE.end - MEMORY_HOLE.start);

/// Bytes of an in-kernel slot, and of the region of a server in user space.
pub const REGION_SIZE: u64 = 4 << 30;

/// Bytes from address 0 on that the region of a `large` server may take.
pub const LARGE_SIZE: u64 = 2 << 30;

/// Base of the region of small spaces, as in Liedtke's scheme: the limit of the segments of a `large` server. Its page tables
/// are the same in all user spaces.
pub const SMALL_BASE: u64 = 0xa000_0000;

/// Bytes of the region of small spaces.
pub const SMALL_SIZE: u64 = 512 << 20;

/// Sizes of its slots, bytes: powers of two in a row.
pub const SMALL_SLOT_SIZES: [u64; 6] = [2 << 20, 4 << 20, 8 << 20, 16 << 20, 32 << 20, 64 << 20];

/// First top-level entry of the homes. Home n is the first region below entry `HOME_TOP_ENTRY_FIRST + n`.
pub const HOME_TOP_ENTRY_FIRST: usize = 1;

/// Most homes: servers that may migrate in one system.
pub const HOME_COUNT: usize = FIRST_SHARED_TOP_ENTRY - HOME_TOP_ENTRY_FIRST;

/// First top-level entry of the in-kernel slots.
pub const SLOT_TOP_ENTRY_FIRST: usize = 257;

/// Number of top-level entries that hold in-kernel slots.
pub const SLOT_TOP_ENTRY_COUNT: usize = 240;

/// In-kernel slots under one top-level entry (512 GiB / 4 GiB).
pub const SLOTS_PER_TOP_ENTRY: usize = 128;

/// All in-kernel slots: enough for the 30,080 handlers of the talk, each as a server of its own.
pub const SLOT_COUNT: usize = SLOT_TOP_ENTRY_COUNT * SLOTS_PER_TOP_ENTRY;

/// Base of the first in-kernel slot.
pub const SLOT_BASE: u64 = top_entry_base(SLOT_TOP_ENTRY_FIRST);

/// Base of the per-CPU areas.
pub const CPU_AREA_BASE: u64 = top_entry_base(510);

/// Distance between the areas of two CPUs, bytes.
pub const CPU_AREA_STRIDE: u64 = 128 << 10;

/// Most CPUs that the per-CPU areas are laid out for (KVM's own limit is lower or equal on x86).
pub const CPU_COUNT_MAX: u32 = 4096;

/// Lowest virtual address of the kernel image: the top 2 GiB, which the `kernel` code model needs.
pub const KERNEL_IMAGE_BASE: u64 = 0xffff_ffff_8000_0000;

/// One mapped piece of a CPU's area; what lies between the pieces is unmapped, so that an overflowing stack faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuAreaPiece {
    /// Offset of the lowest byte in the area, bytes.
    pub offset: u64,
    /// Bytes mapped.
    pub size: u64,
}

impl CpuAreaPiece {
    /// Address of the lowest byte for the CPU with index `cpu`.
    pub const fn start(self, cpu: u32) -> u64 {
        CPU_AREA_BASE + cpu as u64 * CPU_AREA_STRIDE + self.offset
    }

    /// Address just above the highest byte for the CPU with index `cpu`: the initial stack pointer of a stack.
    pub const fn end(self, cpu: u32) -> u64 {
        self.start(cpu) + self.size
    }
}

/// The stack that kernel code runs on.
pub const KERNEL_STACK: CpuAreaPiece = CpuAreaPiece { offset: 0x1000, size: 0x8000 };

/// The stack that interrupts and exceptions arrive on (IST 1).
pub const TRAP_STACK: CpuAreaPiece = CpuAreaPiece { offset: 0xa000, size: 0x4000 };

/// The stack of NMI, double fault and machine check (IST 2).
pub const CRITICAL_STACK: CpuAreaPiece = CpuAreaPiece { offset: 0xf000, size: 0x4000 };

/// The CPU's own record: its descriptor tables, run queue, counters. All zero at start.
pub const CPU_RECORD: CpuAreaPiece = CpuAreaPiece { offset: 0x14000, size: 0x4000 };

/// All mapped pieces of a CPU's area.
pub const CPU_AREA_PIECES: [CpuAreaPiece; 4] = [KERNEL_STACK, TRAP_STACK, CRITICAL_STACK, CPU_RECORD];

/// Virtual address that the top-level entry `index` starts at, in canonical form.
pub const fn top_entry_base(index: usize) -> u64 {
    let address = (index as u64) << 39;
    if index >= FIRST_SHARED_TOP_ENTRY { address | 0xffff_0000_0000_0000 } else { address }
}

const _: () = assert!(SLOT_TOP_ENTRY_FIRST + SLOT_TOP_ENTRY_COUNT <= 510);
const _: () = assert!(CPU_RECORD.offset + CPU_RECORD.size <= CPU_AREA_STRIDE);
const _: () = assert!(top_entry_base(256) == PHYSICAL_MAP_BASE);
const _: () = assert!(CPU_AREA_BASE == 0xffff_ff00_0000_0000);
