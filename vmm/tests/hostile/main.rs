//! Guests that break, lie, flood and hang: the VMM answers each with a typed result, in bounded time and memory.

mod command;
mod counters;
mod endings;
mod last_words;
#[path = "../support/long.rs"]
mod long;
mod ports;
mod random;
mod report;
mod start;
#[path = "../support/mod.rs"]
mod support;
mod trace;

use std::mem::offset_of;
use std::time::{Duration, Instant};

use abi::address::{KERNEL_STACK, PHYSICAL_MAP_BASE};
use abi::boot::BootInfo;
use abi::plan::PlanServer;
use abi::port::{self, doorbell, exit_code};
use abi::report::{REPORT_MAGIC, Report, state};
use iced_x86::code_asm::*;
use inkbed::machine::guest::{GuestConfig, GuestRun, LastWords, Outcome, Pin};
use inkbed::machine::{self, MachineError, StopFlag};
use support::{KERNEL_CODE, KERNEL_DATA, guest, kernel_of, require_kvm};

type Assembled = Result<(), IcedError>;

/// A guest whose kernel is what `write` emits.
fn kernel(write: impl FnOnce(&mut CodeAssembler) -> Assembled) -> GuestConfig {
    let mut assembler = CodeAssembler::new(64).unwrap();
    write(&mut assembler).unwrap();
    guest(kernel_of(&assembler.assemble(KERNEL_CODE).unwrap()))
}

fn run(config: &GuestConfig) -> GuestRun {
    machine::run(config, &StopFlag::new().unwrap()).unwrap()
}

fn run_kernel(write: impl FnOnce(&mut CodeAssembler) -> Assembled) -> GuestRun {
    run(&kernel(write))
}

/// Writes the 32-bit `value` to `port`.
fn out(a: &mut CodeAssembler, port: u16, value: u32) -> Assembled {
    a.mov(edx, u32::from(port))?;
    a.mov(eax, value)?;
    a.out(dx, eax)
}

/// Loads the address of the report into RBX; RDI is as at the start.
fn find_report(a: &mut CodeAssembler) -> Assembled {
    a.mov(rbx, PHYSICAL_MAP_BASE)?;
    a.add(rbx, qword_ptr(rdi + offset_of!(BootInfo, report)))
}

/// Writes a valid head of a finished report; RBX holds its address afterwards.
fn write_report(a: &mut CodeAssembler) -> Assembled {
    find_report(a)?;
    a.mov(rax, REPORT_MAGIC)?;
    a.mov(qword_ptr(rbx), rax)?;
    set(a, offset_of!(Report, version), abi::VERSION)?;
    set(a, offset_of!(Report, state), state::FINISHED)?;
    set(a, offset_of!(Report, channel_count), 1)
}

/// Sets a 32-bit field of the report.
fn set(a: &mut CodeAssembler, offset: usize, value: u32) -> Assembled {
    a.mov(dword_ptr(rbx + offset), value)
}
