//! A machine that does nothing but remember, for tests of the portable logic.

use std::cell::RefCell;

use abi::flush::FlushReport;
use abi::pmu::{PmuPlan, PmuReport};

use super::clock::ClockKind;
use super::context::Context;
use super::x86_64::paging::Home;
use crate::memory::{Memory, OutOfMemory, PageRanges, Placement};

/// What the kernel told the machine to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// CR3 was loaded with this value.
    LoadPageTable(u64),
    /// The timer was armed.
    ArmTimer,
    /// The whole TLB was flushed.
    FlushAll,
    /// The CPU whose local APIC has this identifier was interrupted.
    InterruptCpu(u32),
    /// All entries of a space with this PCID were flushed.
    FlushPcid(u64),
    /// The region with this base was flushed, page by page.
    FlushPages(u64),
}

thread_local! {
    static ACTIONS: RefCell<Vec<Action>> = const { RefCell::new(Vec::new()) };
}

/// Takes the list of what happened on this test's thread since the last time.
pub fn take_actions() -> Vec<Action> {
    ACTIONS.take()
}

fn remember(action: Action) {
    ACTIONS.with_borrow_mut(|actions| actions.push(action));
}

/// Remembers the load.
pub fn load_page_table(value: u64) {
    remember(Action::LoadPageTable(value));
}

/// Remembers that the timer was armed.
pub fn arm_timer() {
    remember(Action::ArmTimer);
}

/// Nothing to stop.
pub fn stop_timer() {}

/// There is no timer.
pub fn timer_is_pending() -> bool {
    false
}

/// There are no interrupts here: a test that waits for one would hang.
pub fn wait_for_interrupt() {
    panic!("nobody is ready, and no other CPU is there");
}

/// Remembers that a CPU was interrupted.
pub fn interrupt_cpu(apic_id: u32) {
    remember(Action::InterruptCpu(apic_id));
}

/// Copies `count` words.
///
/// # Safety
/// Both ranges must be valid, and be the same or not overlap.
pub unsafe fn copy_words(from: *const u64, to: *mut u64, count: usize) {
    // SAFETY: the caller's promise.
    unsafe { core::ptr::copy(from, to, count) };
}

/// A case ends a test.
pub fn exit(code: u32) -> ! {
    panic!("the case ends with code {code}");
}

/// A region of three pages.
pub fn change_region_privilege(_home: Home, _base: u64, _pages: &PageRanges, _target: Placement) -> u64 {
    3
}

/// Nothing to change.
pub fn move_call_return(_base: u64, _context: &Context, _target: Placement) {}

/// Nothing to change.
pub fn move_interrupted(_home: Home, _base: u64, _context: &Context, _target: Placement) {}

/// A region of three pages.
pub fn move_slot(_home: Home, _slot: u64, _size: u64, _pages: &PageRanges, _target: Placement) -> u64 {
    3
}

/// Remembers the flush.
pub fn flush_all() {
    remember(Action::FlushAll);
}

/// Remembers the flush.
pub fn flush_pcid(pcid: u64) {
    remember(Action::FlushPcid(pcid));
}

/// Remembers the flush of three pages.
pub fn flush_pages(base: u64, _pages: &PageRanges) -> u64 {
    remember(Action::FlushPages(base));
    3
}

/// There is no instruction to switch on.
pub fn set_has_invpcid(_has: bool) {}

/// Tests need no time.
pub fn clock_kind() -> ClockKind {
    ClockKind::EmulatedRing0
}

/// There is no TLB.
pub fn measure_flush(_base: u64, _memory: &Memory, _report: &mut FlushReport) -> Result<(), OutOfMemory> {
    Ok(())
}

/// There is no console.
pub fn write_console(_bytes: &[u8]) {}

/// There is no VMM.
pub fn ring_doorbell(_value: u32) {}

/// There is no VMM.
pub fn read_doorbell() -> u32 {
    u32::MAX
}

/// There is no clock.
pub fn time_stamp_counter() -> u64 {
    0
}

/// There are no counters.
#[derive(Default)]
pub struct Pmu;

impl Pmu {
    /// Counts nothing, whatever the plan is.
    pub fn new(_plan: &PmuPlan) -> Pmu {
        Pmu
    }

    /// Nothing to prepare.
    pub fn prepare(&self) {}

    /// Nothing to start.
    pub fn start(&self) {}

    /// Nothing to stop.
    pub fn stop(&self) {}

    /// Nothing was counted.
    pub fn finish(&self) -> PmuReport {
        PmuReport::default()
    }
}
