//! One handler faults: the error of its caller, and what became of all others.

use abi::call::Tag;
use abi::workload::{handler_fault::Arguments, status};
use rt::clock::{StealTime, sample};
use rt::{Message, Start, call};

use crate::load::LOAD;
use crate::measure::{Failure, measure};

pub fn run(start: &Start, steal_time: &StealTime, arguments: Arguments) -> Result<(), Failure> {
    measure(start, || {
        let message = Message { tag: Tag::new(arguments.fault as u32, 0), words: [0; 4] };
        let (until_error, answer) = sample(steal_time, || call(0, message));
        if answer.is_ok() {
            return Err(Failure(status::WRONG_ANSWER));
        }
        for handle in 1..arguments.handlers {
            LOAD.note(call(handle, Message::EMPTY).is_ok());
        }
        Ok([until_error])
    })
}
