//! A call to the server, then one to another client of it.

use abi::workload::alternate::Arguments;
use rt::clock::{StealTime, sample};
use rt::{Start, call};

use crate::measure::{Failure, measure};
use crate::question::Question;

pub fn run(start: &Start, steal_time: &StealTime, arguments: Arguments) -> Result<(), Failure> {
    let question = Question::new(start, arguments.words)?;
    measure(start, || {
        let (ticks, answers) = sample(steal_time, || (call(0, question.message), call(1, question.message)));
        question.check(answers.0?)?;
        question.check(answers.1?)?;
        Ok([ticks])
    })
}
