//! Guests that break, lie, flood and hang: the VMM answers each with a typed result, in bounded time and memory.

mod support;

use std::mem::offset_of;
use std::time::{Duration, Instant};

use abi::address::{KERNEL_STACK, PHYSICAL_MAP_BASE};
use abi::boot::BootInfo;
use abi::port::{self, doorbell, exit_code};
use abi::report::{REPORT_MAGIC, Report, state};
use iced_x86::code_asm::*;
use inkbed::lens::pmu::software::{SoftwareKind, SoftwarePmu, Source};
use inkbed::lens::pmu::{PmuRequest, Privilege};
use inkbed::machine::guest::{GuestConfig, GuestRun, LastWords, Outcome};
use inkbed::machine::{self, StopFlag};
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

/// The outcome of a guest that claims to have finished, with one field of its report overwritten.
fn outcome_with(offset: usize, value: u32) -> Outcome {
    let config = kernel(|a| {
        write_report(a)?;
        set(a, offset, value)?;
        out(a, port::EXIT, exit_code::FINISHED)
    });
    let run = run(&config);
    assert!(run.samples.len() as u64 <= config.sample_capacity);
    run.outcome
}

fn assert_corrupt(outcome: Outcome, what: &str) {
    let Outcome::Corrupt { reason } = &outcome else { panic!("{outcome:?}") };
    assert!(reason.contains(what), "{reason}");
}

#[test]
fn an_honest_report_is_taken() {
    if !require_kvm() {
        return;
    }
    assert_eq!(outcome_with(offset_of!(Report, driver_status), 7), Outcome::Finished { status: 7 });
}

#[test]
fn lies_in_the_report_are_told() {
    if !require_kvm() {
        return;
    }
    let upper_half_of_sample_count = offset_of!(Report, sample_count) + 4;
    assert_corrupt(outcome_with(upper_half_of_sample_count, u32::MAX), "samples");
    assert_corrupt(
        outcome_with(offset_of!(Report, sample_count), 1025),
        "claims 1025 samples, but there is room for 1024",
    );
    assert_corrupt(outcome_with(offset_of!(Report, channel_count), u32::MAX), "samples per round trip");
    assert_corrupt(outcome_with(offset_of!(Report, fault_count), u32::MAX), "servers died");
    assert_corrupt(outcome_with(offset_of!(Report, message_size), 513), "message of 513 bytes");
    assert_corrupt(outcome_with(offset_of!(Report, version), 99), "version 99");
    assert_corrupt(outcome_with(offset_of!(Report, state), 99), "state is 99");
    assert_corrupt(outcome_with(offset_of!(Report, state), state::MEASURING), "state is 3");
    assert_corrupt(outcome_with(offset_of!(Report, last_words_cpu), 1), "last words of CPU 1");
    assert_corrupt(outcome_with(offset_of!(Report, magic), 1), "begins with");
}

#[test]
fn a_report_of_ones_is_refused() {
    if !require_kvm() {
        return;
    }
    let run = run_kernel(|a| {
        find_report(a)?;
        a.mov(rdi, rbx)?;
        a.mov(eax, u32::MAX)?;
        a.mov(ecx, size_of::<Report>() as u32)?;
        a.rep().stosb()?;
        out(a, port::EXIT, exit_code::FINISHED)
    });
    assert_corrupt(run.outcome, "begins with 0xffffffffffffffff");
    assert!(run.samples.is_empty() && run.faults.is_empty());
}

#[test]
fn finishing_without_a_report_is_a_lie() {
    if !require_kvm() {
        return;
    }
    assert_corrupt(run_kernel(|a| out(a, port::EXIT, exit_code::FINISHED)).outcome, "without a report");
    assert_corrupt(run_kernel(|a| out(a, port::EXIT, 0xdead_beef)).outcome, "exit code 0xdeadbeef");
}

#[test]
fn a_panic_before_the_report_has_last_words() {
    if !require_kvm() {
        return;
    }
    let Outcome::Panic { message, last_words } = run_kernel(|a| out(a, port::EXIT, exit_code::PANIC)).outcome
    else {
        panic!("expected a panic");
    };
    assert_eq!(message, "");
    assert!((KERNEL_CODE..KERNEL_CODE + 0x100).contains(&last_words.registers.rip));
}

