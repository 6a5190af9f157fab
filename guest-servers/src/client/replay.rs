//! All requests of a recording, in their order.

use abi::replay::Table;
use abi::workload::{replay::Arguments, status};
use rt::clock::{StealTime, sample};
use rt::{Start, memory, replay};

use crate::measure::{Failure, measure_one};

pub fn run(start: &Start, steal_time: &StealTime, arguments: Arguments) -> Result<(), Failure> {
    let table =
        Table::read(memory::table(start, arguments.table_bytes)).ok_or(Failure(status::BAD_ARGUMENT))?;
    measure_one(start, || {
        let (ticks, played) = sample(steal_time, || replay::play(&table, 0));
        played.map_err(|failure| match failure {
            replay::Failure::Call(error) => Failure::from(error),
            replay::Failure::Answer => Failure(status::WRONG_ANSWER),
        })?;
        Ok([ticks])
    })
}
