//! What the kernel hands back. The VMM treats every field as a claim: it copies, bounds-checks and never trusts.
//!
//! **Samples** are `u64` values in [`crate::boot::BootInfo::samples`], [`Report::channel_count`] to a round trip, in
//! cycles of the time-stamp counter unless the program defines otherwise. Bit 63 ([`SAMPLE_DISTURBED`]) marks one
//! during which the host gave the CPU to somebody else.

use crate::flush::FlushReport;
use crate::pmu::PmuReport;

/// [`Report::magic`]: "inkbed" and two letters, in memory order.
pub const REPORT_MAGIC: u64 = u64::from_le_bytes(*b"inkbedrp");

/// Bit of a sample that says: between its two clock reads its CPU waited for a host CPU, longer than [`STEAL_FLOOR_NS`].
pub const SAMPLE_DISTURBED: u64 = 1 << 63;

/// Steal time above which a sample is disturbed, ns. A host CPU that sleeps counts as stolen, too, until it has woken up for
/// a vCPU that was halted: up to 310 µs (exit latencies in Linux's `drivers/idle/intel_idle.c`: C6 of Sapphire Rapids 290, C10
/// of Meteor Lake 310). Whoever takes a CPU away keeps it for a slice, 700 µs at least (`base_slice_ns` of
/// Linux's scheduler).
pub const STEAL_FLOOR_NS: u64 = 500_000;

/// `sample`, marked if so much steal time passed meanwhile that it is disturbed.
#[inline(always)]
pub const fn marked(sample: u64, stolen_ns: u64) -> u64 {
    if stolen_ns > STEAL_FLOOR_NS { sample | SAMPLE_DISTURBED } else { sample }
}

/// Number of faults that a report has room for; [`Report::fault_count`] goes on counting.
pub const FAULTS_KEPT: usize = 16;

/// Bytes kept of a panic's or refusal's message.
pub const MESSAGE_SIZE: usize = 512;

/// The kernel's report of one case.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// [`REPORT_MAGIC`], written first.
    pub magic: u64,
    /// [`crate::VERSION`] of the kernel.
    pub version: u32,
    /// [`state`]: how far the case got.
    pub state: u32,
    /// [`feature`] bits that the kernel uses on this CPU.
    pub features: u64,
    /// Round trips between the two marks, as the driver counts them.
    pub round_trips: u64,
    /// Round trips that it announced at the first mark, of all of its threads. Written before the doorbell rings.
    pub round_trips_announced: u64,
    /// Samples that the driver has written.
    pub sample_count: u64,
    /// Samples per round trip, at least 1 once the case is measured.
    pub channel_count: u32,
    /// Exit status of the driver: 0, or what the program defines.
    pub driver_status: u32,
    /// Time-stamp counter at the first mark, cycles.
    pub begin_tsc: u64,
    /// Time-stamp counter at the second mark, cycles.
    pub end_tsc: u64,
    /// Calls of others that were answered while the driver had servers moved, between the marks.
    pub calls_answered_meanwhile: u64,
    /// Calls of others that failed, between the marks.
    pub calls_failed: u64,
    /// Frames (4 KiB) of memory that were in use at the first mark.
    pub frames_in_use: u64,
    /// Number of faults so far; a server that was started again may have had several.
    pub fault_count: u32,
    /// CPU that wrote [`Report::last_words`].
    pub last_words_cpu: u32,
    /// The first faults.
    pub faults: [Fault; FAULTS_KEPT],
    /// Registers at a panic.
    pub last_words: Registers,
    /// Bytes of `message` in use.
    pub message_size: u32,
    /// Always 0.
    pub reserved: u32,
    /// Message of a panic or refusal, UTF-8.
    pub message: [u8; MESSAGE_SIZE],
    /// What the performance counters showed.
    pub pmu: PmuReport,
    /// The flush threshold.
    pub flush: FlushReport,
}