#[test]
fn floods_of_the_doorbell_and_of_strange_ports_change_nothing() {
    if !require_kvm() {
        return;
    }
    let run = run_kernel(|a| {
        write_report(a)?;
        out(a, port::DOORBELL, doorbell::MEASURE_BEGIN)?;
        let mut again = a.create_label();
        a.mov(ecx, 2_000u32)?;
        a.mov(esi, 0x9e37_79b9u32)?;
        a.set_label(&mut again)?;
        a.imul_3(esi, esi, 0x0019_660d)?;
        a.mov(eax, esi)?;
        a.mov(edx, u32::from(port::DOORBELL))?;
        a.out(dx, eax)?;
        a.out(dx, al)?;
        a.mov(edx, esi)?;
        a.and(edx, 0x2ff)?;
        a.out(dx, eax)?;
        a.in_(eax, dx)?;
        a.dec(ecx)?;
        a.jnz(again)?;
        out(a, port::DOORBELL, doorbell::MEASURE_END)?;
        out(a, port::EXIT, exit_code::FINISHED)
    });
    assert_eq!(run.outcome, Outcome::Finished { status: 0 });
    assert!(run.measured_ns.is_some());
    assert!(run.kvm_stats.is_empty() || run.kvm_stats["exits"] > 0, "{:?}", run.kvm_stats);
}

#[test]
fn a_port_without_a_device_reads_all_ones() {
    if !require_kvm() {
        return;
    }
    let Outcome::Panic { last_words, .. } = run_kernel(|a| {
        a.xor(eax, eax)?;
        a.mov(edx, 0x1234)?;
        a.in_(eax, dx)?;
        a.mov(ebx, eax)?;
        out(a, port::EXIT, exit_code::PANIC)
    })
    .outcome
    else {
        panic!("expected a panic");
    };
    assert_eq!(last_words.registers.general[3], 0xffff_ffff);
}

#[test]
fn the_console_is_bounded() {
    if !require_kvm() {
        return;
    }
    // 65 strings of 16 KiB each, four bytes to an exit.
    let run = run_kernel(|a| {
        let mut again = a.create_label();
        a.mov(ebx, 65)?;
        a.mov(edx, u32::from(port::SERIAL))?;
        a.set_label(&mut again)?;
        a.mov(rsi, KERNEL_DATA)?;
        a.mov(ecx, 4096)?;
        a.rep().outsd()?;
        a.dec(ebx)?;
        a.jnz(again)?;
        out(a, port::EXIT, exit_code::REFUSED)
    });
    assert_eq!(run.outcome, Outcome::Refused { message: String::new() });
    assert_eq!(run.console.len(), 1 << 20);
}

#[test]
fn strings_to_every_port_of_the_machine() {
    if !require_kvm() {
        return;
    }
    let run = run_kernel(|a| {
        for port in [port::SERIAL, port::SERIAL + 4, port::DOORBELL, 0x80] {
            a.mov(edx, u32::from(port))?;
            a.mov(rsi, KERNEL_DATA)?;
            a.mov(ecx, 257)?;
            a.rep().outsd()?;
            a.mov(ecx, 257)?;
            a.rep().outsw()?;
        }
        a.mov(edx, u32::from(port::EXIT))?;
        a.mov(dword_ptr(KERNEL_DATA), exit_code::REFUSED)?;
        a.mov(rsi, KERNEL_DATA)?;
        a.mov(ecx, 64)?;
        a.rep().outsd()
    });
    assert_eq!(run.outcome, Outcome::Refused { message: String::new() });
}

#[test]
fn a_triple_fault_has_last_words() {
    if !require_kvm() {
        return;
    }
    // There is no descriptor table yet: any exception is fatal.
    let outcome = run_kernel(|a| {
        a.mov(rcx, 0x5555_5555_5555_5555u64)?;
        a.ud2()
    })
    .outcome;
    let Outcome::TripleFault { last_words } = outcome else { panic!("{outcome:?}") };
    // KVM on SVM resets the vCPU before it tells, so that only VMX and emulated ring 0 still know where it was.
    if last_words.registers.general[1] == 0x5555_5555_5555_5555 {
        assert_eq!(last_words.registers.rip, KERNEL_CODE + 10);
    }
}

fn assert_hang(config: &GuestConfig) -> LastWords {
    let start = Instant::now();
    let run = run(config);
    let took = start.elapsed();
    let Outcome::Hang { deadline, last_words } = run.outcome else { panic!("{:?}", run.outcome) };
    assert_eq!(Some(deadline), config.deadline);
    assert!(took >= deadline && took < deadline + Duration::from_secs(2), "{took:?}");
    last_words
}

#[test]
fn a_halted_guest_meets_its_deadline() {
    if !require_kvm() {
        return;
    }
    let mut config = kernel(|a| a.hlt());
    config.deadline = Some(Duration::from_millis(50));
    assert_eq!(assert_hang(&config).registers.rip, KERNEL_CODE + 1);
}

