//! From the VMM's first instruction to the first thread.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use abi::address::{CPU_COUNT_MAX, KERNEL_STACK};
use abi::boot::{
    BOOT_MAGIC, BootInfo, KERNEL_CODE_SELECTOR, KERNEL_DATA_SELECTOR, USER_CODE_SELECTOR, USER_DATA_SELECTOR,
};
use x86_64::VirtAddr;
use x86_64::registers::model_specific::{GsBase, KernelGsBase, LStar, Msr, SFMask, Star};
use x86_64::registers::rflags::RFlags;
use x86_64::structures::gdt::SegmentSelector;

use super::{compatibility, descriptors, last_words, probe, system_call};
use crate::arch::x86_64::{features, machine, paging, timer};
use crate::boot::start::{self, Entries};
use crate::cpu::Cpu;
use crate::cpu::world::Alone;
use crate::measure::report::ReportWriter;
use crate::sched;

/// CPUs that have come up, the first one not counted.
static CPUS_ONLINE: AtomicU32 = AtomicU32::new(0);
/// Whether the plan is loaded: only then the others may run threads.
static LOADED: AtomicBool = AtomicBool::new(false);
/// Whether the plan has 32-bit programs, once it is loaded. The first CPU looks for all of them: the plan may be long.
static HAS_32_BIT_PROGRAMS: AtomicBool = AtomicBool::new(false);

/// Brings this CPU up, and the whole system on the first one.
///
/// # Safety
/// Only from the entry point, with the state that [`abi::boot`] describes.
pub unsafe fn boot(boot: &'static BootInfo, index: u32) -> ! {
    if boot.magic != BOOT_MAGIC || boot.version != abi::VERSION {
        // There is no agreement on where a message could go.
        machine::exit(abi::port::exit_code::REFUSED);
    }
    last_words::set_report(boot);
    let features = features::detect();
    // SAFETY: once per CPU, on it; the VMM has mapped the record and left it zero.
    let cpu = unsafe { descriptors::load(index) };
    cpu.set_up(index, KERNEL_STACK.end(index));
    set_up_system_calls(cpu);

    // SAFETY: the gates are loaded.
    cpu.set_apic_id(unsafe { timer::start(boot, start::time_slice_microseconds(boot), features) });
    let features = start::choose_features(boot, features);
    features::enable(features);
    let Some(report) = last_words::report() else { machine::exit(abi::port::exit_code::REFUSED) };
    report.set_online(index, cpu.port().apic_id());
    if index == 0 {
        start_system(boot, cpu, report, features);
    } else {
        join_system(boot, cpu, features);
    }
    if let Some(record) = cpu.regions().and_then(|regions| regions.steal_time_of(index)) {
        enable_steal_time(record);
    }
    let first = sched::run_next(cpu);
    // SAFETY: the thread's context is complete, and the kernel's stack is not needed any more.
    unsafe { system_call::start_first(first) }
}

/// SYSCALL and SYSRET (Intel SDM vol. 3, 5.8.8), and GS for both sides of SWAPGS.
fn set_up_system_calls(cpu: &'static Cpu) {
    let selector = |selector: u16| SegmentSelector(selector);
    let written = Star::write(
        selector(USER_CODE_SELECTOR),
        selector(USER_DATA_SELECTOR),
        selector(KERNEL_CODE_SELECTOR),
        selector(KERNEL_DATA_SELECTOR),
    );
    assert!(written.is_ok(), "the selectors are not in the order of SYSRET");
    LStar::write(VirtAddr::new(system_call::system_call_entry as *const () as u64));
    SFMask::write(
        RFlags::INTERRUPT_FLAG
            | RFlags::TRAP_FLAG
            | RFlags::DIRECTION_FLAG
            | RFlags::ALIGNMENT_CHECK
            | RFlags::NESTED_TASK
            | RFlags::IOPL_LOW
            | RFlags::IOPL_HIGH,
    );
    GsBase::write(VirtAddr::from_ptr(cpu));
    KernelGsBase::write(VirtAddr::zero());
}

/// On the first CPU: loads the plan while the others come up, waits for them, and lets them run. Until then they halt, so it
/// fills their run queues for them: no thread takes a way and an interrupt to its CPU.
fn start_system(boot: &'static BootInfo, cpu: &'static Cpu, report: ReportWriter, features: u64) {
    paging::set_kernel_root(boot.root_table);
    report.begin(features);
    if start::has_32_bit_programs(boot, features) {
        compatibility::enable(cpu, features);
        HAS_32_BIT_PROGRAMS.store(true, Ordering::Relaxed);
    }
    let entries = Entries {
        entry_stubs: system_call::entry_stubs,
        way_to_ring_3: compatibility::way_to_ring_3(),
        probe_segments: probe::probe_segments,
        cpu: descriptors::cpu,
    };
    if let Err(error) = start::load(boot, cpu, report, features, entries) {
        last_words::refuse(format_args!("{error}"));
    }
    cpu.wait_until(|| CPUS_ONLINE.load(Ordering::Acquire) + 1 == boot.cpu_count);
    // Only until they are let run: from then on their queues are their own.
    let mut has_threads = [0_u64; CPU_COUNT_MAX as usize / 64];
    {
        // SAFETY: all others are there, and touch nothing until `LOADED` is set, below.
        let alone = unsafe { Alone::assume(cpu) };
        start::launch(&alone);
        for other in alone.cpus().filter(|other| other.index() != 0 && other.ready().occupied() != 0) {
            has_threads[other.index() as usize / 64] |= 1 << (other.index() % 64);
        }
    }
    report.set_state(abi::report::state::STARTED);
    machine::ring_doorbell(abi::port::doorbell::STARTED);
    LOADED.store(true, Ordering::Release);
    let ports = cpu.kernel().into_iter().flat_map(|kernel| kernel.cpus.ports());
    for port in ports.filter(|port| has_threads[port.index() as usize / 64] >> (port.index() % 64) & 1 != 0) {
        cpu.interrupt(port);
    }
}

/// On the other CPUs: tells that this one is up, and waits until the plan is loaded. One without threads goes on waiting
/// until somebody wants something of it, which may be before this one has seen that it may run.
fn join_system(boot: &'static BootInfo, cpu: &'static Cpu, features: u64) {
    if CPUS_ONLINE.fetch_add(1, Ordering::AcqRel) + 2 == boot.cpu_count {
        cpu.interrupt(descriptors::cpu(0).port());
    }
    cpu.wait_until(|| LOADED.load(Ordering::Acquire));
    if HAS_32_BIT_PROGRAMS.load(Ordering::Relaxed) {
        compatibility::enable(cpu, features);
    }
}

/// Has KVM keep its steal-time record for this CPU at a physical address that is 64-byte aligned and zero
/// (Documentation/virt/kvm/x86/msr.rst, MSR_KVM_STEAL_TIME).
fn enable_steal_time(address: u64) {
    const MSR_KVM_STEAL_TIME: Msr = Msr::new(0x4b56_4d03);
    const ENABLE: u64 = 1;
    // SAFETY: the caller found the feature; KVM writes only to the 64 bytes at `address`.
    unsafe { { MSR_KVM_STEAL_TIME }.write(address | ENABLE) };
}
