//! Inputs of strangers: real ones, damaged at random. None of them may make a reader panic; the tests named `malformed` beside
//! each reader see to it.
//!
//! `cargo test` tries the same few hundred of each kind every time. For as many others as you have time for:
//! `PROPTEST_CASES=100000 cargo test -p inkbed --lib malformed`, without `--release`, so that numbers that overflow panic.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// What stands in the place of a number or a word.
const EXTREMES: [&str; 14] = [
    "0",
    "-1",
    "1",
    "255",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "1e308",
    "0.0",
    "null",
    "[]",
    "{}",
    "\"\\u202e\"",
];

/// One damage; places are taken modulo what there is.
#[derive(Clone, Debug)]
pub(crate) enum Hit {
    Set(usize, u8),
    Remove(usize, usize),
    Repeat(usize, usize),
    /// The digits that begin at or after a place become one of [`EXTREMES`].
    Number(usize, usize),
}

impl Hit {
    fn apply(&self, input: &mut Vec<u8>) {
        if input.is_empty() {
            return;
        }
        let end = input.len();
        match *self {
            Hit::Set(at, byte) => input[at % end] = byte,
            Hit::Remove(at, length) => drop(input.drain(at % end..(at % end + length).min(end))),
            Hit::Repeat(at, length) => {
                let piece = input[at % end..(at % end + length).min(end)].to_vec();
                input.splice(at % end..at % end, piece);
            }
            Hit::Number(at, which) => {
                let is_digit = |index: &usize| input[*index].is_ascii_digit();
                let Some(start) = (at % end..end).find(is_digit) else { return };
                let after = (start..end).find(|index| !is_digit(index)).unwrap_or(end);
                input.splice(start..after, EXTREMES[which % EXTREMES.len()].bytes());
            }
        }
    }
}

/// A few damages within the first `size` bytes.
pub(crate) fn hits(size: usize) -> impl Strategy<Value = Vec<Hit>> {
    let hit = prop_oneof![
        1 => (0..size, any::<u8>()).prop_map(|(at, byte)| Hit::Set(at, byte)),
        1 => (0..size, 1usize..200).prop_map(|(at, length)| Hit::Remove(at, length)),
        1 => (0..size, 1usize..2_000).prop_map(|(at, length)| Hit::Repeat(at, length)),
        4 => (0..size, any::<usize>()).prop_map(|(at, which)| Hit::Number(at, which)),
    ];
    prop::collection::vec(hit, 1..6)
}

pub(crate) fn damaged(input: &[u8], hits: &[Hit]) -> Vec<u8> {
    let mut damaged = input.to_vec();
    hits.iter().for_each(|hit| hit.apply(&mut damaged));
    damaged
}

/// The same inputs each time, unless somebody asks for more of them.
pub(crate) fn config() -> ProptestConfig {
    let is_long = std::env::var_os("PROPTEST_CASES").is_some();
    let asked = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if is_long { asked } else { ProptestConfig { cases: 128, rng_seed: RngSeed::Fixed(1), ..asked } }
}
