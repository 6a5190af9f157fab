//! Whether segments have bases and limits in compatibility mode, and whether the interrupt gate leads out of it: found out by a
//! few instructions there, in ring 3.
//!
//! Processors honour both, but not everything that executes ring 3 in their place does. The code runs at boot, before any
//! thread, with interrupts off; its first exception ends it.

use core::arch::{asm, naked_asm};
use core::cell::Cell;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::address::{PAGE_SIZE, SMALL_BASE};
use abi::boot::{USER_CODE_32_SELECTOR, USER_DATA_SELECTOR};
use abi::call::VECTOR_32;
use abi::report::feature;

use super::descriptors::{self, CODE_32_OFFSET, DATA_OFFSET};
use super::traps::{TrapFrame, stub_address};
use crate::arch::x86_64::flush::flush_all;
use crate::arch::x86_64::paging::{self, Access, Frames, Mapper};
use crate::arch::x86_64::segments::segment;
use crate::cpu::Cpu;
use crate::cpu::counters::count;
use crate::memory::{Memory, OutOfMemory, Placement, physical_pointer};

/// `mov eax, [0x1ffc]; int`: the last word of the second page.
const WITHIN: &[u8] = &[0xa1, 0xfc, 0x1f, 0, 0, 0xcd, VECTOR_32];
/// `mov eax, [0x2ffc]; int`: the last word of the third page, which is beyond the limit.
const BEYOND: &[u8] = &[0xa1, 0xfc, 0x2f, 0, 0, 0xcd, VECTOR_32];
/// Bytes of the segments: a page of code and one of data. A third one is mapped behind them.
const SEGMENT_SIZE: u64 = 2 * PAGE_SIZE;
/// What the last words of the two pages of data hold.
const MARKS: [u32; 2] = [0x0ddb_a5e5, 0xfee1_bad0];

const GENERAL_PROTECTION: u64 = 13;

/// Stack pointer of the kernel while the code runs, else 0.
static WAITING: AtomicU64 = AtomicU64::new(0);

/// How the code ended.
#[derive(Default)]
struct End {
    vector: Cell<u64>,
    eax: Cell<u64>,
}

impl End {
    /// Whether the code has read this word, and come to its end.
    fn has_read(&self, mark: u32) -> bool {
        self.vector.get() == VECTOR_32.into() && self.eax.get() as u32 == mark
    }
}

/// Runs the code on segments from the beginning of the region of small spaces on, which must be empty. Returns those of
/// [`feature::SEGMENT_BASES`] and [`feature::SEGMENT_LIMITS`] that it has seen.
pub fn probe_segments(cpu: &Cpu, memory: &Memory) -> Result<u64, OutOfMemory> {
    let frames = [memory.frame()?, memory.frame()?, memory.frame()?];
    let mapper = Mapper::new(paging::kernel_root(), Placement::Small, memory);
    for (page, frame) in frames.into_iter().enumerate() {
        let access = if page == 0 { Access::EXECUTE } else { Access::WRITE };
        mapper.map(SMALL_BASE + page as u64 * PAGE_SIZE, Frames::Shared(frame), 1, access)?;
    }
    for (frame, mark) in frames[1..].iter().zip(MARKS) {
        // SAFETY: the frame is fresh, and mapped.
        unsafe { physical_pointer(frame + PAGE_SIZE - 4).cast::<u32>().write(mark) };
    }
    let [within, beyond] = [WITHIN, BEYOND].map(|code| {
        // SAFETY: as above.
        unsafe { ptr::copy_nonoverlapping(code.as_ptr(), physical_pointer(frames[0]), code.len()) };
        run(cpu)
    });
    let region = paging::detach_slot(paging::kernel_root(), SMALL_BASE, abi::address::SMALL_SLOT_SIZES[0]);
    flush_all();
    count(&cpu.counters().tlb_full_flushes_alone);
    paging::release_region(region, memory);
    frames.into_iter().for_each(|frame| memory.release(frame));
    Ok(match within.has_read(MARKS[0]) {
        true if beyond.vector.get() == GENERAL_PROTECTION => feature::SEGMENT_BASES | feature::SEGMENT_LIMITS,
        true if beyond.has_read(MARKS[1]) => feature::SEGMENT_BASES,
        _ => 0,
    })
}

/// Runs the code until it has an exception.
fn run(cpu: &Cpu) -> End {
    let end = End::default();
    let (code, data) = (segment(SMALL_BASE, SEGMENT_SIZE, true), segment(SMALL_BASE, SEGMENT_SIZE, false));
    let stack_end = cpu.kernel_stack_end().get();
    let gate = descriptors::exchange_gate(cpu, descriptors::gate(stub_address(VECTOR_32.into())));
    // SAFETY: the descriptors are this CPU's own, and nobody is in ring 3 yet. The kernel's data segments are not used in 64-bit
    // mode. `trapped` brings the kernel back to where it was.
    unsafe {
        asm!(
            "mov gs:[{code_descriptor}], {code}",
            "mov gs:[{data_descriptor}], {data}",
            "mov ds, {selector:e}",
            "mov es, {selector:e}",
            code_descriptor = const CODE_32_OFFSET,
            data_descriptor = const DATA_OFFSET,
            code = in(reg) code,
            data = in(reg) data,
            selector = in(reg) u64::from(USER_DATA_SELECTOR),
            options(nostack, preserves_flags)
        );
        enter(&end, cpu.kernel_stack_end());
    }
    descriptors::exchange_gate(cpu, gate);
    descriptors::clear_32_bit(cpu);
    cpu.kernel_stack_end().set(stack_end);
    end
}

/// Goes to the code in ring 3, and comes back by [`leave`]. Until then the kernel's stack ends here for whoever starts afresh on
/// it. RDI = where the end is noted, RSI = where the kernel's stack end is.
#[unsafe(naked)]
unsafe extern "sysv64" fn enter(end: &End, kernel_stack_end: &Cell<u64>) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rdi",
        "mov [rip + {waiting}], rsp",
        "mov [rsi], rsp",
        "push {data}",
        "push {stack}",
        "push 2", // RFLAGS
        "push {code}",
        "push 0", // RIP
        "xor eax, eax",
        "swapgs",
        "iretq",
        waiting = sym WAITING,
        data = const USER_DATA_SELECTOR,
        stack = const SEGMENT_SIZE - 64,
        code = const USER_CODE_32_SELECTOR,
    )
}

/// Back to the caller of [`enter`], whose stack pointer is in RDI.
#[unsafe(naked)]
unsafe extern "sysv64" fn leave(waiting: u64, vector: u64, eax: u64) -> ! {
    naked_asm!(
        "mov rsp, rdi",
        "pop rdi",
        "mov [rdi + {vector}], rsi",
        "mov [rdi + {eax}], rdx",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        vector = const offset_of!(End, vector),
        eax = const offset_of!(End, eax),
    )
}

/// An exception while no thread runs: if it is the end of the code, goes on behind it.
pub fn trapped(frame: &TrapFrame) {
    let waiting = WAITING.swap(0, Ordering::Relaxed);
    if waiting != 0 {
        // SAFETY: `enter` waits there.
        unsafe { leave(waiting, frame.vector, frame.general[0]) }
    }
}