#[test]
fn a_looping_guest_meets_its_deadline() {
    if !require_kvm() {
        return;
    }
    let mut config = kernel(|a| {
        let mut here = a.create_label();
        a.set_label(&mut here)?;
        a.jmp(here)
    });
    config.deadline = Some(Duration::from_millis(50));
    assert_eq!(assert_hang(&config).registers.rip, KERNEL_CODE);
}

#[test]
fn a_hang_shows_the_cpu_that_is_busy() {
    if !require_kvm() {
        return;
    }
    let mut config = kernel(|a| {
        let (mut here, mut halt) = (a.create_label(), a.create_label());
        a.cmp(esi, 2)?;
        a.jne(halt)?;
        a.set_label(&mut here)?;
        a.pause()?;
        a.jmp(here)?;
        a.set_label(&mut halt)?;
        a.hlt()?;
        a.jmp(halt)
    });
    config.vcpus = 4;
    config.deadline = Some(Duration::from_millis(100));
    let last_words = assert_hang(&config);
    assert_eq!((last_words.cpu, last_words.registers.general[6]), (2, 2));
}

#[test]
fn one_cpu_ends_the_guest_while_the_others_spin() {
    if !require_kvm() {
        return;
    }
    let mut config = kernel(|a| {
        let (mut here, mut exit) = (a.create_label(), a.create_label());
        a.cmp(esi, 3)?;
        a.je(exit)?;
        a.set_label(&mut here)?;
        a.jmp(here)?;
        a.set_label(&mut exit)?;
        out(a, port::EXIT, exit_code::REFUSED)
    });
    config.vcpus = 4;
    assert_eq!(run(&config).outcome, Outcome::Refused { message: String::new() });
}

#[test]
fn the_stop_flag_stops_at_once_and_stays_up() {
    if !require_kvm() {
        return;
    }
    let mut config = kernel(|a| a.hlt());
    config.deadline = None;
    let stop = StopFlag::new().unwrap();
    let other = stop.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        other.stop();
        Instant::now()
    });
    let run = machine::run(&config, &stop).unwrap();
    assert_eq!(run.outcome, Outcome::Interrupted);
    assert!(stopper.join().unwrap().elapsed() < Duration::from_secs(1));
    assert_eq!(machine::run(&config, &stop).unwrap().outcome, Outcome::Interrupted);
}

