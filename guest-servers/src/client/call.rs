//! One call and its answer.

use abi::workload::call::Arguments;
use rt::call::call_direct;
use rt::clock::{StealTime, sample};
use rt::{Start, call};

use crate::measure::{Failure, measure};
use crate::question::Question;

pub fn run(start: &Start, steal_time: &StealTime, arguments: Arguments) -> Result<(), Failure> {
    let question = Question::new(start, arguments.words)?;
    if arguments.direct != 0 {
        return measure(start, || {
            let (ticks, answer) = sample(steal_time, || call_direct(0, question.message));
            question.check(answer?)?;
            Ok([ticks])
        });
    }
    measure(start, || {
        let (ticks, answer) = sample(steal_time, || call(0, question.message));
        question.check(answer?)?;
        Ok([ticks])
    })
}
