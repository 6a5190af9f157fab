//! What kind of clock the time-stamp counter is.

/// What the time-stamp counter tells about code in ring 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockKind {
    /// The time that a processor takes.
    Time,
    /// The time that an emulator takes.
    EmulatedRing0,
    /// The number of instructions.
    Instructions,
}

/// A loop of two instructions a turn that takes longer for each instruction than this is not executed by a processor.
const EMULATED_CYCLES_PER_INSTRUCTION: u64 = 100;

/// Whether a loop of so many turns took longer than any processor needs for it.
pub fn is_emulated(turns: u64, cycles: u64) -> bool {
    cycles > 2 * turns * EMULATED_CYCLES_PER_INSTRUCTION
}

/// Judges the clock by what two loops of `turns` turns and one of half as many took.
pub fn judge_clock(turns: u64, long: u64, long_again: u64, short: u64) -> ClockKind {
    // No clock of time is so exact, and no processor takes one cycle for each of these.
    if long == long_again && long.wrapping_sub(short) == turns {
        ClockKind::Instructions
    } else if is_emulated(turns, long.min(long_again)) {
        ClockKind::EmulatedRing0
    } else {
        ClockKind::Time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_clock_counts_instructions_and_a_slow_one_is_an_emulator() {
        assert_eq!(judge_clock(512, 1030, 1030, 518), ClockKind::Instructions);
        assert_eq!(judge_clock(512, 1031, 1030, 518), ClockKind::Time);
        assert_eq!(judge_clock(512, 700, 650, 350), ClockKind::Time);
        assert_eq!(judge_clock(512, 1_300_000, 1_200_000, 600_000), ClockKind::EmulatedRing0);
        // Two instructions a turn, and reading the clock: 2 µs each where ring 0 is emulated; 100 cycles in all on a processor.
        assert!(is_emulated(16, 34 * 2_000) && !is_emulated(16, 132));
    }
}