/// Values of [`Report::state`].
pub mod state {
    /// The kernel is starting.
    pub const BOOTING: u32 = 1;
    /// All servers are loaded.
    pub const STARTED: u32 = 2;
    /// Between the two marks.
    pub const MEASURING: u32 = 3;
    /// Behind the second mark.
    pub const MEASURED: u32 = 4;
    /// The driver has ended the case.
    pub const FINISHED: u32 = 5;
}

/// Bits of [`Report::features`]: CPU features that the kernel found and uses.
pub mod feature {
    /// Global pages for the kernel's half.
    pub const GLOBAL_PAGES: u64 = 1 << 0;
    /// Process-context identifiers are enabled for this case.
    pub const PCID: u64 = 1 << 1;
    /// INVPCID.
    pub const INVPCID: u64 = 1 << 2;
    /// Supervisor-mode execution prevention.
    pub const SMEP: u64 = 1 << 3;
    /// Supervisor-mode access prevention.
    pub const SMAP: u64 = 1 << 4;
    /// 1 GiB pages (used by the VMM's physical map).
    pub const GIBIBYTE_PAGES: u64 = 1 << 5;
    /// x2APIC.
    pub const X2APIC: u64 = 1 << 6;
    /// The local APIC's timer in TSC-deadline mode.
    pub const TSC_DEADLINE: u64 = 1 << 7;
    /// KVM's steal-time record.
    pub const STEAL_TIME: u64 = 1 << 8;
    /// RDTSCP.
    pub const RDTSCP: u64 = 1 << 9;
    /// User-mode instruction prevention.
    pub const UMIP: u64 = 1 << 10;
    /// Segments have bases in compatibility mode: found out in ring 3 if the plan has 32-bit servers or
    /// [`crate::plan::flag::PROBE_SEGMENTS`], as the next one.
    pub const SEGMENT_BASES: u64 = 1 << 11;
    /// Segments have limits in compatibility mode.
    pub const SEGMENT_LIMITS: u64 = 1 << 12;
    /// SYSENTER enters the kernel from compatibility mode.
    pub const SYSENTER_32: u64 = 1 << 13;
    /// SYSCALL enters the kernel from compatibility mode.
    pub const SYSCALL_32: u64 = 1 << 14;

    /// Name of each bit, as reports print it.
    pub const NAMES: [(u64, &str); 15] = [
        (GLOBAL_PAGES, "global-pages"),
        (PCID, "pcid"),
        (INVPCID, "invpcid"),
        (SMEP, "smep"),
        (SMAP, "smap"),
        (GIBIBYTE_PAGES, "1gib-pages"),
        (X2APIC, "x2apic"),
        (TSC_DEADLINE, "tsc-deadline"),
        (STEAL_TIME, "steal-time"),
        (RDTSCP, "rdtscp"),
        (UMIP, "umip"),
        (SEGMENT_BASES, "segment-bases"),
        (SEGMENT_LIMITS, "segment-limits"),
        (SYSENTER_32, "sysenter-32"),
        (SYSCALL_32, "syscall-32"),
    ];
}

/// A server's death.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// Index of the server in the plan.
    pub server: u32,
    /// Vector of the exception (Intel SDM vol. 3, table 6-1), or [`FAULT_EXIT`].
    pub vector: u32,
    /// Error code of the exception, or 0; for [`FAULT_EXIT`] the status that the program gave.
    pub error_code: u64,
    /// Instruction pointer; of a 32-bit server relative to its segments, as all other addresses but that of a page fault.
    pub rip: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Base pointer: head of the chain of stack frames.
    pub rbp: u64,
    /// Faulting address (CR2) of a page fault, else 0.
    pub address: u64,
    /// What to take from `rip` to get an offset in its ELF: base address of the server's region, 0 for a 32-bit server.
    pub region_base: u64,
}

/// [`Fault::vector`] of a server that ended itself with the system call `EXIT`.
pub const FAULT_EXIT: u32 = 256;

