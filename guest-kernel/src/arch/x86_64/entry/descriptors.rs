//! Segments, the task state segment with its interrupt stacks, and the interrupt descriptor table: one set per CPU, in
//! the CPU's own record.

use abi::address::{CPU_RECORD, CRITICAL_STACK, TRAP_STACK};
use core::mem::offset_of;

use abi::boot::{
    KERNEL_CODE_SELECTOR, KERNEL_DATA_SELECTOR, USER_CODE_32_SELECTOR, USER_CODE_SELECTOR, USER_DATA_SELECTOR,
};
use abi::call::VECTOR_32;
use x86_64::VirtAddr;
use x86_64::instructions::tables::{lgdt, lidt, load_tss};
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, DescriptorFlags, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

use super::traps;
use crate::cpu::Cpu;

/// Number of vectors with a gate: the exceptions, the timer, the spurious interrupt of the local APIC, other CPUs.
pub const VECTOR_COUNT: usize = 35;

/// Number of entries of the interrupt descriptor table: the last one is the gate of 32-bit programs, if there are any.
pub const GATE_COUNT: usize = VECTOR_32 as usize + 1;

/// Number of words of the global descriptor table: up to the descriptor of the task state segment, which has two.
const SEGMENT_WORDS: usize = 9;

/// Selector of the task state segment.
const TASK_STATE_SELECTOR: u16 = 0x38;

/// A gate as the interrupt descriptor table has it (Intel SDM vol. 3, figure 7-8). All zero is none: it is not present, and closed to
/// ring 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gate([u64; 2]);

impl Gate {
    /// An interrupt gate to a handler, by an entry of the interrupt stack table, for INT of this ring and those below.
    const fn new(handler: u64, stack: u16, ring: u64) -> Gate {
        const PRESENT: u64 = 1 << 47;
        const INTERRUPT: u64 = 0xe << 40;
        let place = handler & 0xffff | (handler & 0xffff_0000) << 32;
        let stack = stack as u64 + 1;
        Gate([
            place | (KERNEL_CODE_SELECTOR as u64) << 16 | stack << 32 | ring << 45 | INTERRUPT | PRESENT,
            handler >> 32,
        ])
    }

    /// The same gate to the stub behind this one. All of them lie within 64 KiB that an address' lowest bits tell apart.
    const fn to_stub_behind(self) -> Gate {
        let Gate([first, second]) = self;
        Gate([first + traps::STUB_SIZE as u64, second])
    }
}

const _: () =
    assert!(VECTOR_COUNT * traps::STUB_SIZE <= traps::STUBS_ALIGNMENT && traps::STUBS_ALIGNMENT <= 1 << 16);

/// What lies in [`CPU_RECORD`]. All zero at boot.
#[repr(C)]
pub struct CpuRecord {
    /// The portable part; first, because GS points here.
    pub cpu: Cpu,
    interrupt_table: [Gate; GATE_COUNT],
    task_state: TaskStateSegment,
    segments: [u64; SEGMENT_WORDS],
}

/// Index of a selector's descriptor.
const fn index_of(selector: u16) -> usize {
    (selector >> 3) as usize
}

/// Offset in the record of the descriptor of 32-bit programs' code, for assembly that reaches it through GS.
pub const CODE_32_OFFSET: usize = offset_of!(CpuRecord, segments) + 8 * index_of(USER_CODE_32_SELECTOR);
/// Offset in the record of the descriptor of 64-bit user code.
pub const CODE_64_OFFSET: usize = offset_of!(CpuRecord, segments) + 8 * index_of(USER_CODE_SELECTOR);
/// The descriptor of 64-bit user code.
pub const CODE_64: u64 = DescriptorFlags::USER_CODE64.bits();
/// Offset in the record of the descriptor of user data.
pub const DATA_OFFSET: usize = offset_of!(CpuRecord, segments) + 8 * index_of(USER_DATA_SELECTOR);

const _: () = assert!(VECTOR_32 as usize >= VECTOR_COUNT);

const _: () = assert!(size_of::<CpuRecord>() as u64 <= CPU_RECORD.size);

/// Interrupt stack table entry for interrupts and exceptions.
const TRAP_STACK_INDEX: u16 = 0;
/// Interrupt stack table entry for [`CRITICAL_VECTORS`].
const CRITICAL_STACK_INDEX: u16 = 1;
/// NMI, double fault and machine check, which may hit anywhere.
const CRITICAL_VECTORS: [usize; 3] = [2, 8, 18];

