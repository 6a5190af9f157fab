//! The program of the guest's performance monitoring unit (PMU), and what its counters showed.
//!
//! The VMM chooses events by CPU model and hands their raw selectors over in [`PmuPlan`]; the kernel finds by CPUID where
//! the registers are, programs them around the measured part, and hands raw readings back in [`PmuReport`]. It judges
//! nothing: what a counter should have shown is the VMM's business. Only the CPU that executes the two marks is counted.
//!
//! Counters are stopped before they are read, so that reading (RDMSR, which always exits) is never counted itself. They
//! run inside of the time between [`crate::report::Report::begin_tsc`] and `end_tsc`, which therefore contains the exits
//! that starting and stopping them take.

/// Most counters of one plan.
pub const COUNTERS_MAX: usize = 8;

/// Values of [`PmuPlan::kind`].
pub mod kind {
    /// Nothing is to be counted: the kernel touches no register of a PMU.
    pub const NONE: u32 = 0;
    /// Architectural performance monitoring; [`super::PmuPlan::version`] is that of CPUID leaf 0AH (Intel SDM vol. 3,
    /// chapter 21, "Architectural Performance Monitoring").
    pub const INTEL: u32 = 1;
    /// AMD's counters (AMD APM vol. 2, 13.2); [`super::PmuPlan::version`] is one of [`super::amd_version`].
    pub const AMD: u32 = 2;
}

/// AMD's three kinds of counters.
pub mod amd_version {
    /// Four counters at 0xc001_0000, which no CPUID bit announces.
    pub const LEGACY: u32 = 0;
    /// Six at 0xc001_0200: CPUID 0x8000_0001, ECX bit 23.
    pub const CORE: u32 = 1;
    /// The same with a global switch at 0xc000_0301: CPUID 0x8000_0022, EAX bit 0.
    pub const PERFMON_V2: u32 = 2;
}

/// Values of [`PmuCounter::bank`].
pub mod bank {
    /// A counter with an event selector of its own.
    pub const GENERAL: u32 = 0;
    /// A counter whose event is fixed (Intel, version 2 and newer).
    pub const FIXED: u32 = 1;
}

/// Bits of a selector that the kernel needs to know; the rest is the VMM's choice. The same on Intel and AMD.
pub mod selector {
    /// Counts at privilege levels above 0.
    pub const USER: u64 = 1 << 16;
    /// Counts at privilege level 0.
    pub const KERNEL: u64 = 1 << 17;
    /// The counter runs.
    pub const ENABLE: u64 = 1 << 22;
}

/// Bits of a fixed counter's field in IA32_FIXED_CTR_CTRL (0x38d): four for each counter.
pub mod fixed_control {
    /// Counts at privilege level 0.
    pub const KERNEL: u64 = 1 << 0;
    /// Counts at privilege levels above 0.
    pub const USER: u64 = 1 << 1;
}

/// One counter.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PmuCounter {
    /// In the [`bank::GENERAL`]: value for its event selector, [`selector::ENABLE`] included. In the [`bank::FIXED`]: its
    /// [`fixed_control`] bits.
    pub selector: u64,
    /// One of [`bank`].
    pub bank: u32,
    /// Index in the bank.
    pub index: u32,
    /// What it counts: a number of the VMM's, which the kernel does not look at.
    pub event: u32,
    /// Always 0.
    pub reserved: u32,
}

/// What to count.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PmuPlan {
    /// One of [`kind`].
    pub kind: u32,
    /// Version that the selectors are meant for, see [`kind`].
    pub version: u32,
    /// Number of counters in use.
    pub counter_count: u32,
    /// Always 0.
    pub reserved: u32,
    /// Selector that counts retired instructions at every privilege level, for the self-test.
    pub instructions_selector: u64,
    /// The counters.
    pub counters: [PmuCounter; COUNTERS_MAX],
}

impl PmuPlan {
    /// The counters in use; never more than there is room for.
    pub fn counters(&self) -> &[PmuCounter] {
        let (counters, _) = self.counters.split_at((self.counter_count as usize).min(COUNTERS_MAX));
        counters
    }
}

/// Values of [`PmuReport::status`].
pub mod status {
    /// Nothing was to be counted.
    pub const NONE: u32 = 0;
    /// The CPU's counters are not those that the plan was made for; the kernel has touched none.
    pub const MISMATCH: u32 = 1;
    /// The counters were programmed; [`super::PmuReport::counts`] and the rest hold once the second mark is passed.
    pub const PROGRAMMED: u32 = 2;
}

/// Readings around one piece of execution.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PmuCounts {
    /// Each counter before it was started: it was set to 0.
    pub begin: [u64; COUNTERS_MAX],
    /// Each counter after it was stopped.
    pub end: [u64; COUNTERS_MAX],
    /// Overflow bits of the global status register at the end; 0 where there is none.
    pub global_status: u64,
}

/// What one counter did in the self-test.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PmuCounterTest {
    /// Value of its selector (or of its control field) read back after it was written without [`selector::ENABLE`].
    pub selector: u64,
    /// Counted while the kernel executed [`SELF_TEST_INSTRUCTIONS`] instructions.
    pub counted: u64,
    /// Counted while it was stopped and the kernel executed the same again: should be 0.
    pub stopped: u64,
    /// Read back after [`SELF_TEST_VALUE`] was written.
    pub written: u64,
    /// Reading after it was started [`SELF_TEST_BEFORE_WRAP`] short of its width and counted the same again.
    pub wrapped: u64,
}

/// One self-test of all counters.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PmuSelfTest {
    /// 1 when it was made.
    pub is_done: u32,
    /// Always 0.
    pub reserved: u32,
    /// The counters, in the order of the plan.
    pub counters: [PmuCounterTest; COUNTERS_MAX],
}

/// What the counters showed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PmuReport {
    /// One of [`status`].
    pub status: u32,
    /// Number of counters in use.
    pub counter_count: u32,
    /// Width of the general counters, bits.
    pub width: u32,
    /// Width of the fixed counters, bits; 0 where there are none.
    pub fixed_width: u32,
    /// Between the two marks.
    pub counts: PmuCounts,
    /// Between starting and stopping the counters with nothing in between: what every reading contains of the kernel's
    /// own doing.
    pub empty: PmuCounts,
    /// Before the first mark, and after the second.
    pub self_tests: [PmuSelfTest; 2],
}

/// Turns of the self-test's loop.
pub const SELF_TEST_TURNS: u32 = 256;

/// Instructions from the one that starts a counter (not counted) to the one that stops it (counted): loading the loop's
/// counter, two instructions a turn, two to prepare the stop, and the stop.
pub const SELF_TEST_INSTRUCTIONS: u64 = 1 + 2 * SELF_TEST_TURNS as u64 + 2 + 1;

/// Written to every counter and read back.
pub const SELF_TEST_VALUE: u64 = 0xdead;

/// How far from its end a counter is started, so that it wraps in the loop.
pub const SELF_TEST_BEFORE_WRAP: u64 = 64;

const _: () = assert!(size_of::<PmuCounter>() == 24);
const _: () = assert!(size_of::<PmuPlan>() == 24 + 24 * COUNTERS_MAX);
const _: () = assert!(size_of::<PmuCounts>() == 16 * COUNTERS_MAX + 8);
const _: () = assert!(size_of::<PmuCounterTest>() == 40);
const _: () = assert!(size_of::<PmuSelfTest>() == 8 + 40 * COUNTERS_MAX);
const _: () =
    assert!(size_of::<PmuReport>() == 16 + 2 * (16 * COUNTERS_MAX + 8) + 2 * (8 + 40 * COUNTERS_MAX));
