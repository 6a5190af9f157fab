//! String instructions with a repeat prefix: one instruction, many repetitions.
//!
//! KVM's emulator repeats within one emulation, which its statistic `insn_emulation` counts once. It goes back to the guest
//! whenever RCX is a multiple of 1,024 behind a repetition, and begins the same instruction anew (Linux,
//! arch/x86/kvm/emulate.c, `x86_emulate_insn`). 0 is such a multiple: behind the last repetition, too, it begins once more,
//! finds RCX at 0 and goes on. An end by condition (REPE, REPNE) is an end at once.

use iced_x86::{Instruction, Mnemonic};

/// Repetitions after which KVM's emulator goes back to the guest.
const EMULATED_AT_ONCE: u64 = 1024;

/// ZF in RFLAGS.
const ZERO_FLAG: u64 = 1 << 6;

/// How a repeated instruction was repeated; all zero for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repeated {
    /// How often.
    pub repetitions: u64,
    /// How often KVM's emulator, if it runs the instruction, begins it after the first time.
    pub emulator_restarts: u64,
}

impl Repeated {
    /// From RCX before and behind the instruction, and the flags behind it.
    pub(super) fn between(instruction: &Instruction, before: u64, behind: u64, flags: u64) -> Repeated {
        let repetitions = before.saturating_sub(behind);
        if repetitions == 0 {
            return Repeated::default();
        }
        // RCX behind each repetition, where the emulator looks at it.
        let least = behind + u64::from(ended_by_condition(instruction, flags));
        let most = before - 1;
        let multiples = (most / EMULATED_AT_ONCE + 1).saturating_sub(least.div_ceil(EMULATED_AT_ONCE));
        Repeated { repetitions, emulator_restarts: multiples }
    }

    /// Ticks of a clock that advances by one for every instruction: each repetition is one.
    pub(super) fn ticks(self) -> u64 {
        self.repetitions.max(1)
    }

    /// Ticks by which QEMU's translator, which counts as it begins, is ahead of that: behind the last repetition it begins once
    /// more, finds RCX at 0 and goes on (QEMU, target/i386/tcg/translate.c, `do_gen_rep`).
    pub(super) fn ends(self) -> u64 {
        u64::from(self.repetitions > 0)
    }
}

/// Whether it is a string instruction with a repeat prefix: a trap flag stops it after each repetition.
pub fn is_repeated(instruction: &Instruction) -> bool {
    instruction.is_string_instruction()
        && (instruction.has_rep_prefix() || instruction.has_repe_prefix() || instruction.has_repne_prefix())
}

/// Whether the flags end the repetition, whatever RCX is.
fn ended_by_condition(instruction: &Instruction, flags: u64) -> bool {
    let compares = matches!(
        instruction.mnemonic(),
        Mnemonic::Cmpsb
            | Mnemonic::Cmpsw
            | Mnemonic::Cmpsd
            | Mnemonic::Cmpsq
            | Mnemonic::Scasb
            | Mnemonic::Scasw
            | Mnemonic::Scasd
            | Mnemonic::Scasq
    );
    let is_zero = flags & ZERO_FLAG != 0;
    compares && if instruction.has_repne_prefix() { is_zero } else { !is_zero }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lens::trace::decode::{Mode, decode};

    fn between(code: &[u8], before: u64, behind: u64, flags: u64) -> (u64, u64) {
        let instruction = decode(code, 0, Mode::Bits64).unwrap();
        assert!(is_repeated(&instruction));
        let repeated = Repeated::between(&instruction, before, behind, flags);
        (repeated.repetitions, repeated.emulator_restarts)
    }

    #[test]
    fn the_emulator_begins_anew_after_1024_repetitions_and_behind_the_last() {
        const MOVSQ: [u8; 3] = [0xf3, 0x48, 0xa5];
        let restarts = [(0, 0), (1, 1), (8, 1), (512, 1), (1024, 1), (1025, 2), (2048, 2), (2049, 3)];
        for (count, expected) in restarts {
            assert_eq!(between(&MOVSQ, count, 0, ZERO_FLAG), (count, expected), "{count}");
        }
    }

    #[test]
    fn an_end_by_condition_is_no_restart() {
        const REPNE_SCASB: [u8; 2] = [0xf2, 0xae];
        const REPE_CMPSB: [u8; 2] = [0xf3, 0xa6];
        assert_eq!(between(&REPNE_SCASB, 8, 5, ZERO_FLAG), (3, 0), "found");
        assert_eq!(between(&REPNE_SCASB, 8, 0, 0), (8, 1), "not found");
        assert_eq!(between(&REPNE_SCASB, 8, 0, ZERO_FLAG), (8, 0), "found at the last place");
        assert_eq!(between(&REPE_CMPSB, 1030, 1020, 0), (10, 1), "different, past a multiple");
        assert_eq!(between(&REPE_CMPSB, 1030, 1024, 0), (6, 0), "different, at a multiple");
    }

    #[test]
    fn ticks_are_repetitions_and_at_least_one() {
        let ticks = |repetitions| Repeated { repetitions, emulator_restarts: 0 }.ticks();
        assert_eq!([0, 1, 64].map(ticks), [1, 1, 64]);
    }
}