/// The record of the CPU with this index.
fn record_of(index: u32) -> *mut CpuRecord {
    core::ptr::with_exposed_provenance_mut(CPU_RECORD.start(index) as usize)
}

/// The CPU with this index.
pub fn cpu(index: u32) -> &'static Cpu {
    // SAFETY: the VMM has mapped a record for every CPU, all zero, which is a valid `Cpu`; it lives for ever, and has
    // interior mutability only.
    unsafe { &(*record_of(index)).cpu }
}

/// Builds and loads the tables of the CPU with this index.
///
/// # Safety
/// Only once for each CPU, on that CPU, with its record mapped and zero.
pub unsafe fn load(index: u32) -> &'static Cpu {
    let record = record_of(index);
    // SAFETY: the record is mapped and zero, which is valid for the tables' fields that are read below, and until this
    // function returns nobody else uses it.
    let (task_state, segments, interrupt_table) =
        unsafe { (&mut (*record).task_state, &mut (*record).segments, &mut (*record).interrupt_table) };

    task_state.iomap_base = size_of::<TaskStateSegment>() as u16;
    for (entry, stack) in [(TRAP_STACK_INDEX, TRAP_STACK), (CRITICAL_STACK_INDEX, CRITICAL_STACK)] {
        task_state.interrupt_stack_table[usize::from(entry)] = VirtAddr::new(stack.end(index));
    }

    for (selector, flags) in [
        (KERNEL_CODE_SELECTOR, DescriptorFlags::KERNEL_CODE64),
        (KERNEL_DATA_SELECTOR, DescriptorFlags::KERNEL_DATA),
        (USER_DATA_SELECTOR, DescriptorFlags::USER_DATA),
    ] {
        segments[index_of(selector)] = flags.bits();
    }
    if let Descriptor::SystemSegment(low, high) = Descriptor::tss_segment(task_state) {
        segments[index_of(TASK_STATE_SELECTOR)] = low;
        segments[index_of(TASK_STATE_SELECTOR) + 1] = high;
    }
    let pointer = DescriptorTablePointer {
        limit: (size_of_val(segments) - 1) as u16,
        base: VirtAddr::from_ptr(segments.as_ptr()),
    };
    // SAFETY: the tables live for ever; CS and SS keep their selectors, which the new table gives the same meaning.
    unsafe {
        lgdt(&pointer);
        load_tss(SegmentSelector(TASK_STATE_SELECTOR));
    }

    // The gates behind these are zero, so there are none.
    let mut next = Gate::new(traps::stub_address(0), TRAP_STACK_INDEX, 0);
    for gate in &mut interrupt_table[..VECTOR_COUNT] {
        *gate = next;
        next = next.to_stub_behind();
    }
    interrupt_table[traps::PAGE_FAULT] =
        Gate::new(traps::stub_address(traps::PAGE_FAULT), TRAP_STACK_INDEX, 0);
    for vector in CRITICAL_VECTORS {
        interrupt_table[vector] = Gate::new(traps::stub_address(vector), CRITICAL_STACK_INDEX, 0);
    }
    let pointer = DescriptorTablePointer {
        limit: (size_of_val(interrupt_table) - 1) as u16,
        base: VirtAddr::from_ptr(interrupt_table.as_ptr()),
    };
    // SAFETY: the table lives for ever and every gate in it is valid.
    unsafe { lidt(&pointer) };

    cpu(index)
}

/// A gate that ring 3 may use, to a handler that takes what INT leaves on the stack of traps.
pub fn gate(handler: u64) -> Gate {
    Gate::new(handler, TRAP_STACK_INDEX, 3)
}

/// Puts the segments of ring 3 on this CPU back to what they are at first: no 32-bit code, flat data.
pub fn clear_32_bit(cpu: &Cpu) {
    let record = record_of(cpu.index());
    // SAFETY: this CPU's own table, which nothing refers to but the CPU itself.
    let segments = unsafe { &mut (*record).segments };
    segments[index_of(USER_CODE_32_SELECTOR)] = 0;
    segments[index_of(USER_DATA_SELECTOR)] = DescriptorFlags::USER_DATA.bits();
}

/// Exchanges this CPU's gate of 32-bit programs.
pub fn exchange_gate(cpu: &Cpu, gate: Gate) -> Gate {
    let record = record_of(cpu.index());
    // SAFETY: this CPU's own table, which nothing refers to but the CPU itself.
    unsafe { core::mem::replace(&mut (*record).interrupt_table[usize::from(VECTOR_32)], gate) }
}
