//! Ways to die, to hang and to be stopped.

use inkbed::host::HostFacts;

use super::*;

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

/// In which a guest comes to its loop on a machine that is busy with other things.
const LONG_ENOUGH: Duration = Duration::from_millis(700);

/// In which a busy machine does what takes no time. Without the thing that is tested it would take for ever.
const PATIENCE: Duration = Duration::from_secs(60);

fn assert_hang(config: &GuestConfig) -> LastWords {
    let start = Instant::now();
    let run = run(config);
    let took = start.elapsed();
    let Outcome::Hang { deadline, last_words } = run.outcome else { panic!("{:?}", run.outcome) };
    assert_eq!(Some(deadline), config.deadline);
    assert!(took >= deadline && took < deadline + PATIENCE, "{took:?}");
    last_words
}

#[test]
fn a_halted_guest_meets_its_deadline() {
    if !require_kvm() {
        return;
    }
    let mut config = kernel(|a| a.hlt());
    config.deadline = Some(LONG_ENOUGH);
    assert_eq!(assert_hang(&config).registers.rip, KERNEL_CODE + 1);
}

#[test]
fn a_looping_guest_meets_its_deadline() {
    if !require_kvm() {
        return;
    }
    let mut config = kernel(|a| {
        let mut here = a.create_label();
        a.sti()?;
        a.set_label(&mut here)?;
        a.jmp(here)
    });
    config.deadline = Some(LONG_ENOUGH);
    assert_eq!(assert_hang(&config).registers.rip, KERNEL_CODE + 1);
}

/// The guest's interrupt flag must not keep the host's interrupts out.
#[test]
fn a_loop_with_interrupts_off_meets_its_deadline() {
    if !require_kvm() {
        return;
    }
    if HostFacts::probe().ring0.known().is_some_and(|ring0| ring0.tsc_counts_instructions) {
        println!("skipped: Bochs 2.7 does not interrupt a VMX guest whose own interrupts are off");
        return;
    }
    let mut config = kernel(|a| {
        let mut here = a.create_label();
        a.set_label(&mut here)?;
        a.jmp(here)
    });
    config.deadline = Some(LONG_ENOUGH);
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
    config.deadline = Some(LONG_ENOUGH);
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
        a.sti()?;
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
    assert!(stopper.join().unwrap().elapsed() < PATIENCE);
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

/// RDTSCP is one of the instructions that KVM's emulator does not know. Elsewhere it is executed, or not there at all.
#[test]
fn an_instruction_that_kvm_cannot_emulate_is_named() {
    if !require_kvm() {
        return;
    }
    let outcome = run_kernel(|a| {
        a.rdtscp()?;
        out(a, port::EXIT, exit_code::REFUSED)
    })
    .outcome;
    match outcome {
        Outcome::KvmError { reason, .. } => assert!(reason.contains("rdtscp"), "{reason}"),
        Outcome::TripleFault { .. } | Outcome::Refused { .. } => {}
        other => panic!("{other:?}"),
    }
}