#[test]
fn access_where_no_memory_is() {
    if !require_kvm() {
        return;
    }
    // The physical map ends with guest memory, so the guest has to write an entry of its own.
    let outcome = run_kernel(|a| {
        a.mov(rbx, PHYSICAL_MAP_BASE)?;
        a.mov(rcx, qword_ptr(rdi + offset_of!(BootInfo, root_table)))?;
        a.add(rcx, rbx)?;
        a.mov(rcx, qword_ptr(rcx + 256 * 8))?;
        a.and(rcx, -4096)?;
        a.mov(rax, 0x8000_0083u64)?;
        a.mov(qword_ptr(rcx + rbx + 100 * 8), rax)?;
        a.mov(rcx, PHYSICAL_MAP_BASE + (100 << 30))?;
        a.mov(eax, dword_ptr(rcx + 0x1234))
    })
    .outcome;
    match outcome {
        // A 1 GiB page where the CPU has none is a reserved bit, and a triple fault.
        Outcome::TripleFault { .. } => {}
        Outcome::UnexpectedExit { reason, .. } => assert!(reason.contains("0x80001234"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_kernel_that_overwrites_what_it_stands_on() {
    if !require_kvm() {
        return;
    }
    let run = run_kernel(|a| {
        // Boot information first, then everything from the end of memory down.
        a.mov(rbx, PHYSICAL_MAP_BASE)?;
        a.add(rbx, qword_ptr(rdi + offset_of!(BootInfo, root_table)))?;
        a.mov(eax, u32::MAX)?;
        a.mov(ecx, size_of::<BootInfo>() as u32)?;
        a.rep().stosb()?;
        a.mov(rdi, rbx)?;
        a.mov(ecx, 1 << 16)?;
        a.rep().stosb()?;
        out(a, port::EXIT, exit_code::PANIC)
    });
    assert!(
        matches!(
            run.outcome,
            Outcome::TripleFault { .. }
                | Outcome::Panic { .. }
                | Outcome::KvmError { .. }
                | Outcome::UnexpectedExit { .. }
                | Outcome::Hang { .. }
        ),
        "{:?}",
        run.outcome
    );
}

/// Last words of a kernel that panics with `frame` in RBP, after `write`.
fn last_words_with_frame(frame: u64, write: impl FnOnce(&mut CodeAssembler) -> Assembled) -> LastWords {
    let outcome = run_kernel(|a| {
        write(a)?;
        a.mov(rbp, frame)?;
        out(a, port::EXIT, exit_code::PANIC)
    })
    .outcome;
    let Outcome::Panic { last_words, .. } = outcome else { panic!("{outcome:?}") };
    last_words
}

#[test]
fn a_garbage_chain_of_frames_ends() {
    if !require_kvm() {
        return;
    }
    for frame in
        [0, 1, 0xdead_beef_dead_beef, u64::MAX, u64::MAX - 7, 0x7fff_ffff_fff8, PHYSICAL_MAP_BASE - 8]
    {
        assert_eq!(last_words_with_frame(frame, |_| Ok(())).backtrace.len(), 1, "{frame:#x}");
    }
    let myself = last_words_with_frame(KERNEL_DATA, |a| {
        a.mov(rax, KERNEL_DATA)?;
        a.mov(qword_ptr(rax), rax)?;
        a.mov(qword_ptr(rax + 8), rax)
    });
    assert_eq!(myself.backtrace.len(), 2);
}

#[test]
fn an_endless_chain_of_frames_is_cut() {
    if !require_kvm() {
        return;
    }
    let last_words = last_words_with_frame(KERNEL_DATA, |a| {
        let mut again = a.create_label();
        a.mov(rax, KERNEL_DATA)?;
        a.mov(ecx, 256)?;
        a.set_label(&mut again)?;
        a.lea(rbx, qword_ptr(rax + 16))?;
        a.mov(qword_ptr(rax), rbx)?;
        a.mov(qword_ptr(rax + 8), rax)?;
        a.mov(rax, rbx)?;
        a.dec(ecx)?;
        a.jnz(again)
    });
    assert_eq!(last_words.backtrace.len(), 64);
}

#[test]
fn every_cpu_starts_as_agreed() {
    if !require_kvm() {
        return;
    }
    let cpu = 2;
    let mut config = kernel(|a| {
        let mut halt = a.create_label();
        a.cmp(esi, cpu)?;
        a.jne(halt)?;
        a.push(rax)?;
        a.mov(r8, rsp)?;
        a.mov(r9, cr0)?;
        a.mov(r10, cr4)?;
        a.mov(r11, qword_ptr(rdi))?;
        out(a, port::EXIT, exit_code::PANIC)?;
        a.set_label(&mut halt)?;
        a.hlt()?;
        a.jmp(halt)
    });
    config.vcpus = 3;
    let outcome = run(&config).outcome;
    let Outcome::Panic { last_words, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(last_words.cpu, cpu as u32);
    let registers = last_words.registers;
    assert_eq!(registers.general[8], KERNEL_STACK.end(cpu as u32) - 16);
    assert_eq!(registers.general[9], 0x8005_0033);
    assert_eq!(registers.general[10], 0xa0);
    assert_eq!(registers.general[11], abi::boot::BOOT_MAGIC);
    assert_eq!((registers.cs, registers.ss), (0x10, 0x18));
    assert_eq!(registers.rflags & 0x200, 0, "interrupts are off");
}

/// Accesses to the registers that the VMM itself keeps: bad ones fault in the guest, whatever they are.
#[test]
fn bad_accesses_to_the_software_counters_fault_in_the_guest() {
    if !require_kvm() {
        return;
    }
    let outcome = |register: u32, value: u64| {
        let mut config = kernel(|a| {
            a.mov(ecx, register)?;
            a.mov(eax, value as u32)?;
            a.mov(edx, (value >> 32) as u32)?;
            a.wrmsr()?;
            out(a, port::EXIT, exit_code::REFUSED)
        });
        let model = SoftwarePmu { kind: SoftwareKind::IntelVersion2, source: Source::Accesses, defect: None };
        config.lenses.pmu = PmuRequest::Software(model, Privilege::All);
        run(&config).outcome
    };
    assert!(matches!(outcome(0x186, 0x43_00c0), Outcome::Refused { .. }), "a good selector is taken");
    for (register, value) in
        [(0x186, 1 << 21), (0x186, 1 << 40), (0x38d, u64::MAX), (0x18d, 0), (0xc001_0000, 0)]
    {
        let outcome = outcome(register, value);
        assert!(matches!(outcome, Outcome::TripleFault { .. }), "{register:#x}: {outcome:?}");
    }
}
