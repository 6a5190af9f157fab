//! What the kernel leaves behind when it cannot go on: message and registers for the VMM, which finds the symbols.

use core::arch::asm;
use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::address::{CPU_AREA_BASE, CPU_AREA_STRIDE};
use abi::boot::BootInfo;
use abi::port::exit_code;
use abi::report::{NO_VECTOR, Registers};
use x86_64::registers::control::Cr3;

use super::traps::TrapFrame;
use crate::arch::exit;
use crate::measure::report::ReportWriter;
use crate::memory::physical_pointer;

static REPORT: AtomicU64 = AtomicU64::new(0);
static CPU_REPORTS: AtomicU64 = AtomicU64::new(0);
static CPU_COUNT: AtomicU64 = AtomicU64::new(0);

/// Notes where the report is; from now on a panic leaves its message there.
pub fn set_report(boot: &BootInfo) {
    CPU_REPORTS.store(boot.cpu_reports, Ordering::Relaxed);
    CPU_COUNT.store(u64::from(boot.cpu_count), Ordering::Relaxed);
    REPORT.store(boot.report, Ordering::Release);
}

/// The writer for that report, once it is known.
pub fn report() -> Option<ReportWriter> {
    let address = |physical| physical_pointer(physical).expose_provenance() as u64;
    match REPORT.load(Ordering::Acquire) {
        0 => None,
        // SAFETY: the VMM has given these addresses for exactly this purpose; all memory is zero and page aligned.
        report => Some(unsafe {
            ReportWriter::new(
                address(report),
                address(CPU_REPORTS.load(Ordering::Relaxed)),
                CPU_COUNT.load(Ordering::Relaxed) as u32,
            )
        }),
    }
}

/// Ends the guest because the kernel's own code met an exception.
pub fn kernel_bug(frame: &TrapFrame) -> ! {
    let (vector, error) = (frame.vector, frame.error_code);
    leave(
        exit_code::PANIC,
        format_args!("exception {vector} (error code {error:#x}) in the kernel's own code"),
        &frame.registers(),
    )
}

/// Ends the guest because the kernel's own code panicked.
pub fn panic(info: &PanicInfo<'_>) -> ! {
    leave(exit_code::PANIC, format_args!("{info}"), &registers_here())
}

/// Ends the guest because the plan cannot be started.
pub fn refuse(reason: fmt::Arguments<'_>) -> ! {
    leave(exit_code::REFUSED, reason, &registers_here())
}

fn leave(code: u32, message: fmt::Arguments<'_>, registers: &Registers) -> ! {
    if let Some(report) = report() {
        report.set_last_words(this_cpu_index(registers_here().general[4]), message, registers);
    }
    exit(code)
}

/// The index of this CPU by the stack that it is on: that works when nothing else does.
fn this_cpu_index(stack_pointer: u64) -> u32 {
    (stack_pointer.wrapping_sub(CPU_AREA_BASE) / CPU_AREA_STRIDE) as u32
}

/// The registers that lead to the chain of frames of this function's caller.
#[inline(always)]
fn registers_here() -> Registers {
    let mut registers = Registers { vector: NO_VECTOR, ..Registers::default() };
    let (rip, rsp, rbp): (u64, u64, u64);
    // SAFETY: only reads registers.
    unsafe {
        asm!(
            "lea {}, [rip]",
            "mov {}, rsp",
            "mov {}, rbp",
            out(reg) rip,
            out(reg) rsp,
            out(reg) rbp,
            options(nomem, nostack, preserves_flags)
        );
    };
    registers.rip = rip;
    registers.general[4] = rsp;
    registers.general[5] = rbp;
    registers.cr2 = fault_address();
    registers.cr3 = page_table();
    registers
}

/// The address of the last page fault (CR2).
pub fn fault_address() -> u64 {
    x86_64::registers::control::Cr2::read_raw()
}

/// The page table root (CR3).
pub fn page_table() -> u64 {
    let (frame, low_bits) = Cr3::read_raw();
    frame.start_address().as_u64() | u64::from(low_bits)
}
