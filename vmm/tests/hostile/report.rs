//! Lies in the report, and in the code at the exit port.

use super::*;

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
