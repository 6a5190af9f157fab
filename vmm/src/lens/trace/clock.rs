//! What a clock that advances by one for every instruction shows between two readings: what the lens `tsc` is compared
//! with on such a host.

use std::ops::Range;

use iced_x86::Mnemonic;

use crate::lens::trace::phase::Phase;
use crate::lens::trace::recording::Step;
use crate::lens::trace::repeat::Repeated;

/// What the steps amount to, `each` by what it is worth, between the client's last reading of the clock before each round trip and
/// its first one in it, where all round trips agree on it. The SYSCALL detour is left out: no clock counts it.
pub fn between_readings(
    steps: &[Step],
    phases: &[Phase],
    round_trips: &[Range<usize>],
    each: fn(Repeated) -> u64,
) -> Option<u64> {
    let is_reading = |index: &usize| phases[*index] == Phase::Client && is_clock_reading(&steps[*index]);
    let of_round_trip = |range: &Range<usize>| {
        let begin = (0..range.start).rev().find(is_reading)?;
        let end = range.clone().find(is_reading)?;
        let counted = (begin..end).filter(|index| phases[*index] != Phase::Detour);
        Some(counted.map(|index| each(steps[index].repeated)).sum())
    };
    let mut all = round_trips.iter().map(of_round_trip);
    let first = all.next()??;
    all.all(|sum| sum == Some(first)).then_some(first)
}

fn is_clock_reading(step: &Step) -> bool {
    let mnemonic = step.instruction().map(|instruction| instruction.mnemonic());
    matches!(mnemonic, Some(Mnemonic::Rdtsc | Mnemonic::Rdtscp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lens::trace::recording::INSTRUCTION_SIZE_MAX;

    fn step(code: &[u8], repetitions: u64) -> Step {
        let mut bytes = [0x90; INSTRUCTION_SIZE_MAX];
        bytes[..code.len()].copy_from_slice(code);
        let repeated = Repeated { repetitions, ..Repeated::default() };
        Step { bytes, length: code.len() as u8, ring: 3, page_table: 0x1000, repeated, ..Step::default() }
    }

    /// Two round trips of seven steps, each with five ticks and the repetitions of a copy from clock to clock.
    #[test]
    fn ticks_go_from_the_reading_before_the_round_trip_to_the_first_in_it() {
        let (nop, clock, copy) = (step(&[0x90], 0), step(&[0x0f, 0x31], 0), step(&[0xf3, 0x48, 0xa5], 8));
        let loop_ = [clock.clone(), nop.clone(), nop.clone(), copy, nop, clock.clone(), clock];
        let steps = [loop_.clone(), loop_.clone(), loop_].concat();
        let mut phases = [Phase::Client; 7];
        (phases[2], phases[3]) = (Phase::ClientStub, Phase::SlowPath);
        let mut phases = phases.repeat(3);
        let round_trips = [2..9, 9..16];
        let ticks = |phases: &[Phase], round_trips: &[Range<usize>]| {
            between_readings(&steps, phases, round_trips, Repeated::ticks)
        };
        assert_eq!(ticks(&phases, &round_trips), Some(12));
        assert_eq!(between_readings(&steps, &phases, &round_trips, Repeated::ends), Some(1));
        phases[4] = Phase::Detour;
        assert_eq!(ticks(&phases, &round_trips), None, "the two differ");
        assert_eq!(ticks(&phases, &[]), None);
        assert_eq!(ticks(&[Phase::Server; 21], &round_trips), None, "nobody reads the clock");
    }
}
