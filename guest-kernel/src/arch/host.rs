//! A machine that does nothing but remember, for tests of the portable logic.

use std::cell::RefCell;

use abi::pmu::{PmuPlan, PmuReport};

use crate::cpu::Cpu;
use crate::object::message::Buffer;
use crate::object::server::{Placement, Server};
use crate::object::space::Space;
use crate::object::thread::Thread;
use crate::smp::flush::ClockKind;

/// What the kernel told the machine to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// CR3 was loaded with this value.
    LoadPageTable(u64),
    /// The timer was armed.
    ArmTimer,
    /// The whole TLB was flushed.
    FlushAll,
    /// The CPU with this index was interrupted.
    InterruptCpu(u32),
    /// All entries of the space with this root were flushed.
    FlushSpace(u64),
    /// The region with this base was flushed, page by page.
    FlushRegion(u64),
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
pub fn stop_timer(_cpu: &Cpu) {}

/// There are no interrupts here: a test that gets here would hang.
pub fn idle(_cpu: &Cpu) {
    panic!("nobody is ready");
}

/// There are no interrupts here: a test that waits for another CPU would hang.
pub fn wait_for_interrupt() {
    panic!("no other CPU is there");
}

/// Remembers that a CPU was interrupted.
pub fn interrupt_cpu(target: &Cpu) {
    remember(Action::InterruptCpu(target.index.get()));
}

/// Copies `count` words.
///
/// # Safety
/// Both ranges must be valid, and be the same or not overlap.
pub unsafe fn copy_words(from: *const u64, to: *mut u64, count: usize) {
    // SAFETY: the caller's promise.
    unsafe { core::ptr::copy(from, to, count) };
}

/// Where physical memory is: tests use addresses of their own.
pub fn physical_pointer(address: u64) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(address as usize)
}

/// A case ends a test.
pub fn exit(code: u32) -> ! {
    panic!("the case ends with code {code}");
}

/// A region of three pages.
pub fn change_region_privilege(_server: &Server, _target: Placement) -> u64 {
    3
}

/// Nothing to change.
pub fn move_call_return(_server: &Server, _thread: &Thread, _target: Placement) {}

/// Nothing to change.
pub fn move_interrupted(_server: &Server, _thread: &Thread, _target: Placement) {}

/// There are no segments.
#[derive(Default)]
pub struct Compatibility;

/// Nothing to begin.
pub fn begin_compatible(_thread: &Thread, _compatibility: &Compatibility) {}

/// Nothing to change.
pub fn change_segments(_server: &Server) {}

/// A region of three pages.
pub fn move_slot(_server: &Server, _slot: u64, _target: Placement) -> u64 {
    3
}

/// Remembers the flush.
pub fn flush_all(_cpu: &Cpu) {
    remember(Action::FlushAll);
}

/// Remembers the flush.
pub fn flush_space(_cpu: &Cpu, space: &Space) {
    remember(Action::FlushSpace(space.root));
}

/// Remembers the flush of three pages.
pub fn flush_region(_cpu: &Cpu, server: &Server) -> u64 {
    remember(Action::FlushRegion(server.base.get()));
    3
}

/// Tests need no time.
pub fn clock_kind() -> ClockKind {
    ClockKind::Time
}

/// There is no region.
pub fn message_buffer(_server: &Server, _address: u64) -> Option<Buffer> {
    None
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
