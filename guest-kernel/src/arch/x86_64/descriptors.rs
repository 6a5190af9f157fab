//! Segments, the task state segment with its interrupt stacks, and the interrupt descriptor table: one set per CPU, in
//! the CPU's own record.

use abi::address::{CPU_RECORD, CRITICAL_STACK, TRAP_STACK};
use abi::boot::{KERNEL_CODE_SELECTOR, KERNEL_DATA_SELECTOR, USER_CODE_SELECTOR, USER_DATA_SELECTOR};
use x86_64::VirtAddr;
use x86_64::instructions::tables::{lidt, load_tss};
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::gdt::{Descriptor, DescriptorFlags, GlobalDescriptorTable};
use x86_64::structures::idt::{Entry, HandlerFunc};
use x86_64::structures::tss::TaskStateSegment;

use super::traps;
use crate::cpu::Cpu;

/// Number of vectors with a gate: the exceptions, the timer, the spurious interrupt of the local APIC, other CPUs.
pub const VECTOR_COUNT: usize = 35;

/// What lies in [`CPU_RECORD`]. All zero at boot.
#[repr(C)]
pub struct CpuRecord {
    /// The portable part; first, because GS points here.
    pub cpu: Cpu,
    interrupt_table: [Entry<HandlerFunc>; VECTOR_COUNT],
    task_state: TaskStateSegment,
    segments: GlobalDescriptorTable<9>,
}

const _: () = assert!(size_of::<CpuRecord>() as u64 <= CPU_RECORD.size);

/// Interrupt stack table entry for interrupts and exceptions.
const TRAP_STACK_INDEX: u16 = 0;
/// Interrupt stack table entry for NMI, double fault and machine check, which may hit anywhere.
const CRITICAL_STACK_INDEX: u16 = 1;

/// Builds and loads the tables of the CPU with this index.
///
/// # Safety
/// Only once for each CPU, on that CPU, with its record mapped and zero.
pub unsafe fn load(index: u32) -> &'static Cpu {
    let record: *mut CpuRecord = core::ptr::with_exposed_provenance_mut(CPU_RECORD.start(index) as usize);
    // SAFETY: the record is mapped and zero, which is valid for the tables' fields that are read below, and until this
    // function returns nobody else uses it.
    let (task_state, segments, interrupt_table) =
        unsafe { (&mut (*record).task_state, &mut (*record).segments, &mut (*record).interrupt_table) };

    *task_state = TaskStateSegment::new();
    for (entry, stack) in [(TRAP_STACK_INDEX, TRAP_STACK), (CRITICAL_STACK_INDEX, CRITICAL_STACK)] {
        task_state.interrupt_stack_table[usize::from(entry)] = VirtAddr::new(stack.end(index));
    }

    *segments = GlobalDescriptorTable::empty();
    segments.append(Descriptor::UserSegment(0));
    let kernel_code = segments.append(Descriptor::UserSegment(DescriptorFlags::KERNEL_CODE64.bits()));
    let kernel_data = segments.append(Descriptor::UserSegment(DescriptorFlags::KERNEL_DATA.bits()));
    segments.append(Descriptor::UserSegment(0));
    let user_data = segments.append(Descriptor::UserSegment(DescriptorFlags::USER_DATA.bits()));
    let user_code = segments.append(Descriptor::UserSegment(DescriptorFlags::USER_CODE64.bits()));
    debug_assert_eq!(
        [kernel_code.0, kernel_data.0, user_data.0, user_code.0],
        [KERNEL_CODE_SELECTOR, KERNEL_DATA_SELECTOR, USER_DATA_SELECTOR, USER_CODE_SELECTOR]
    );
    let task_state_selector = segments.append(Descriptor::tss_segment(task_state));
    // SAFETY: the tables live for ever; CS and SS keep their selectors, which the new table gives the same meaning.
    unsafe {
        segments.load_unsafe();
        load_tss(task_state_selector);
    }

    for (vector, entry) in interrupt_table.iter_mut().enumerate() {
        let stack = match vector {
            2 | 8 | 18 => CRITICAL_STACK_INDEX,
            _ => TRAP_STACK_INDEX,
        };
        *entry = Entry::missing();
        // SAFETY: the stubs save everything and return by IRETQ; both stacks are mapped.
        unsafe { entry.set_handler_addr(VirtAddr::new(traps::stub_address(vector))).set_stack_index(stack) };
    }
    let pointer = DescriptorTablePointer {
        limit: (size_of_val(interrupt_table) - 1) as u16,
        base: VirtAddr::from_ptr(interrupt_table.as_ptr()),
    };
    // SAFETY: the table lives for ever and every gate in it is valid.
    unsafe { lidt(&pointer) };

    // SAFETY: zero is a valid `Cpu`, which has interior mutability only, and it lives for ever.
    unsafe { &(*record).cpu }
}
