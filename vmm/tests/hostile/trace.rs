//! Kernels that are hard to trace.

use super::*;

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
