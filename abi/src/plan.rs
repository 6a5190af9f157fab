//! The plan of a case: which servers the kernel starts, where, and whom each may reach.
//!
//! In memory: one [`Plan`], then [`Plan::server_count`] times [`PlanServer`], then [`Plan::right_count`] times
//! [`PlanRight`], without gaps. The kernel starts the servers in order; a server's index in the plan is its number in
//! every report.

/// Head of the plan.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Number of servers.
    pub server_count: u32,
    /// Number of rights.
    pub right_count: u32,
    /// [`flag`] bits.
    pub flags: u64,
}

/// Bits of [`Plan::flags`].
pub mod flag {
    /// Tag every user space's TLB entries with a process-context identifier (PCID). The kernel refuses the plan when
    /// the CPU has none.
    pub const PCID: u64 = 1 << 0;
    /// Flush the whole TLB whenever pages are to be forgotten, instead of finding a threshold at boot.
    pub const FLUSH_FULL: u64 = 1 << 1;
    /// Flush page by page whenever pages are to be forgotten. At most one of the two.
    pub const FLUSH_BY_PAGE: u64 = 1 << 2;
    /// Lift the refusal to have 64-bit user servers beside small spaces, which nothing protects from them: only for showing
    /// that this is so.
    pub const MIX_64_BIT: u64 = 1 << 3;
    /// Find out at boot whether segments have bases and limits in compatibility mode, for the report's feature bits, even
    /// though no server of the plan needs them.
    pub const PROBE_SEGMENTS: u64 = 1 << 4;
    /// 32-bit programs enter the kernel by SYSENTER instead of INT. The kernel refuses the plan where compatibility mode has no
    /// SYSENTER ([`crate::report::feature::SYSENTER_32`]).
    pub const GATE_SYSENTER: u64 = 1 << 5;
    /// 32-bit programs enter the kernel by SYSCALL instead of INT. The kernel refuses the plan where compatibility mode has no
    /// SYSCALL ([`crate::report::feature::SYSCALL_32`]). At most one of the two.
    pub const GATE_SYSCALL: u64 = 1 << 6;
    /// A time slice lasts until its thread blocks: messages alone decide who runs, and no timer interrupt falls into what is
    /// measured. Only for plans in which nobody waits by spinning.
    pub const NO_TIME_SLICES: u64 = 1 << 7;

    /// Give no more than so many slots of the kernel away, at least 1, as if the address map had room for no more. In bits
    /// 32 to 47; 0 there is all of them, [`crate::address::SLOT_COUNT`].
    pub const fn kernel_slots(count: u16) -> u64 {
        (count as u64) << 32
    }

    /// The number of slots that [`kernel_slots`] has put there.
    pub const fn kernel_slots_of(flags: u64) -> usize {
        let count = (flags >> 32) as u16 as usize;
        if count == 0 || count > crate::address::SLOT_COUNT { crate::address::SLOT_COUNT } else { count }
    }

    /// Length of a time slice, microseconds. In bits 48 to 63; 0 there is the usual one, [`TIME_SLICE_MICROSECONDS`].
    pub const fn time_slice_microseconds(microseconds: u16) -> u64 {
        (microseconds as u64) << 48
    }

    /// The length that [`time_slice_microseconds`] has put there.
    pub const fn time_slice_microseconds_of(flags: u64) -> u64 {
        if flags >> 48 == 0 { TIME_SLICE_MICROSECONDS } else { flags >> 48 }
    }

    /// Usual length of the time slice of threads that share a priority, microseconds.
    pub const TIME_SLICE_MICROSECONDS: u64 = 10_000;
}

