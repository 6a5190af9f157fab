//! Chains of stack frames that are none.

use super::*;

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