/// Registers at a kernel panic.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15: in the order of their encoding.
    pub general: [u64; 16],
    /// Instruction pointer.
    pub rip: u64,
    /// Flags.
    pub rflags: u64,
    /// Code segment selector.
    pub cs: u64,
    /// Stack segment selector.
    pub ss: u64,
    /// Faulting address of the last page fault.
    pub cr2: u64,
    /// Page table root.
    pub cr3: u64,
    /// Vector of the exception, or [`NO_VECTOR`] for a panic in the code itself.
    pub vector: u64,
    /// Error code of the exception, or 0.
    pub error_code: u64,
}

/// [`Registers::vector`] when no exception led to the panic.
pub const NO_VECTOR: u64 = u64::MAX;

/// One CPU's part of the report.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuReport {
    /// 1 once the CPU runs kernel code with its own tables.
    pub online: u32,
    /// Its local APIC identifier.
    pub apic_id: u32,
    /// Counters at the first mark.
    pub begin: Counters,
    /// Counters at the second mark, or when this CPU's part had ended before.
    pub end: Counters,
    /// Time-stamp counter when the driver's thread on this CPU began its measured part, where several measure together; else 0.
    pub part_began_tsc: u64,
    /// The same when it ended its part.
    pub part_ended_tsc: u64,
}