/// One server.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanServer {
    /// Index of its ELF in [`crate::boot::BootInfo::modules`]: a 32-bit file for the placements `small` and `large`, a 64-bit
    /// one for the others.
    pub module: u32,
    /// [`placement`] of its region.
    pub placement: u32,
    /// Servers placed in `user` that carry the same number live in the same space. Meaningless for the other placements.
    pub space: u32,
    /// [`trust`] group, 1 to 4. Only group 1 may be placed in the kernel.
    pub trust_group: u32,
    /// Priority of its threads, 0 (lowest) to [`PRIORITY_MAX`].
    pub priority: u32,
    /// Number of threads, at least 1. All start at the program's entry. Thread i runs on CPU
    /// `first_cpu + i % cpu_count`, and receives at the endpoint that the server has there.
    pub thread_count: u32,
    /// First CPU that its threads run on.
    pub first_cpu: u32,
    /// Number of CPUs, from that one on, that its threads are spread over, at least 1.
    pub cpu_count: u32,
    /// Index of its first right in the array of rights.
    pub first_right: u32,
    /// Number of its rights; a program names them by handles 0, 1, 2, …
    pub right_count: u32,
    /// Pages of working set that the kernel maps for it, see [`crate::region::WORKING_SET_OFFSET`].
    pub working_set_pages: u32,
    /// [`server_flag`] bits.
    pub flags: u32,
    /// Messages without a fault after which it has proved stable and moves into the kernel, with its group, as it would by
    /// MIGRATE; 0 for never. Only for servers in trust group 1 that may migrate.
    pub promote_after: u32,
    /// Faults in the kernel after which it is not trusted any more. Until then it starts again in the kernel after each
    /// of them; with this one it is put into trust group 2 and starts again in user space, for the last time. 0: its first
    /// fault is its end.
    pub demote_after: u32,
    /// Pages of each thread's stack, at most [`crate::region::STACK_PAGES_MAX`], which 0 stands for, too.
    pub stack_pages: u32,
    /// Size of the slot that it gets in the region of small spaces, MiB: 2, 4, 8, 16, 32 or 64; 0 for the smallest one that
    /// it fits in. Only for `small`, and for `large` servers that may migrate there.
    pub small_slot_mib: u32,
    /// Arguments, as the program defines them; see [`crate::program`].
    pub arguments: [u64; ARGUMENT_COUNT],
}

/// Trusted partners that a server remembers: those that migrate with it.
pub const PARTNERS_MAX: usize = 16;

/// Number of arguments of a server.
pub const ARGUMENT_COUNT: usize = 12;

/// Highest priority.
pub const PRIORITY_MAX: u32 = 63;

/// Bits of [`PlanServer::flags`].
pub mod server_flag {
    /// This server drives the case: it gets the sample region and may mark the measured part and end the case. Its
    /// death ends the case. At most one server carries this flag.
    pub const DRIVER: u32 = 1 << 0;
    /// This server may be moved between user space and the kernel while it runs. It gets a slot of the kernel's half as
    /// its home, whose addresses it keeps in every placement, and, in user space, a space of its own. A 32-bit server is moved
    /// between `small` and `large` instead; it keeps its addresses, because they are relative to its segments.
    pub const MIGRATABLE: u32 = 1 << 1;
    /// Every thread of this server has an endpoint of its own, as L4's threads have: [`super::PlanRight::thread`] names it.
    /// Without this flag all threads on one CPU share one.
    pub const THREAD_ENDPOINTS: u32 = 1 << 2;
    /// The server's rights are dealt out to its CPUs, in `cpu_count` parts of equal size: its threads on CPU
    /// `first_cpu + n` get the n-th part, and name its rights by handles from 0 on.
    pub const RIGHTS_PER_CPU: u32 = 1 << 3;
}

/// Where a server runs: values of [`PlanServer::placement`], the numbers of [`crate::placement::Placement`].
pub mod placement {
    use crate::placement::Placement;

    /// Of [`Placement::User`].
    pub const USER: u32 = Placement::User.number();
    /// Of [`Placement::Kernel`].
    pub const KERNEL: u32 = Placement::Kernel.number();
    /// Of [`Placement::Small`].
    pub const SMALL: u32 = Placement::Small.number();
    /// Of [`Placement::Large`].
    pub const LARGE: u32 = Placement::Large.number();
}

/// The talk's four groups: values of [`PlanServer::trust_group`].
pub mod trust {
    /// Critical and trusted: the only group that may run in the kernel.
    pub const CRITICAL_TRUSTED: u32 = 1;
    /// Critical, not trusted.
    pub const CRITICAL_UNTRUSTED: u32 = 2;
    /// Trusted, not critical.
    pub const NONCRITICAL_TRUSTED: u32 = 3;
    /// Neither.
    pub const NONCRITICAL_UNTRUSTED: u32 = 4;
}

/// The right to call, send to and notify one server.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanRight {
    /// Index of the server that may be reached.
    pub target: u32,
    /// Thread of the target that it leads to, if the target has [`server_flag::THREAD_ENDPOINTS`]; else 0, and it leads to
    /// the threads on the caller's own CPU, or, if there are none, on one of the target's CPUs.
    pub thread: u32,
    /// What the target sees as the sender of messages that come through this right.
    pub badge: u64,
}

const _: () = assert!(size_of::<Plan>() == 16);
const _: () = assert!(size_of::<PlanServer>() == 160);
const _: () = assert!(size_of::<PlanRight>() == 16);
