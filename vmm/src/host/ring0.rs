//! How privilege level 0 of a guest runs here, measured with a tiny guest that counts down in a loop.
//!
//! Where KVM emulates ring 0, its statistic `insn_emulation` grows by one for each instruction. Where the whole machine
//! is an emulator whose time-stamp counter counts instructions (Bochs), the same loop takes exactly the same ticks each
//! time, as many as it has instructions.

use std::time::Instant;

use abi::address::PAGE_SIZE;
use kvm_ioctls::VcpuExit;
use serde::Serialize;

use crate::host::fact::Fact;
use crate::machine::MachineError;
use crate::machine::cpuid;
use crate::machine::guest::HugePages;
use crate::machine::kvm::KvmDevice;
use crate::machine::memory::GuestMemory;
use crate::machine::page_table::{Access, LargestPage, Mapping, OutOfTables, PageTables};
use crate::machine::stats::GuestStats;
use crate::machine::vcpu::{Start, Vcpu};
use crate::machine::vm::Vm;

/// Facts about a guest's privilege level 0.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ring0Facts {
    /// KVM emulates it, instruction by instruction.
    pub is_emulated: bool,
    /// Instructions that the guest executed.
    pub instructions: u64,
    /// How many of them KVM emulated (its statistic `insn_emulation`).
    pub emulated_instructions: Fact<u64>,
    /// Time per instruction by the guest's own clock; by wall time, the way into the guest and out again included, where
    /// the clock's rate is not known. ns.
    pub ns_per_instruction: f64,
    /// The time-stamp counter counts instructions, not time.
    pub tsc_counts_instructions: bool,
    /// Frequency of the guest's time-stamp counter, kHz.
    pub tsc_khz: Fact<u64>,
}

/// Where a loop's two instructions take longer than this, they are not executed by a processor: ns.
const EMULATION_THRESHOLD_NS: f64 = 300.0;

/// Turns of the two long loops and of the short one.
const LONG_LOOP: u32 = 2_000;
const SHORT_LOOP: u32 = 1_000;

/// Instructions of one turn.
const TURN_INSTRUCTIONS: u64 = 2;

/// Instructions of a measured loop besides its turns.
pub(crate) const LOOP_EXTRA_INSTRUCTIONS: u64 = 12;

/// Instructions that the long loop has more than the short one.
const LOOP_DIFFERENCE_INSTRUCTIONS: u64 = (LONG_LOOP - SHORT_LOOP) as u64 * TURN_INSTRUCTIONS;

const CODE_ADDRESS: u64 = 0x1000;
const TABLES_ADDRESS: u64 = 0x10000;
const MEMORY_BYTES: u64 = 2 << 20;

/// Counts down from `turns` between two clock readings and leaves the difference in R8 + `register`.
fn measured_loop(turns: u32, register: u8) -> Vec<u8> {
    let clock = [
        0x0f, 0xae, 0xe8, // lfence
        0x0f, 0x31, // rdtsc
        0x48, 0xc1, 0xe2, 0x20, // shl rdx, 32
        0x48, 0x09, 0xd0, // or rax, rdx
    ];
    let mut code = vec![0xb9]; // mov ecx, turns
    code.extend(turns.to_le_bytes());
    code.extend(clock);
    code.extend([0x48, 0x89, 0xc6]); // mov rsi, rax
    code.extend([0xff, 0xc9]); // dec ecx
    code.extend([0x75, 0xfc]); // jnz to the dec
    code.extend(clock);
    code.extend([0x48, 0x29, 0xf0]); // sub rax, rsi
    code.extend([0x49, 0x89, 0xc0 + register]); // mov r8 + register, rax
    code
}

/// Three measured loops and a port write that ends the guest.
pub(crate) fn program() -> Vec<u8> {
    let mut code = measured_loop(LONG_LOOP, 0);
    code.extend(measured_loop(LONG_LOOP, 1));
    code.extend(measured_loop(SHORT_LOOP, 2));
    code.push(0xef); // out dx, eax
    code
}

