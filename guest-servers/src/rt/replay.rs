//! What a process of a replayed recording does: its requests in their order, and the turn to another process where the recording
//! goes on with that.

use abi::call::Tag;
use abi::replay::{Step, Table, next_service};

use crate::call::{Error, Message, call, notify, wait};

/// Why a replay cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A system call failed.
    Call(Error),
    /// A service has not answered as it should.
    Answer,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Call(error)
    }
}

/// All steps of the process, once.
pub fn play(table: &Table<'_>, process: usize) -> Result<(), Failure> {
    for step in table.steps(process) {
        match Step::decode(*step) {
            Step::Request(way) => request(table.way(way))?,
            Step::HandOver(next) => {
                notify(table.process(next), 1)?;
                wait()?;
            }
        }
    }
    Ok(())
}

/// Has the services of the way answer, the first of which asks the next.
#[inline(always)]
pub fn request(way: u64) -> Result<(), Failure> {
    let Some((handle, rest)) = next_service(way) else { return Ok(()) };
    let answer = call(handle, Message::word(0, rest))?;
    if answer.message.tag == Tag(0) { Ok(()) } else { Err(Failure::Answer) }
}
