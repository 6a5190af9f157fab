//! The next one of the handlers is called.

use abi::workload::handler_call::Arguments;
use rt::clock::{StealTime, sample};
use rt::{Message, Start, call};

use crate::measure::{Failure, InTurn, measure};

pub fn run(start: &Start, steal_time: &StealTime, arguments: Arguments) -> Result<(), Failure> {
    let mut handles = InTurn::new(arguments.handlers);
    measure(start, || {
        let handle = handles.next();
        let (ticks, answer) = sample(steal_time, || call(handle, Message::EMPTY));
        answer?;
        Ok([ticks])
    })
}
