//! Touches pages of its own, then calls.

use abi::workload::touch::Arguments;
use rt::call::call_direct;
use rt::clock::{StealTime, sample};
use rt::memory::{touch, working_set};
use rt::{Message, Start, call};

use crate::measure::{Failure, measure};
use crate::question::Question;

pub fn run(start: &Start, steal_time: &StealTime, arguments: Arguments) -> Result<(), Failure> {
    let pages = working_set(start);
    let (count, direct) = (arguments.pages as usize, arguments.direct != 0);
    if arguments.words != 0 {
        let question = Question::new(start, arguments.words)?;
        return measure(start, || {
            let (ticks, answer) = sample(steal_time, || {
                touch(pages, count);
                call(0, question.message)
            });
            question.check(answer?)?;
            Ok([ticks])
        });
    }
    measure(start, || {
        let (ticks, answer) = sample(steal_time, || {
            touch(pages, count);
            if direct { call_direct(0, Message::EMPTY) } else { call(0, Message::EMPTY) }
        });
        answer?;
        Ok([ticks])
    })
}
