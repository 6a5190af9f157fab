//! The next one of the handlers is notified, runs at once, and waits again.

use abi::workload::handler_wake_up::Arguments;
use rt::clock::{StealTime, sample};
use rt::{Start, notify};

use crate::measure::{Failure, InTurn, measure};

pub fn run(start: &Start, steal_time: &StealTime, arguments: Arguments) -> Result<(), Failure> {
    let mut handles = InTurn::new(arguments.handlers);
    measure(start, || {
        let handle = handles.next();
        let (ticks, done) = sample(steal_time, || notify(handle, 1));
        done?;
        Ok([ticks])
    })
}
