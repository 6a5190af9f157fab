//! The registers of threads that do not run.

use core::cell::Cell;

/// The registers of a thread that does not run. Assembly reads and writes them by offset. The first four are those of the
/// fast path.
#[repr(C)]
#[derive(Default)]
#[expect(missing_docs, reason = "the names are the registers' own")]
pub struct Context {
    pub rsp: Cell<u64>,
    pub rbx: Cell<u64>,
    pub rbp: Cell<u64>,
    pub rip: Cell<u64>,
    pub rax: Cell<u64>,
    pub rcx: Cell<u64>,
    pub rdx: Cell<u64>,
    pub rsi: Cell<u64>,
    pub rdi: Cell<u64>,
    pub r8: Cell<u64>,
    pub r9: Cell<u64>,
    pub r10: Cell<u64>,
    pub r11: Cell<u64>,
    /// Message words 0 to 3 live in R12 to R15.
    pub words: [Cell<u64>; 4],
    pub rflags: Cell<u64>,
}

impl Context {
    /// All of them are zero.
    pub fn clear(&self) {
        let Context { rsp, rbx, rbp, rip, rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11, words, rflags } = self;
        for register in [rsp, rbx, rbp, rip, rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11, rflags] {
            register.set(0);
        }
        words.iter().for_each(|word| word.set(0));
    }
}

/// RFLAGS of a thread: interrupts on, and bit 1, which is always set.
pub const RFLAGS_INTERRUPTS_ON: u64 = 0x202;

/// RFLAGS in ring 0 with interrupts off: only bit 1.
pub const RFLAGS_INTERRUPTS_OFF: u64 = 2;