/// Runs the guest.
pub(crate) fn measure() -> Result<Ring0Facts, MachineError> {
    let device = KvmDevice::open()?;
    let vm = Vm::new(&device, GuestMemory::new(MEMORY_BYTES, HugePages::No)?, 1)?;
    let mut vcpu = Vcpu::new(&vm.fd, 0)?;
    let tsc_hz = vcpu.tsc_hz();
    write_memory(vm.memory())?;
    let machine = cpuid::Machine {
        vcpus: 1,
        has_steal_time: false,
        has_x2apic: true,
        has_tsc_deadline: false,
        tsc_hz,
        apic_timer_hz: device.apic_timer_hz,
    };
    let cpuid = cpuid::for_vcpu(&device.supported_cpuid()?, machine, 0)?;
    vcpu.prepare(&cpuid, Start { rip: CODE_ADDRESS, rsp: 0, arguments: [0, 0], root_table: TABLES_ADDRESS })?;

    let stats = if device.has_stats {
        GuestStats::open(&vm.fd, std::iter::once(&vcpu.fd))
    } else {
        GuestStats::default()
    };
    let before = stats.snapshot();
    let start = Instant::now();
    run_to_port_write(&mut vcpu)?;
    let took = start.elapsed();
    let mut differences = stats.difference(&before, &stats.snapshot());

    let registers = vcpu.registers().general;
    let turns = u64::from(2 * LONG_LOOP + SHORT_LOOP);
    let instructions = turns * TURN_INSTRUCTIONS + 3 * LOOP_EXTRA_INSTRUCTIONS + 1;
    let (long, long_again, short) = (registers[8], registers[9], registers[10]);
    let ns_per_instruction = if tsc_hz > 0 {
        ticks_per_instruction(long.min(long_again), short) / tsc_hz as f64 * 1e9
    } else {
        took.as_nanos() as f64 / instructions as f64
    };
    let emulated_instructions = match differences.remove("insn_emulation") {
        Some(count) => Fact::Known(count),
        None => Fact::absent("KVM has no statistic insn_emulation here (Linux 5.14 and newer have it)"),
    };
    Ok(Ring0Facts {
        is_emulated: match emulated_instructions.known() {
            Some(count) => *count > instructions / 2,
            None => ns_per_instruction > EMULATION_THRESHOLD_NS,
        },
        instructions,
        emulated_instructions,
        ns_per_instruction,
        tsc_counts_instructions: counts_instructions(long, long_again, short),
        tsc_khz: if tsc_hz > 0 {
            Fact::Known(tsc_hz / 1000)
        } else {
            Fact::absent("KVM does not tell the frequency of a guest's time-stamp counter")
        },
    })
}

/// What an instruction takes. The difference of two loops leaves out what the first entry costs; it says nothing if the host took
/// the CPU away during the short one.
pub(crate) fn ticks_per_instruction(long: u64, short: u64) -> f64 {
    match long.checked_sub(short) {
        Some(ticks @ 1..) => ticks as f64 / LOOP_DIFFERENCE_INSTRUCTIONS as f64,
        _ => long as f64 / (u64::from(LONG_LOOP) * TURN_INSTRUCTIONS) as f64,
    }
}

/// Whether ticks are instructions: no clock is so exact, and no processor takes one cycle for each of these.
pub(crate) fn counts_instructions(long: u64, long_again: u64, short: u64) -> bool {
    long == long_again && long.wrapping_sub(short) == LOOP_DIFFERENCE_INSTRUCTIONS
}

/// Code, and page tables that map all of the memory one to one.
fn write_memory(memory: &GuestMemory) -> Result<(), MachineError> {
    memory.write(CODE_ADDRESS, &program())?;
    let mut tables = PageTables::new(TABLES_ADDRESS, 8 * PAGE_SIZE);
    let mapped = tables.map(Mapping {
        virtual_start: 0,
        physical_start: 0,
        size: MEMORY_BYTES,
        access: Access::ReadExecute,
        largest_page: LargestPage::Mebibytes2,
    });
    let words = mapped.and_then(|()| tables.attach_empty_tables(0, 0));
    let words = words.map_err(|OutOfTables| MachineError::Internal("the probe has too few page tables"))?;
    memory.write_words(TABLES_ADDRESS, &words)
}

fn run_to_port_write(vcpu: &mut Vcpu) -> Result<(), MachineError> {
    loop {
        match vcpu.fd.run() {
            Ok(VcpuExit::IoOut(..)) => return Ok(()),
            Ok(VcpuExit::Intr) => {}
            Ok(_) => return Err(MachineError::Internal("the probe's guest did not come to its end")),
            Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => {}
            Err(source) => return Err(MachineError::Kvm { action: "run the probe's guest", source }),
        }
    }
}
