//! Servers move while a second thread calls all the while.

use abi::workload::migrate_under_load::Arguments;
use rt::Start;
use rt::clock::StealTime;

use crate::load::LOAD;
use crate::measure::{Failure, measure_one};
use crate::movers::Movers;

pub fn run(start: &Start, steal_time: &StealTime, arguments: Arguments) -> Result<(), Failure> {
    if start.thread != 0 {
        LOAD.call_all_the_while();
    }
    let movers = Movers::new(arguments.servers, arguments.method)?;
    measure_one(start, || movers.there_and_back_under_load(steal_time, &LOAD))
}
