//! The system calls that the client makes in one round trip, one by one: what a migration takes besides the calls around it.

use std::ops::Range;

use abi::call::number;
use serde::{Deserialize, Serialize};

use crate::lens::trace::phase::Phase;
use crate::lens::trace::place::Map;
use crate::lens::trace::recording::Recording;
use crate::lens::trace::round_trip::stub_entries;

/// One system call of the client, or several of the same kind in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemCall {
    /// Which one.
    pub name: String,
    /// How often it is made in a row.
    pub times: u64,
    /// Instructions of all of them together, from the client's stub until it goes on: the kernel's, and those of the servers
    /// that run meanwhile.
    pub instructions: u64,
}

/// The client's system calls within `range`, in order.
pub fn system_calls(
    recording: &Recording,
    phases: &[Phase],
    map: &Map,
    range: Range<usize>,
) -> Vec<SystemCall> {
    let entries: Vec<(usize, u32)> =
        stub_entries(recording, map).into_iter().filter(|(index, _)| range.contains(index)).collect();
    list(&entries, range.end, phases)
}

/// The calls that begin at `entries`; the last one ends before `end`.
fn list(entries: &[(usize, u32)], end: usize, phases: &[Phase]) -> Vec<SystemCall> {
    let mut calls: Vec<SystemCall> = Vec::new();
    let ends = entries.iter().skip(1).map(|(index, _)| *index).chain([end]);
    for ((begin, call), end) in entries.iter().zip(ends) {
        let is_part = |phase: &&Phase| !matches!(phase, Phase::Client | Phase::Detour);
        let instructions = phases[*begin..end].iter().filter(is_part).count() as u64;
        match calls.last_mut().filter(|last| last.name == name(*call)) {
            Some(last) => {
                last.times += 1;
                last.instructions += instructions;
            }
            None => calls.push(SystemCall { name: name(*call), times: 1, instructions }),
        }
    }
    calls
}

/// As in [`number`]; by their numbers those that no client of an experiment makes.
pub(super) fn name(call: u32) -> String {
    match call {
        number::CALL => "CALL".to_owned(),
        number::CALL_DIRECT => "CALL_DIRECT".to_owned(),
        number::NULL => "NULL".to_owned(),
        number::YIELD => "YIELD".to_owned(),
        number::MIGRATE => "MIGRATE".to_owned(),
        number::STOP => "STOP".to_owned(),
        number::START => "START".to_owned(),
        other => format!("number {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call of three instructions in a row of two, then a move; what the client does between them is in none.
    #[test]
    fn calls_of_a_kind_in_a_row_are_one_line() {
        use Phase::{Client, ClientStub, Detour, FastPath, Server, SlowPath};
        let phases = [
            Client, ClientStub, Detour, FastPath, Server, Client, ClientStub, FastPath, Client, ClientStub,
            SlowPath,
        ];
        let calls =
            list(&[(1, number::CALL), (6, number::CALL), (9, number::MIGRATE)], phases.len(), &phases);
        let call =
            |name: &str, times, instructions| SystemCall { name: name.to_owned(), times, instructions };
        assert_eq!(calls, [call("CALL", 2, 5), call("MIGRATE", 1, 2)]);
    }
}
