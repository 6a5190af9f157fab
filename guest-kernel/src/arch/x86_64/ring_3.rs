//! What threads of 32-bit programs have besides the registers of their context.

use core::cell::Cell;

use abi::address::{PAGE_SIZE, SMALL_BASE};
use abi::boot::{USER_CODE_32_SELECTOR, USER_DATA_SELECTOR};
use abi::region::{MESSAGE_BLOCK_SIZE, MessageBlock, stack_end};

use super::paging;
use super::segments::segment;
use crate::arch::context::{Context, RFLAGS_INTERRUPTS_OFF, RFLAGS_INTERRUPTS_ON};
use crate::memory::physical_pointer;

/// What a 32-bit thread has besides its context: its registers in ring 3, and its stack in ring 0. It needs few words there:
/// interrupts have stacks of their own.
#[repr(C, align(64))]
pub struct Ring3State {
    stack: [Cell<u64>; 4],
    pub(super) rip: Cell<u64>,
    cs: Cell<u64>,
    pub(super) rflags: Cell<u64>,
    pub(super) rsp: Cell<u64>,
    ss: Cell<u64>,
    /// What the contract of system calls keeps besides RBX and RBP.
    pub(super) rdi: Cell<u64>,
    pub(super) rsi: Cell<u64>,
    /// Address of the thread's [`MessageBlock`] in the map of physical memory.
    pub(super) message_block: Cell<u64>,
    /// Descriptors of its segments.
    pub(super) code: Cell<u64>,
    pub(super) data: Cell<u64>,
    /// Address of the code in ring 0 that takes it to ring 3 with all registers.
    way_back: u64,
}

/// The segments of a 32-bit program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// Where they begin, in the addresses of its space.
    pub base: u64,
    /// Their bytes.
    pub size: u64,
}

impl Segments {
    /// Those of a program that has a space of its own.
    pub const OF_OWN_SPACE: Segments = Segments { base: 0, size: SMALL_BASE };
}

impl Ring3State {
    /// The side of a thread that goes to ring 3 by the code at `way_back`. [`Ring3State::begin`] makes it fit to.
    pub fn new(way_back: u64) -> Ring3State {
        let zero = || Cell::new(0);
        Ring3State {
            stack: Default::default(),
            rip: zero(),
            cs: zero(),
            rflags: zero(),
            rsp: zero(),
            ss: zero(),
            rdi: zero(),
            rsi: zero(),
            message_block: zero(),
            code: zero(),
            data: zero(),
            way_back,
        }
    }

    /// Has thread `index` of a program at `base` of the space `root` start at its `entry` when it is resumed with everything.
    pub fn begin(&self, context: &Context, root: u64, base: u64, entry: u64, index: u32) {
        let stack = stack_end(0, index) - MESSAGE_BLOCK_SIZE;
        let block = base + stack;
        // The loader has mapped the stack.
        let Some(frame) = paging::writable_frame(root, block) else { unreachable!() };
        let block = physical_pointer(frame + block % PAGE_SIZE).cast::<MessageBlock>();
        self.message_block.set(block.expose_provenance() as u64);
        self.rip.set(entry);
        self.cs.set(USER_CODE_32_SELECTOR.into());
        self.ss.set(USER_DATA_SELECTOR.into());
        self.rflags.set(RFLAGS_INTERRUPTS_ON);
        // As after a CALL.
        self.rsp.set(stack - 4);
        context.rdi.set(0);
        context.rsi.set(0);
        context.rcx.set(index.into());
        self.leave_ring_0(context);
    }

    /// Puts the place in ring 3 of a thread that was interrupted there where its way back finds it, and has it go back when it
    /// is resumed with everything.
    pub fn save(&self, rip: u64, rflags: u64, rsp: u64, context: &Context) {
        self.rip.set(rip);
        self.rflags.set(rflags);
        self.rsp.set(rsp);
        self.leave_ring_0(context);
    }

    /// Has the thread go to ring 3 with all registers when it is resumed.
    fn leave_ring_0(&self, context: &Context) {
        context.rip.set(self.way_back);
        context.rsp.set(self.stack_end());
        context.rflags.set(RFLAGS_INTERRUPTS_OFF);
    }

    /// Address of the thread's RIP in ring 3: where its stack in ring 0 is empty.
    fn stack_end(&self) -> u64 {
        self.rip.as_ptr().expose_provenance() as u64
    }

    /// Where the thread is in ring 3: instruction pointer, stack pointer.
    pub fn place(&self) -> [u64; 2] {
        [self.rip.get(), self.rsp.get()]
    }

    /// Gives the thread segments.
    pub fn set_segments(&self, segments: Segments) {
        self.code.set(segment(segments.base, segments.size, true));
        self.data.set(segment(segments.base, segments.size, false));
    }
}
