//! Kernels that are hard to trace.

use inkbed::lens::trace::{TraceError, trace};

use super::*;

/// Traces a kernel that does not come to its end; where it was when its time was over.
fn hang(config: &GuestConfig) -> u64 {
    match trace(config, &StopFlag::new().unwrap()) {
        Err(TraceError::Outcome(outcome)) => match *outcome {
            Outcome::Hang { last_words, .. } => last_words.registers.rip,
            other => panic!("{other:?}"),
        },
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it has come to its end"),
    }
}

/// A deadline, and Ctrl-C by the same way, ends a trace within a row of instructions that the recorder executes itself, not behind it.
#[test]
fn a_deadline_ends_a_row_of_instructions_done_by_hand() {
    if !require_kvm() {
        return;
    }
    // Less than what a trace holds, and more than any host does in the time.
    const ROW: u64 = 1_000_000;
    let mut config = kernel(|a| {
        out(a, port::DOORBELL, doorbell::MEASURE_BEGIN)?;
        (0..ROW).try_for_each(|_| a.sti())?;
        out(a, port::EXIT, exit_code::PANIC)
    });
    config.deadline = Some(Duration::from_millis(300));
    let rip = hang(&config);
    assert!((KERNEL_CODE..KERNEL_CODE + ROW).contains(&rip), "{rip:#x}");
}

/// A repeated instruction over an address space in which everything is mapped, from one end to the other.
#[test]
fn a_repeated_instruction_over_everything_takes_no_memory_before_it_has_run() {
    if !require_kvm() {
        return;
    }
    const TABLE: u64 = 0x30_1000;
    let mut config = kernel(|a| {
        // A table whose entries all lead to itself, and the lower half of the address space made of it.
        a.mov(rdi, KERNEL_DATA + 0x1000)?;
        a.mov(eax, TABLE as u32 | 3)?;
        a.mov(ecx, 512)?;
        a.cld()?;
        a.rep().stosq()?;
        a.mov(rbx, cr3)?;
        a.mov(rcx, PHYSICAL_MAP_BASE)?;
        a.add(rbx, rcx)?;
        (0..256).try_for_each(|entry| a.mov(qword_ptr(rbx + entry * 8), rax))?;
        a.mov(rcx, cr3)?;
        a.mov(cr3, rcx)?;
        a.xor(esi, esi)?;
        out(a, port::DOORBELL, doorbell::MEASURE_BEGIN)?;
        a.mov(rcx, u64::MAX)?;
        a.rep().lodsb()?;
        out(a, port::EXIT, exit_code::PANIC)
    });
    config.deadline = Some(Duration::from_millis(300));
    // A record for each page would be more than this machine has.
    hang(&config);
}

/// KVM's emulator, where it runs ring 0, counts a repeated instruction as [`inkbed::lens::trace::repeat`] says.
#[test]
fn kvm_counts_repeated_instructions_by_the_thousand() {
    if !require_kvm() {
        return;
    }
    // Other instructions between the marks are the same for all.
    let emulated = |repetitions: u64| {
        let run = run_kernel(|a| {
            write_report(a)?;
            out(a, port::DOORBELL, doorbell::MEASURE_BEGIN)?;
            a.mov(rdi, KERNEL_DATA)?;
            a.mov(rcx, repetitions)?;
            a.xor(eax, eax)?;
            a.rep().stosb()?;
            out(a, port::DOORBELL, doorbell::MEASURE_END)?;
            out(a, port::EXIT, exit_code::FINISHED)
        });
        assert_eq!(run.outcome, Outcome::Finished { status: 0 });
        run.kvm_stats.get("insn_emulation").copied().unwrap_or(0)
    };
    let without = emulated(0);
    if without < 8 {
        println!("skipped: this KVM does not emulate ring 0");
        return;
    }
    let restarts = [(1, 1), (8, 1), (1023, 1), (1024, 1), (1025, 2), (3000, 3), (0x3000, 12)];
    for (repetitions, expected) in restarts {
        assert_eq!(emulated(repetitions) - without, expected, "{repetitions} repetitions");
    }
}
