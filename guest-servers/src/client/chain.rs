//! A call through servers, the first of which have moved into the kernel.

use abi::workload::{call, chain::Arguments, method};
use rt::Start;
use rt::clock::StealTime;
use rt::place::MOVE_IN;

use crate::measure::Failure;
use crate::movers::Movers;

pub fn run(start: &Start, steal_time: &StealTime, arguments: Arguments) -> Result<(), Failure> {
    Movers::new(arguments.moved, method::ONE_BY_ONE)?.move_all(MOVE_IN)?;
    super::call::run(start, steal_time, call::Arguments::default())
}
