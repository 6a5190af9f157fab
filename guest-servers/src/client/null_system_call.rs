//! The system call that does nothing.

use abi::workload::null_system_call::Arguments;
use rt::Start;
use rt::clock::{StealTime, sample};

use crate::measure::{Failure, measure};

pub fn run(start: &Start, steal_time: &StealTime, _: Arguments) -> Result<(), Failure> {
    measure(start, || Ok([sample(steal_time, rt::call::null).0]))
}