/// Declares [`Counters`]: each counter stands once, with what it means.
macro_rules! counters {
    ($($(#[doc = $text:literal])+ $name:ident,)+) => {
        /// Exact software counters of one CPU, kept in every build.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $text])+ pub $name: u64,)+
        }

        /// Number of counters in [`Counters`].
        pub const COUNTER_COUNT: usize = size_of::<Counters>() / size_of::<u64>();

        /// Names of the counters, in the order of [`Counters`]: the keys of `results.json`.
        pub const COUNTER_NAMES: [&str; COUNTER_COUNT] = [$(stringify!($name)),+];

        impl Counters {
            /// The counters in the order of [`COUNTER_NAMES`].
            pub const fn values(&self) -> [u64; COUNTER_COUNT] {
                [$(self.$name),+]
            }

            /// The sum of both. A guest may claim anything: a sum that is too large stays at the largest number.
            #[must_use]
            pub const fn plus(&self, other: &Counters) -> Counters {
                Counters { $($name: self.$name.saturating_add(other.$name)),+ }
            }

            /// What was counted since `begin`.
            ///
            /// A CPU that makes no mark itself is read while it runs, perhaps in the middle of a switch. A counter that is the
            /// difference of two others may be one too large at the first mark then; it does not count downwards because of
            /// that. A guest that claims such a thing gets 0 as well.
            #[must_use]
            pub const fn since(&self, begin: &Counters) -> Counters {
                Counters { $($name: self.$name.saturating_sub(begin.$name)),+ }
            }
        }
    };
}

counters! {
    /// Loads of CR3 that changed the resident space.
    page_table_loads,
    /// Thread switches that needed no load: the target is in the kernel or in the resident space.
    page_table_loads_elided,
    /// Loads of CR3 with bit 63 set: the TLB entries of the new PCID were kept.
    page_table_loads_preserving_tlb,
    /// Loads of the user segments of another 32-bit server: two descriptors written, the data segment registers loaded.
    segment_loads,
    /// Full flushes: by CR3 loads without bit 63 (all entries of the PCID that are not global), and explicit ones (all
    /// entries).
    tlb_full_flushes,
    /// INVLPG instructions.
    invlpg,
    /// Frames that starting servers took, page tables included.
    frames_taken,
    /// Frames that stopping servers gave back.
    frames_given_back,
    /// Pages whose page-table entries migrations have changed.
    pages_remapped,
    /// Switches from one thread to another.
    context_switches,
    /// IPC operations that took the fast path.
    ipc_fast,
    /// IPC operations that took the slow path.
    ipc_slow,
    /// Of these, calls, sends and notifications to a server on another CPU.
    ipc_remote,
    /// Calls that the caller's own thread ran in the server's direct entry.
    ipc_direct,
    /// System calls of any kind, IPC included.
    system_calls,
    /// Inter-processor interrupts sent.
    ipis,
    /// Times that this CPU stood still for another one.
    standstills,
    /// Times that this CPU flushed TLB entries for another one.
    shootdowns,
    /// Timer interrupts taken.
    timer_interrupts,
    /// Exceptions taken from servers, and servers that ended themselves.
    faults,
    /// Servers that the kernel started again after a fault.
    restarts,
    /// Servers that the kernel moved into itself because they had proved stable.
    promotions,
    /// Servers that lost their trust.
    demotions,
    /// Threads that ended with their server.
    threads_ended,
    /// Times that the end of a time slice took a thread's turn away. A timer interrupt when nobody else is ready takes none.
    preemptions,
    /// Of the switches, those of preemption: from the thread whose time slice has ended to the next one, and from whoever runs
    /// on that turn and blocks to whoever runs instead, until the turn has come back. Messages that are handed over
    /// meanwhile are not among them.
    context_switches_by_preemption,
    /// Of the page-table loads, those in switches of preemption.
    page_table_loads_by_preemption,
    /// Of the loads that kept the TLB entries of the new PCID, those in switches of preemption.
    page_table_loads_preserving_tlb_by_preemption,
    /// Of the switches, those because servers started, stopped, ended or moved.
    context_switches_by_lifecycle,
    /// Of the page-table loads, those because servers started, stopped, ended or moved.
    page_table_loads_by_lifecycle,
    /// Of the loads that kept the TLB entries of the new PCID, those because servers started, stopped, ended or moved.
    page_table_loads_preserving_tlb_by_lifecycle,
}

impl CpuReport {
    /// What the CPU counted between the marks.
    #[must_use]
    pub const fn counted(&self) -> Counters {
        self.end.since(&self.begin)
    }
}

const _: () = assert!(size_of::<Fault>() == 56);
const _: () = assert!(size_of::<Registers>() == 192);
const _: () = assert!(size_of::<Counters>() == 248);
const _: () = assert!(size_of::<CpuReport>() == 520);
const _: () = assert!(
    size_of::<Report>() == 104 + 56 * FAULTS_KEPT + 192 + 8 + MESSAGE_SIZE + size_of::<PmuReport>() + 88
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waking_up_is_no_theft_and_a_slice_of_another_task_is() {
        for (stolen_us, is_disturbed) in [(0, false), (2, false), (310, false), (700, true), (3_000, true)] {
            let sample = marked(1_234, stolen_us * 1_000);
            assert_eq!(sample & SAMPLE_DISTURBED != 0, is_disturbed, "{stolen_us} µs");
            assert_eq!(sample & !SAMPLE_DISTURBED, 1_234);
        }
        assert_eq!(marked(1, STEAL_FLOOR_NS), 1);
    }

    /// A CPU in the middle of a switch: the switch is counted, its page-table load is not.
    #[test]
    fn no_counter_counts_downwards() {
        let begin = Counters { page_table_loads_elided: 8, context_switches: 3, ..Default::default() };
        let end = Counters { page_table_loads_elided: 7, context_switches: 5, ..begin };
        let counted = CpuReport { begin, end, ..Default::default() }.counted();
        assert_eq!(counted, Counters { context_switches: 2, ..Default::default() });
        let most = Counters { ipis: u64::MAX, ..Default::default() };
        assert_eq!(most.plus(&most), most);
    }

    #[test]
    fn names_and_values_have_one_order() {
        let counters = Counters { page_table_loads_by_lifecycle: 1, segment_loads: 2, ..Default::default() };
        let value =
            |name| counters.values()[COUNTER_NAMES.iter().position(|other| *other == name).expect("a name")];
        assert_eq!(
            (value("page_table_loads_by_lifecycle"), value("segment_loads"), value("ipis")),
            (1, 2, 0)
        );
    }
}
