//! A server faults, and is called until it answers again.

use abi::call::status;
use abi::workload::{faults::Arguments, status::WRONG_ANSWER};
use rt::clock::{StealTime, sample};
use rt::place::OUTSIDE;
use rt::{Error, Message, Start, call};

use crate::measure::{Failure, empty_call, measure};

pub fn run(start: &Start, steal_time: &StealTime, arguments: Arguments) -> Result<(), Failure> {
    measure(start, || fault(steal_time, arguments.fault as u32, arguments.placement as u32))
}

/// Has server 1, behind handle 0, fault, and waits until it answers again: by itself, or because it is started.
fn fault(steal_time: &StealTime, label: u32, placement: u32) -> Result<[u64; 3], Failure> {
    let (error, answer) = sample(steal_time, || call(0, Message::word(label, 0)));
    if answer != Err(Error(status::PARTNER_DEAD)) {
        return Err(Failure(WRONG_ANSWER));
    }
    let (back, answer) = sample(steal_time, || {
        call(0, Message::EMPTY).or_else(|_| {
            rt::call::start(1, placement).or_else(|_| rt::call::start(1, OUTSIDE))?;
            call(0, Message::EMPTY)
        })
    });
    answer?;
    let (next, answer) = sample(steal_time, empty_call);
    answer?;
    Ok([error, back, next])
}
