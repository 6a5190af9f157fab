//! Two clock reads with nothing between them.

use abi::workload::empty::Arguments;
use rt::Start;
use rt::clock::{StealTime, sample};

use crate::measure::{Failure, measure};

pub fn run(start: &Start, steal_time: &StealTime, _: Arguments) -> Result<(), Failure> {
    measure(start, || Ok([sample(steal_time, || ()).0]))
}
